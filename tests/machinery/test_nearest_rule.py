"""Why a question is denied: which rule is the nearest, and the sentence that says what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from rbac_matrix.cell import PathQuestion, Question, ResourceName, ResourceQuestion, Subject
from rbac_matrix.errors import Position
from rbac_matrix.judges.nearest import Lack, NearestRule
from rbac_matrix.judges.policy import Policy

Body = dict[str, Any]

GROUP: Final = "rbac.authorization.k8s.io"
ROBOT: Final = Subject("default", "job-robot")
HERE: Final = Position(Path("roles.yaml"), 7)
NOTHING: Final = "no rule of any role that is bound to it speaks of "


def body(kind: str, name: str, namespace: str | None = None, **rest: Any) -> Body:  # noqa: ANN401 - any JSON
    """An RBAC object."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **rest}


def rule(resources: str, verbs: str = "get list", group: str = "", names: str = "") -> Body:
    """A rule; lists are written with spaces."""
    found: Body = {
        "apiGroups": [group],
        "resources": resources.split(),
        "verbs": verbs.split(),
    }
    return found | ({"resourceNames": names.split()} if names else {})


def role(*rules: Body, name: str = "pod-reader", namespace: str = "default") -> Body:
    """A Role."""
    return body("Role", name, namespace, rules=list(rules))


def cluster_role(*rules: Body, name: str = "pod-reader") -> Body:
    """A ClusterRole."""
    return body("ClusterRole", name, rules=list(rules))


def account(name: str, namespace: str = "default") -> Body:
    """A ServiceAccount as a subject."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def binding(
    role: str = "Role/pod-reader",
    namespace: str | None = "default",
    name: str = "read",
    subjects: tuple[Body, ...] = (account("job-robot"),),
) -> Body:
    """A binding of a role, `KIND/NAME`, by default to the robot."""
    kind, _, role_name = role.partition("/")
    return body(
        "RoleBinding" if namespace else "ClusterRoleBinding",
        name,
        namespace,
        roleRef={"apiGroup": GROUP, "kind": kind, "name": role_name},
        subjects=list(subjects),
    )


def ask(
    resource: str = "pods", verb: str = "get", namespace: str | None = "default", name: str = ""
) -> ResourceQuestion:
    """A question about a resource."""
    return ResourceQuestion(verb, ResourceName.parse(resource), namespace, name)


def nearest(question: Question, written: list[Body], brought: tuple[Body, ...] = ()) -> NearestRule:
    """What explains the denial of the robot's question."""
    found = Policy.of([*((one, HERE) for one in written), *((one, None) for one in brought)])
    decision = found.decide(ROBOT.username, ROBOT.groups, question)
    assert not decision.allowed
    assert decision.nearest is not None
    return decision.nearest


PODS: Final = rule("pods")
BLOG: Final = rule("endpoints", "get", names="blog")
SENTENCES: Final[dict[str, tuple[Question, list[Body], str]]] = {
    "another-verb": (
        ask(verb="watch"),
        [role(PODS), binding()],
        "Role pod-reader grants get, list on pods, not watch",
    ),
    "another-verb-beside-those-of-all-its-rules": (
        ask(verb="watch"),
        [role(rule("pods", "get"), rule("secrets", "watch"), rule("pods", "list")), binding()],
        "Role pod-reader grants get, list on pods, not watch",
    ),
    "another-name": (
        ask("endpoints", name="shop"),
        [role(BLOG), binding()],
        "Role pod-reader grants get on endpoints only for the name blog, not for shop",
    ),
    "no-name": (
        ask("endpoints"),
        [role(rule("endpoints", names="blog shop")), binding()],
        (
            "Role pod-reader grants get on endpoints only for the names blog, shop, and this get "
            "names none"
        ),
    ),
    "another-name-and-verb": (
        ask("endpoints", "list"),
        [role(BLOG), binding()],
        "Role pod-reader grants get on endpoints only for the name blog, not list",
    ),
    "a-subresource": (
        ask("pods/log"),
        [role(PODS), binding()],
        "Role pod-reader grants get on pods, not on pods/log",
    ),
    "the-resource-of-a-subresource": (
        ask("pods"),
        [role(rule("pods/log pods/status")), binding()],
        "Role pod-reader grants get on pods/log, not on pods",
    ),
    "another-subresource-of-all": (
        ask("deployments.apps/status"),
        [role(rule("*/scale", group="apps")), binding()],
        "Role pod-reader grants get on *.apps/scale, not on deployments.apps/status",
    ),
    "another-group": (
        ask("deployments.apps"),
        [role(rule("deployments")), binding()],
        "Role pod-reader grants get on deployments, not on deployments.apps",
    ),
    "a-misspelt-plural": (
        ask("pods"),
        [role(rule("pod")), binding()],
        "Role pod-reader grants get on pod, not on pods",
    ),
    "a-subresource-and-another-verb": (
        ask("pods/exec", "create"),
        [role(PODS), binding()],
        "Role pod-reader grants get, list on pods, not create on pods/exec",
    ),
    "a-role-elsewhere": (
        ask(namespace="team-a"),
        [role(PODS), binding()],
        "Role pod-reader grants it only in namespace default",
    ),
    "a-role-elsewhere-with-another-verb": (
        ask(verb="watch", namespace="team-a"),
        [role(PODS), binding()],
        "Role pod-reader grants get, list on pods, not watch, and only in namespace default",
    ),
    "a-role-at-cluster-scope": (
        ask(namespace=None),
        [role(PODS), binding()],
        "Role pod-reader grants it only in namespace default",
    ),
    "a-cluster-role-elsewhere": (
        ask(namespace="team-a"),
        [cluster_role(PODS), binding("ClusterRole/pod-reader")],
        "ClusterRole pod-reader grants it, but is bound only in namespace default",
    ),
    "a-cluster-role-in-two-namespaces": (
        ask(namespace="team-a"),
        [
            cluster_role(PODS),
            binding("ClusterRole/pod-reader"),
            binding("ClusterRole/pod-reader", "team-b"),
            binding("ClusterRole/pod-reader", "team-c", subjects=(account("other"),)),
        ],
        "ClusterRole pod-reader grants it, but is bound only in namespaces default, team-b",
    ),
    "another-subject": (
        ask(),
        [role(PODS), binding(subjects=(account("job-robt"),))],
        "Role pod-reader grants it, but its binding read names ServiceAccount default/job-robt",
    ),
    "many-other-subjects": (
        ask(),
        [role(PODS), binding(subjects=tuple(account(name) for name in "abcde"))],
        (
            "Role pod-reader grants it, but its binding read names ServiceAccount default/a, "
            "ServiceAccount default/b, ServiceAccount default/c, 2 more"
        ),
    ),
    "no-subject": (
        ask(),
        [role(PODS), binding(subjects=())],
        "Role pod-reader grants it, but its binding read names nobody",
    ),
    "a-user-with-the-bare-name": (
        ask(),
        [role(PODS), binding(subjects=({"kind": "User", "name": "job-robot"},))],
        "Role pod-reader grants it, but its binding read names User job-robot",
    ),
    "no-binding": (
        ask(),
        [role(PODS)],
        "Role pod-reader grants it, but no binding refers to it",
    ),
    "a-missing-role": (
        ask(),
        [binding("Role/absent")],
        "RoleBinding default/read refers to Role absent, which does not exist in namespace default",
    ),
    "a-missing-cluster-role": (
        ask(),
        [binding("ClusterRole/absent", None)],
        "ClusterRoleBinding read refers to ClusterRole absent, which does not exist",
    ),
    "a-missing-role-that-exists-elsewhere": (
        ask(),
        [binding(), role(PODS, namespace="team-a"), cluster_role(PODS)],
        (
            "RoleBinding default/read refers to Role pod-reader, which does not exist in "
            "namespace default (there is a ClusterRole pod-reader and a Role pod-reader in "
            "namespace team-a)"
        ),
    ),
    "an-aggregated-role": (
        ask(verb="watch"),
        [
            body(
                "ClusterRole",
                "union",
                aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"to": "union"}}]},
            ),
            {**cluster_role(PODS), "metadata": {"name": "part", "labels": {"to": "union"}}},
            binding("ClusterRole/union", None),
        ],
        "ClusterRole union (by aggregating ClusterRole part) grants get, list on pods, not watch",
    ),
    "another-method-of-a-path": (
        PathQuestion("post", "/metrics"),
        [
            cluster_role({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}),
            binding("ClusterRole/pod-reader", None),
        ],
        "ClusterRole pod-reader grants get on /metrics, not post",
    ),
    "a-longer-path": (
        PathQuestion("get", "/metrics/slis"),
        [
            cluster_role({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}),
            binding("ClusterRole/pod-reader", None),
        ],
        "ClusterRole pod-reader grants get on /metrics, not on /metrics/slis",
    ),
    "a-path-bound-in-a-namespace": (
        PathQuestion("get", "/metrics"),
        [
            cluster_role({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}),
            binding("ClusterRole/pod-reader"),
        ],
        (
            "ClusterRole pod-reader grants it, but is bound only in namespace default; a path "
            "needs a ClusterRoleBinding"
        ),
    ),
    "nothing-about-the-resource": (
        ask("secrets"),
        [role(PODS), binding()],
        f"{NOTHING}secrets",
    ),
    "nothing-about-the-path": (PathQuestion("get", "/metrics"), [role(PODS)], f"{NOTHING}/metrics"),
    "nothing-about-a-resource-of-a-similar-name": (
        ask("cronjobs.batch"),
        [role(rule("jobs", group="batch")), binding()],
        f"{NOTHING}cronjobs.batch",
    ),
    "nothing-by-a-star-of-another-group": (
        ask("pods"),
        [role(rule("*", group="apps")), binding()],
        f"{NOTHING}pods",
    ),
    "nothing-where-others-are-bound-and-it-lacks-more": (
        ask(verb="watch"),
        [role(PODS), binding(subjects=(account("other"),))],
        f"{NOTHING}pods",
    ),
    "nothing-by-a-role-that-no-binding-could-give": (
        ask(namespace="team-a"),
        [role(PODS)],
        f"{NOTHING}pods",
    ),
}


@pytest.mark.parametrize(
    ("question", "written", "sentence"), list(SENTENCES.values()), ids=list(SENTENCES)
)
def test_denial_is_explained(question: Question, written: list[Body], sentence: str) -> None:
    """The sentence says what the nearest rule grants, and what it lacks."""
    assert nearest(question, written).sentence == sentence


ORDER: Final[dict[str, tuple[Question, list[Body], str]]] = {
    "one-lack-before-two": (
        ask("pods/log", "watch"),
        [
            role(PODS),
            binding(),
            cluster_role(rule("pods/log"), name="z"),
            binding("ClusterRole/z", None),
        ],
        "ClusterRole z grants get, list on pods/log, not watch",
    ),
    "a-verb-before-a-name": (
        ask("endpoints", "list"),
        [role(rule("endpoints", "list", names="a"), rule("endpoints", "get")), binding()],
        "Role pod-reader grants get on endpoints, not list",
    ),
    "a-verb-before-another-subject": (
        ask(verb="watch"),
        [
            role(PODS),
            binding(),
            role(rule("pods", "watch"), name="a"),
            binding("Role/a", subjects=(account("other"),), name="a"),
        ],
        "Role pod-reader grants get, list on pods, not watch",
    ),
    "a-verb-before-a-missing-role": (
        ask(verb="watch"),
        [role(PODS), binding(), binding("Role/absent", name="a")],
        "Role pod-reader grants get, list on pods, not watch",
    ),
    "a-missing-role-before-another-namespace": (
        ask(namespace="team-a"),
        [role(PODS), binding(), binding("Role/absent", "team-a")],
        "RoleBinding team-a/read refers to Role absent, which does not exist in namespace team-a",
    ),
    "another-namespace-before-another-subject": (
        ask(namespace="team-a"),
        [
            role(PODS),
            binding(),
            cluster_role(PODS, name="a"),
            binding("ClusterRole/a", None, subjects=(account("other"),)),
        ],
        "Role pod-reader grants it only in namespace default",
    ),
    "another-subject-before-no-binding": (
        ask(),
        [role(PODS, name="a"), role(PODS), binding(subjects=(account("other"),))],
        "Role pod-reader grants it, but its binding read names ServiceAccount default/other",
    ),
    "a-similar-subject-before-others": (
        ask(),
        [role(PODS)]
        + [binding(name=f"for-{name}", subjects=(account(name),)) for name in ("a", "job-robt")],
        (
            "Role pod-reader grants it, but its binding for-job-robt names "
            "ServiceAccount default/job-robt"
        ),
    ),
    "the-first-name": (
        ask(verb="watch"),
        [
            role(PODS, name="b"),
            binding("Role/b", name="x"),
            role(PODS, name="a"),
            binding("Role/a", name="y"),
        ],
        "Role a grants get, list on pods, not watch",
    ),
}


@pytest.mark.parametrize(("question", "written", "sentence"), list(ORDER.values()), ids=list(ORDER))
def test_nearest_rule_is_chosen(question: Question, written: list[Body], sentence: str) -> None:
    """Of several rules the one with the fewest and lightest lacks is named, in whatever order."""
    assert nearest(question, written).sentence == sentence
    assert nearest(question, written[::-1]).sentence == sentence


def test_what_the_cluster_brought_is_named_only_where_it_is_bound() -> None:
    """Nobody is told that a controller of the cluster may do it."""
    everybody = ({"kind": "Group", "name": "system:authenticated"},)
    brought = (
        cluster_role(rule("pods", "watch"), name="admin"),
        cluster_role(rule("pods", "watch"), name="controller"),
        binding("ClusterRole/controller", None, "c", subjects=(account("c", "kube-system"),)),
        cluster_role(rule("nodes"), name="basic"),
        binding("ClusterRole/basic", None, "basic", subjects=everybody),
    )

    assert nearest(ask(verb="watch"), [], brought).sentence == f"{NOTHING}pods"
    assert (
        nearest(ask("nodes", "watch", None), [], brought).sentence
        == "ClusterRole basic grants get, list on nodes, not watch"
    )


def test_what_a_person_wrote_is_named_first() -> None:
    """A rule that can be edited explains more than one that came with the cluster."""
    brought = (cluster_role(PODS, name="a"), binding("ClusterRole/a", None, "a"))

    found = nearest(ask(verb="watch"), [role(PODS), binding()], brought)

    assert found == NearestRule(
        "Role pod-reader grants get, list on pods, not watch", (Lack.VERB,), HERE, 0
    )


def test_nothing_near_has_no_place() -> None:
    """Where no rule comes near there is none to edit."""
    found = nearest(ask("secrets"), [role(PODS), binding()])

    assert (found.lacks, found.origin) == ((), None)


def test_allowed_question_has_no_nearest_rule() -> None:
    """There is nothing to explain."""
    found = Policy.of([(role(PODS), HERE), (binding(), HERE)])

    assert found.decide(ROBOT.username, ROBOT.groups, ask()).nearest is None
