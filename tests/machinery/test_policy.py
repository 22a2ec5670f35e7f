"""The policy judge, rule by rule of RBAC, each in both directions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.cell import VERBS, PathQuestion, Question, ResourceName, ResourceQuestion, Subject
from rbac_matrix.errors import Position
from rbac_matrix.judges.policy import Policy, quoted

if TYPE_CHECKING:
    from rbac_matrix.discovery import Discovery

Body = dict[str, Any]

GROUP: Final = "rbac.authorization.k8s.io"
ROBOT: Final = Subject("team-a", "robot")
ROBOT_SUBJECT: Final = {"kind": "ServiceAccount", "name": "robot", "namespace": "team-a"}
HERE: Final = Position(Path("roles.yaml"), 7)


def body(kind: str, name: str, namespace: str | None = None, **rest: Any) -> Body:  # noqa: ANN401 - any JSON
    """An RBAC object."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **rest}


def rule(
    resources: str = "pods", verbs: str = "get", groups: tuple[str, ...] = ("",), **rest: object
) -> Body:
    """A rule; lists are written with spaces."""
    return {
        "apiGroups": [*groups],
        "resources": resources.split(),
        "verbs": verbs.split(),
        **rest,
    }


def paths(written: str, verbs: str = "get") -> Body:
    """A rule for non-resource paths."""
    return {"nonResourceURLs": written.split(), "verbs": verbs.split()}


def binding(
    role: str = "Role/r", namespace: str | None = "team-a", name: str = "b", *subjects: Body
) -> Body:
    """A binding of a role, `KIND/NAME`, by default to the robot."""
    kind, _, role_name = role.partition("/")
    return body(
        "RoleBinding" if namespace else "ClusterRoleBinding",
        name,
        namespace,
        roleRef={"apiGroup": GROUP, "kind": kind, "name": role_name},
        subjects=list(subjects or (ROBOT_SUBJECT,)),
    )


def role(*rules: Body, name: str = "r", namespace: str = "team-a") -> Body:
    """A Role."""
    return body("Role", name, namespace, rules=list(rules))


def cluster_role(*rules: Body, name: str = "r", **rest: Any) -> Body:  # noqa: ANN401 - any JSON
    """A ClusterRole."""
    return body("ClusterRole", name, rules=list(rules)) | rest


def ask(
    resource: str = "pods", verb: str = "get", namespace: str | None = "team-a", name: str = "web"
) -> ResourceQuestion:
    """A question about a resource."""
    return ResourceQuestion(verb, ResourceName.parse(resource), namespace, name)


def policy(*objects: Body) -> Policy:
    """The policy of objects that are all written in one place."""
    return Policy.of((found, HERE) for found in objects)


def allows(found: Policy, question: Question, subject: Subject = ROBOT) -> bool:
    """What it decides for a ServiceAccount."""
    return found.decide(subject.username, subject.groups, question).allowed


def parametrize(cases: dict[str, tuple[Any, ...]], names: str) -> pytest.MarkDecorator:
    """One case an item."""
    return pytest.mark.parametrize(names, list(cases.values()), ids=list(cases))


RULES: Final[dict[str, tuple[Body, Question, bool]]] = {
    "verb-that-is-listed": (rule(verbs="get list"), ask(verb="list"), True),
    "verb-that-is-not-listed": (rule(verbs="get list"), ask(verb="watch"), False),
    "any-verb-by-a-star": (rule(verbs="*"), ask(verb="impersonate"), True),
    "a-question-for-a-star-is-not-all-verbs": (rule(verbs="get"), ask(verb="*"), False),
    "delete-is-not-deletecollection": (rule(verbs="delete"), ask(verb="deletecollection"), False),
    "verbs-are-lower-case": (rule(verbs="GET"), ask(), False),
    "no-verb-is-nothing": (rule(verbs=""), ask(), False),
    "the-core-group-is-empty": (rule(), ask("pods"), True),
    "another-group": (rule(), ask("pods.metrics.k8s.io"), False),
    "any-group-by-a-star": (rule(groups=("*",)), ask("pods.metrics.k8s.io"), True),
    "one-of-several-groups": (rule(groups=("apps", "")), ask("pods"), True),
    "a-group-has-no-prefix-wildcard": (rule(groups=("*.k8s.io",)), ask("pods.a.k8s.io"), False),
    "another-resource": (rule("pods"), ask("secrets"), False),
    "any-resource-by-a-star": (rule("*"), ask("secrets"), True),
    "a-resource-has-no-prefix-wildcard": (rule("pod*"), ask("pods"), False),
    "resources-are-lower-case": (rule("Pods"), ask("pods"), False),
    "a-resource-is-not-its-subresource": (rule("pods"), ask("pods/log"), False),
    "a-subresource-is-not-its-resource": (rule("pods/log"), ask("pods"), False),
    "a-subresource-that-is-named": (rule("pods/log"), ask("pods/log"), True),
    "a-star-is-for-subresources-too": (rule("*"), ask("pods/log"), True),
    "one-subresource-of-all": (rule("*/scale"), ask("statefulsets/scale"), True),
    "one-subresource-of-all-is-not-another": (rule("*/scale"), ask("pods/status"), False),
    "one-subresource-of-all-is-no-resource": (rule("*/scale"), ask("pods"), False),
    "one-subresource-of-all-is-no-suffix": (rule("*/log"), ask("pods/catalog"), False),
    "all-subresources-of-one-do-not-exist": (rule("pods/*"), ask("pods/log"), False),
    "a-star-on-both-sides-is-nothing": (rule("*/*"), ask("pods/log"), False),
    "a-name-that-is-listed": (rule(resourceNames=["web"]), ask(), True),
    "a-name-that-is-not-listed": (rule(resourceNames=["blog"]), ask(), False),
    "a-name-has-no-wildcard": (rule(resourceNames=["*"]), ask(), False),
    "a-list-names-nothing": (
        rule(verbs="list", resourceNames=["web"]),
        ask(verb="list", name=""),
        False,
    ),
    "a-list-by-field-selector-names-one": (
        rule(verbs="list", resourceNames=["web"]),
        ask(verb="list", name="web"),
        True,
    ),
    "a-create-names-nothing": (
        rule(verbs="create", resourceNames=["web"]),
        ask(verb="create", name=""),
        False,
    ),
    "the-empty-name-is-a-name": (
        rule(verbs="list", resourceNames=[""]),
        ask(verb="list", name=""),
        True,
    ),
    "the-empty-name-is-not-any-name": (rule(resourceNames=[""]), ask(), False),
    "an-empty-list-of-names-is-all": (rule(resourceNames=[]), ask(), True),
    "names-that-are-null-are-all": (rule(resourceNames=None), ask(name=""), True),
    "no-api-group-is-nothing": (rule(groups=()), ask(), False),
    "a-path-is-no-resource": (paths("*", verbs="*"), ask(), False),
}


@parametrize(RULES, "written, question, allowed")
def test_rule_matches_as_in_the_api_server(
    written: Body,
    question: Question,
    allowed: bool,  # noqa: FBT001 - a case
) -> None:
    """A rule of a Role that is bound grants exactly what it matches."""
    assert allows(policy(role(written), binding()), question) is allowed


PATHS: Final[dict[str, tuple[Body, PathQuestion, bool]]] = {
    "the-same-path": (paths("/metrics"), PathQuestion("get", "/metrics"), True),
    "a-path-is-no-prefix": (paths("/metrics"), PathQuestion("get", "/metrics/slis"), False),
    "a-trailing-slash-counts": (paths("/version"), PathQuestion("get", "/version/"), False),
    "a-star-at-the-end": (paths("/logs/*"), PathQuestion("get", "/logs/a/b"), True),
    "a-star-at-the-end-of-nothing": (paths("/logs/*"), PathQuestion("get", "/logs/"), True),
    "a-star-needs-what-is-before-it": (paths("/logs/*"), PathQuestion("get", "/logs"), False),
    "a-star-within-a-segment": (paths("/met*"), PathQuestion("get", "/metrics"), True),
    "several-stars-are-one": (paths("/logs**"), PathQuestion("get", "/logs"), True),
    "a-star-in-the-middle-is-no-wildcard": (paths("/*/x"), PathQuestion("get", "/a/x"), False),
    "a-star-alone-is-every-path": (paths("*"), PathQuestion("get", "/"), True),
    "another-method": (paths("*"), PathQuestion("post", "/metrics"), False),
    "any-method-by-a-star": (paths("*", verbs="*"), PathQuestion("post", "/metrics"), True),
    "a-resource-is-no-path": (rule("*", "*", ("*",)), PathQuestion("get", "/pods"), False),
}


@parametrize(PATHS, "written, question, allowed")
def test_path_rule_matches_as_in_the_api_server(
    written: Body,
    question: PathQuestion,
    allowed: bool,  # noqa: FBT001 - a case
) -> None:
    """A rule for paths of a ClusterRole that is bound in the cluster grants what it matches."""
    found = policy(cluster_role(written), binding("ClusterRole/r", None))

    assert allows(found, question) is allowed


EVERYTHING: Final = cluster_role(rule("*", "*", ("*",)), paths("*", "*"))
SCOPES: Final[dict[str, tuple[list[Body], Question, bool]]] = {
    "a-role-in-its-namespace": ([role(rule()), binding()], ask(), True),
    "a-role-in-another-namespace": ([role(rule()), binding()], ask(namespace="team-b"), False),
    "a-role-at-cluster-scope": ([role(rule()), binding()], ask(namespace=None), False),
    "a-cluster-role-bound-in-the-cluster": (
        [EVERYTHING, binding("ClusterRole/r", None)],
        ask("nodes", namespace=None),
        True,
    ),
    "a-cluster-role-bound-in-the-cluster-is-for-every-namespace": (
        [EVERYTHING, binding("ClusterRole/r", None)],
        ask(namespace="team-b"),
        True,
    ),
    "a-cluster-role-bound-in-a-namespace": ([EVERYTHING, binding("ClusterRole/r")], ask(), True),
    "a-cluster-role-bound-in-a-namespace-not-in-another": (
        [EVERYTHING, binding("ClusterRole/r")],
        ask(namespace="team-b"),
        False,
    ),
    "a-cluster-role-bound-in-a-namespace-not-at-cluster-scope": (
        [EVERYTHING, binding("ClusterRole/r")],
        ask("nodes", namespace=None),
        False,
    ),
    "a-cluster-role-bound-in-a-namespace-not-for-paths": (
        [EVERYTHING, binding("ClusterRole/r")],
        PathQuestion("get", "/metrics"),
        False,
    ),
    "a-cluster-role-that-nothing-binds": ([EVERYTHING], ask(), False),
    "a-role-is-not-a-cluster-role-of-its-name": (
        [role(rule()), binding("ClusterRole/r")],
        ask(),
        False,
    ),
    "a-role-of-another-namespace": (
        [role(rule(), namespace="team-b"), binding()],
        ask(),
        False,
    ),
    "a-missing-role-grants-nothing": ([binding("Role/absent")], ask(), False),
    "a-missing-role-does-not-stop-the-next": (
        [binding("Role/absent", name="a"), role(rule()), binding()],
        ask(),
        True,
    ),
    "rules-that-are-null": ([body("Role", "r", "team-a", rules=None), binding()], ask(), False),
    "subjects-that-are-null": ([role(rule()), binding() | {"subjects": None}], ask(), False),
    "the-second-rule": ([role(rule("secrets"), rule()), binding()], ask(), True),
    "two-rules-do-not-add-up": (
        [role(rule("secrets", "get"), rule("pods", "list")), binding()],
        ask("pods", "get"),
        False,
    ),
    "an-object-of-another-group": (
        [role(rule()) | {"apiVersion": "authorization.openshift.io/v1"}, binding()],
        ask(),
        False,
    ),
    "an-older-version-of-the-group": (
        [role(rule()) | {"apiVersion": f"{GROUP}/v1beta1"}, binding()],
        ask(),
        True,
    ),
    "a-later-object-of-the-same-name-counts": (
        [role(rule()), binding(), role(rule("secrets"))],
        ask(),
        False,
    ),
}


@parametrize(SCOPES, "objects, question, allowed")
def test_binding_reaches_as_far_as_in_the_api_server(
    objects: list[Body],
    question: Question,
    allowed: bool,  # noqa: FBT001 - a case
) -> None:
    """A binding grants in its scope what the role that it refers to grants."""
    assert allows(policy(*objects), question) is allowed


def user(name: str) -> Body:
    """A subject of kind User."""
    return {"kind": "User", "apiGroup": GROUP, "name": name}


def group(name: str) -> Body:
    """A subject of kind Group."""
    return {"kind": "Group", "apiGroup": GROUP, "name": name}


def account(name: str, namespace: str | None = None) -> Body:
    """A subject of kind ServiceAccount."""
    own = {"namespace": namespace} if namespace is not None else {}
    return {"kind": "ServiceAccount", "name": name, **own}


IN_CLUSTER: Final = None
SUBJECTS: Final[dict[str, tuple[Body, str | None, bool]]] = {
    "the-service-account": (account("robot", "team-a"), IN_CLUSTER, True),
    "a-service-account-of-another-namespace": (account("robot", "team-b"), IN_CLUSTER, False),
    "another-service-account": (account("robo", "team-a"), IN_CLUSTER, False),
    "a-service-account-without-namespace": (account("robot"), "team-a", True),
    "a-service-account-with-an-empty-namespace": (account("robot", ""), "team-a", True),
    "a-service-account-without-namespace-elsewhere": (account("robot"), "team-b", False),
    "a-service-account-without-namespace-in-the-cluster": (account("robot"), IN_CLUSTER, False),
    "the-user-of-the-service-account": (
        user("system:serviceaccount:team-a:robot"),
        IN_CLUSTER,
        True,
    ),
    "a-user-with-the-bare-name": (user("robot"), IN_CLUSTER, False),
    "a-user-star-is-nobody": (user("*"), IN_CLUSTER, False),
    "all-service-accounts": (group("system:serviceaccounts"), IN_CLUSTER, True),
    "all-service-accounts-of-the-namespace": (
        group("system:serviceaccounts:team-a"),
        IN_CLUSTER,
        True,
    ),
    "all-service-accounts-of-another-namespace": (
        group("system:serviceaccounts:team-b"),
        IN_CLUSTER,
        False,
    ),
    "everybody-who-is-authenticated": (group("system:authenticated"), IN_CLUSTER, True),
    "everybody-who-is-not": (group("system:unauthenticated"), IN_CLUSTER, False),
    "a-group-star-is-nobody": (group("*"), IN_CLUSTER, False),
    "a-group-with-the-name-of-the-user": (
        group("system:serviceaccount:team-a:robot"),
        IN_CLUSTER,
        False,
    ),
    "a-user-with-the-name-of-a-group": (user("system:authenticated"), IN_CLUSTER, False),
    "a-kind-that-does-not-exist": (
        {"kind": "Robot", "name": "system:serviceaccount:team-a:robot"},
        IN_CLUSTER,
        False,
    ),
}


@parametrize(SUBJECTS, "subject, namespace, reached")
def test_subject_means_whom_the_api_server_means(
    subject: Body,
    namespace: str | None,
    reached: bool,  # noqa: FBT001 - a case
) -> None:
    """A binding reaches the ServiceAccount exactly by the subjects that mean it."""
    found = policy(cluster_role(rule()), binding("ClusterRole/r", namespace, "b", subject))

    assert allows(found, ask(namespace=namespace or "team-a")) is reached


def labelled(name: str, *rules: Body, **labels: str) -> Body:
    """A ClusterRole with labels."""
    found = cluster_role(*rules, name=name)
    found["metadata"]["labels"] = labels
    return found


def union(name: str, *selectors: Body, rules: list[Body] | None = None, **labels: str) -> Body:
    """An aggregated ClusterRole with labels of its own."""
    rest = {"aggregationRule": {"clusterRoleSelectors": list(selectors)}, "rules": rules}
    found = body("ClusterRole", name, **rest)
    found["metadata"]["labels"] = labels
    return found


PART: Final = {"matchLabels": {"to": "all"}}
UNIONS: Final[dict[str, tuple[list[Body], bool]]] = {
    "a-part": ([union("r", PART), labelled("part", rule(), to="all")], True),
    "no-part": ([union("r", PART), labelled("part", rule(), to="none")], False),
    "any-of-two-selectors": (
        [union("r", {"matchLabels": {"a": "b"}}, PART), labelled("part", rule(), to="all")],
        True,
    ),
    "every-label-of-a-selector": (
        [union("r", {"matchLabels": {"to": "all", "a": "b"}}), labelled("p", rule(), to="all")],
        False,
    ),
    "an-expression": (
        [
            union(
                "r", {"matchExpressions": [{"key": "to", "operator": "In", "values": ["a", "all"]}]}
            ),
            labelled("part", rule(), to="all"),
        ],
        True,
    ),
    "an-empty-selector-is-every-cluster-role": (
        [union("r", {}), cluster_role(rule(), name="any")],
        True,
    ),
    "own-rules-are-overwritten": (
        [union("r", PART, rules=[rule()]), labelled("part", rule("secrets"), to="all")],
        False,
    ),
    "own-rules-stay-where-nothing-overwrites-them": (
        [union("r", PART, rules=[rule()]), labelled("part", to="all")],
        True,
    ),
    "own-rules-that-stay-are-a-part-of-others": (
        [
            union("r", PART, rules=[rule("secrets")]),
            union("a", {"matchLabels": {"to": "a"}}, rules=[rule()], to="all"),
        ],
        True,
    ),
    "own-rules-that-stay-nowhere": (
        [
            union("r", PART, rules=[rule()]),
            union("z", {"matchLabels": {"to": "z"}}, rules=[rule("secrets")], to="all"),
        ],
        False,
    ),
    "a-part-of-a-part": (
        [
            union("r", PART),
            union("a", {"matchLabels": {"to": "a"}}, to="all"),
            labelled("z", rule(), to="a"),
        ],
        True,
    ),
    "a-circle": (
        [
            union("r", PART, to="other"),
            union("s", {"matchLabels": {"to": "other"}}, to="all"),
            labelled("part", rule(), to="other"),
        ],
        True,
    ),
    "a-role-is-no-part": (
        [union("r", PART), role(rule(), name="part") | {"labels": {"to": "all"}}],
        False,
    ),
}


@parametrize(UNIONS, "roles, allowed")
def test_aggregated_cluster_role_grants_what_its_parts_grant(
    roles: list[Body],
    allowed: bool,  # noqa: FBT001 - a case
) -> None:
    """Its rules are those of its parts, and its own only where the parts have none."""
    assert allows(policy(*roles, binding("ClusterRole/r", None)), ask()) is allowed


def test_aggregated_rule_says_where_it_is_written() -> None:
    """The grant names the aggregated role as the API server does, and keeps the part."""
    part = labelled("part", rule("secrets"), rule(), to="all")
    elsewhere = Position(Path("parts.yaml"), 3)
    objects = [(union("r", PART), HERE), (part, elsewhere), (binding("ClusterRole/r"), HERE)]

    grant = Policy.of(objects).decide(ROBOT.username, ROBOT.groups, ask()).grant

    assert grant is not None
    assert (str(grant.role), grant.rule.written_in, grant.rule.index) == (
        "ClusterRole r",
        "ClusterRole part",
        1,
    )
    assert grant.origin == elsewhere
    assert 'of ClusterRole "r" to' in grant.reason


REASONS: Final[dict[str, tuple[Body, str]]] = {
    "a-service-account-by-a-role-binding": (
        binding("ClusterRole/r", "team-a", "b", account("robot")),
        'RoleBinding "b/team-a" of ClusterRole "r" to ServiceAccount "robot/team-a"',
    ),
    "a-service-account-by-a-cluster-role-binding": (
        binding("ClusterRole/r", None),
        'ClusterRoleBinding "b" of ClusterRole "r" to ServiceAccount "robot/team-a"',
    ),
    "a-user": (
        binding("ClusterRole/r", None, "b", user(ROBOT.username)),
        'ClusterRoleBinding "b" of ClusterRole "r" to User "system:serviceaccount:team-a:robot"',
    ),
    "the-first-subject-that-means-it": (
        binding(
            "ClusterRole/r",
            None,
            "b",
            account("other", "team-a"),
            group("system:authenticated"),
            account("robot", "team-a"),
        ),
        'ClusterRoleBinding "b" of ClusterRole "r" to Group "system:authenticated"',
    ),
    "a-role": (
        binding("Role/r"),
        'RoleBinding "b/team-a" of Role "r" to ServiceAccount "robot/team-a"',
    ),
}


@parametrize(REASONS, "bound, reason")
def test_reason_is_the_text_of_the_review(bound: Body, reason: str) -> None:
    """A grant is written exactly as in status.reason of a SubjectAccessReview."""
    found = policy(cluster_role(rule()), role(rule()), bound)

    decision = found.decide(ROBOT.username, ROBOT.groups, ask())

    assert decision.reason == f"RBAC: allowed by {reason}"
    assert found.may_say(ROBOT.username, ROBOT.groups, ask(), decision.reason)


def test_cluster_role_binding_is_named_before_role_bindings() -> None:
    """Of grants of both scopes, the API server looks at those of the cluster first."""
    found = policy(
        role(rule()),
        cluster_role(rule()),
        binding("Role/r", name="a"),
        binding("ClusterRole/r", None, "z"),
    )
    by_role_binding = 'RoleBinding "a/team-a" of Role "r" to ServiceAccount "robot/team-a"'

    grants = found.all_grants(ROBOT.username, ROBOT.groups, ask())

    assert [grant.binding.name for grant in grants] == ["z", "a"]
    assert found.decide(ROBOT.username, ROBOT.groups, ask()).grant == grants[0]
    assert found.may_say(ROBOT.username, ROBOT.groups, ask(), grants[0].reason)
    assert not found.may_say(
        ROBOT.username, ROBOT.groups, ask(), f"RBAC: allowed by {by_role_binding}"
    )


def test_any_binding_of_one_scope_may_be_named() -> None:
    """Within a scope the API server has no order, and a binding is one grant however it grants."""
    found = policy(role(rule(), rule("*")), binding(name="a"), binding(name="b"))

    grants = found.all_grants(ROBOT.username, ROBOT.groups, ask())

    assert [(grant.binding.name, grant.rule.index) for grant in grants] == [("a", 0), ("b", 0)]
    for grant in grants:
        assert found.may_say(ROBOT.username, ROBOT.groups, ask(), grant.reason)
    assert not found.may_say(ROBOT.username, ROBOT.groups, ask(), "")


def test_missing_roles_are_the_reason_of_a_denial() -> None:
    """A denial says which roles do not exist, once each, in whatever order."""
    found = policy(
        binding("Role/x", name="a"),
        binding("ClusterRole/y", name="b"),
        binding("ClusterRole/y", None, "c"),
        binding("Role/z", "team-b"),
        binding("Role/z", "team-a", "d", account("other")),
    )
    x = f'role.{GROUP} "x" not found'
    y = f'clusterrole.{GROUP} "y" not found'

    decision = found.decide(ROBOT.username, ROBOT.groups, ask())

    assert (decision.allowed, decision.grant, decision.unresolved) == (False, None, (y, x))
    for reason in (f"RBAC: [{x}, {y}]", decision.reason):
        assert found.may_say(ROBOT.username, ROBOT.groups, ask(), reason)
    assert not found.may_say(ROBOT.username, ROBOT.groups, ask(), f"RBAC: {x}")
    assert found.may_say(ROBOT.username, ROBOT.groups, ask(namespace=None), f"RBAC: {y}")
    assert found.may_say("jane", (), ask(), "")


@parametrize(
    {
        "plain": ("a:b", '"a:b"'),
        "quotes": ('o"hara\\', '"o\\"hara\\\\"'),
        "letters-of-other-scripts": ("jürgen 日本", '"jürgen 日本"'),
        "control-characters": ("\n\t\x00\x7f", '"\\n\\t\\x00\\x7f"'),
        "what-cannot-be-seen": ("\u200b\u00a0\U000e0001", '"\\u200b\\u00a0\\U000e0001"'),
    },
    "text, written",
)
def test_names_are_quoted_as_in_go(text: str, written: str) -> None:
    """A name is written as Go's %q writes it, else no reason with an odd name would agree."""
    assert quoted(text) == written


def test_order_of_the_objects_does_not_matter() -> None:
    """Whoever reads the files in another order gets the same decision and grant."""
    objects = [
        union("r", PART),
        labelled("b", rule(), to="all"),
        labelled("a", rule("*"), to="all"),
        binding("ClusterRole/r", None, "y"),
        binding("ClusterRole/r", None, "x"),
        binding("ClusterRole/r"),
    ]
    asked = (ROBOT.username, ROBOT.groups, ask())

    there, back = policy(*objects), policy(*reversed(objects))

    assert there.all_grants(*asked) == back.all_grants(*asked)
    assert there.decide(*asked) == back.decide(*asked)


def test_universe_of_many_subjects_takes_no_time(discovery: Discovery) -> None:
    """The universes of 20 subjects are decided in under a second, or editors would wait."""
    subjects = [Subject("team-a", f"robot-{number}") for number in range(20)]
    objects = [role(rule("pods pods/log", "get list")), cluster_role(rule("*/scale", "*", ("*",)))]
    for subject in subjects:
        named = account(subject.name, subject.namespace)
        objects.append(binding("Role/r", "team-a", subject.name, named))
        objects.append(binding("ClusterRole/r", None, subject.name, named))
    questions = [
        ResourceQuestion(verb, resource, namespace)
        for resource in discovery.served
        for verb in VERBS
        for namespace in ("team-a", None)
    ]
    began = time.process_time()

    found = policy(*objects)
    allowed = sum(
        allows(found, question, subject) for subject in subjects for question in questions
    )

    assert len(questions) > 1300
    assert allowed > 0
    assert time.process_time() - began < 1.0
