"""The policy judge against the API server's own authorizer, on random roles, bindings, questions.

Each example applies a set of objects under names of its own, waits until the authorizer has seen
them, and asks some hundred SubjectAccessReviews. Most questions are put near the rules: what a rule
grants, often with one part of it exchanged.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from rbac_matrix.aggregation import wait_for_aggregation
from rbac_matrix.cell import PathQuestion, ResourceName, ResourceQuestion, Subject
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.judges.policy import Policy
from rbac_matrix.objects import Objects
from rbac_matrix.probe.start import admin_probe
from rbac_matrix.requests import Request
from rbac_matrix.settle import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from conftest import Tally
    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Question
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.probe.session import ProbeSession

Body = dict[str, Any]
Asked = tuple["Identity", "Question"]

GROUP: Final = "rbac.authorization.k8s.io"
ASK_DEADLINE: Final = 120.0  # seconds for the questions of one example
NORTH, SOUTH = NAMESPACES = ("differential-north", "differential-south")
ODD: Final = 'o"hara \\ \u200b\xe9'  # what Go quotes otherwise than Python

# The plain values come first: hypothesis shrinks towards them.
VERBS: Final = ("get", "list", "watch", "create", "deletecollection", "impersonate", "GET", "*")
API_GROUPS: Final = ("", "apps", "*")
RULE_RESOURCES: Final = (
    *("pods", "deployments", "nodes", "pods/log", "deployments/scale", "Pods"),
    *("*/scale", "*/log", "pods/*", "*/*", "*/", "*"),
)
PLURALS: Final = ("pods", "deployments", "nodes", "Pods", "*")
SUBRESOURCES: Final = ("", "log", "scale", "exec", "*")
NAMES: Final = ("web", "blog", "")
RULE_PATHS: Final = ("/metrics", "/logs/*", "/met*", "/logs**", "/*/x", "/", "", "*")
PATHS: Final = ("/metrics", "/metrics/slis", "/logs/x", "/logs", "/a/x", "/*/x", "/", "", "*")
SCOPES: Final = (NORTH, SOUTH, "differential-absent", None)
PARTS: Final = ("a", "b")
MISSING: Final = "missing"
BESIDES: Final = (("ClusterRole", "view"), ("ClusterRole", MISSING), ("Role", MISSING))


@dataclass(frozen=True)
class Identity:
    """Who is asked for."""

    user: str
    groups: tuple[str, ...] = ()


def account(namespace: str, name: str) -> Identity:
    """A ServiceAccount as its token is authenticated."""
    subject = Subject(namespace, name)
    return Identity(subject.username, subject.groups)


IDENTITIES: Final = (
    *(account(namespace, name) for namespace in NAMESPACES for name in ("reader", "writer")),
    Identity("jane", ("developers", "system:authenticated")),
    Identity("jane"),
    Identity(ODD, ("system:authenticated",)),
    Identity("", ("developers",)),
    Identity(f"system:serviceaccount:{NORTH}:reader"),
    Identity(f"system:serviceaccount:{NORTH}"),
    Identity("*", ("*",)),
)


class Example:
    """Objects to apply, and what decides which questions are put."""

    def __init__(self, objects: Sequence[Body], seed: int) -> None:
        """No dataclass: hypothesis would print it whole, and a failure shows it as YAML."""
        self.objects, self.seed = objects, seed

    def __repr__(self) -> str:
        """Short."""
        return f"<{len(self.objects)} objects, questions by {self.seed}>"


# --- random roles and bindings -------------------------------------------------------------------


def some(values: Sequence[Any], least: int = 1, most: int = 2) -> st.SearchStrategy[list[Any]]:
    """A short list without repeats."""
    return st.lists(st.sampled_from(values), min_size=least, max_size=most, unique=True)


@st.composite
def few(draw: st.DrawFn, values: st.SearchStrategy[Any], most: int) -> list[Any] | None:
    """A short list, now and then empty or null."""
    if draw(st.integers(0, 11)) == 11:
        return draw(st.sampled_from(([], None)))
    return draw(st.lists(values, min_size=1, max_size=most))


RESOURCE_RULES: Final = st.fixed_dictionaries(
    {
        "apiGroups": some(API_GROUPS),
        "resources": some(RULE_RESOURCES, most=3),
        "verbs": some(VERBS),
    },
    optional={"resourceNames": some(NAMES, least=0)},
)
PATH_RULES: Final = st.fixed_dictionaries(
    {"nonResourceURLs": some(RULE_PATHS), "verbs": some(("get", "post", "*"))}
)
LABELS: Final = st.fixed_dictionaries({"part": st.sampled_from(PARTS)})
SELECTORS: Final = st.one_of(
    st.builds(lambda part: {"matchLabels": {"part": part}}, st.sampled_from(PARTS)),
    st.builds(
        lambda operator, parts: {
            "matchExpressions": [
                {"key": "part", "operator": "Exists"},
                {"key": "part", "operator": operator, "values": parts},
            ]
        },
        st.sampled_from(("In", "NotIn")),
        some(PARTS),
    ),
    st.just({"matchExpressions": [{"key": "part", "operator": "Exists"}]}),
)
SUBJECTS: Final = st.one_of(
    st.builds(
        lambda name, namespace: {"kind": "ServiceAccount", "name": name, "namespace": namespace},
        st.sampled_from(("reader", "writer")),
        st.sampled_from(NAMESPACES),
    ),
    st.builds(
        lambda name: {"kind": "User", "apiGroup": GROUP, "name": name},
        st.sampled_from(("jane", f"system:serviceaccount:{NORTH}:reader", ODD, "*")),
    ),
    st.builds(
        lambda name: {"kind": "Group", "apiGroup": GROUP, "name": name},
        st.sampled_from(
            (
                *("developers", f"system:serviceaccounts:{SOUTH}", "system:serviceaccounts"),
                *("system:authenticated", "*"),
            )
        ),
    ),
)
LOCAL_SUBJECTS: Final = SUBJECTS | st.builds(
    lambda name: {"kind": "ServiceAccount", "name": name}, st.sampled_from(("reader", "writer"))
)


def body(kind: str, name: str, namespace: str | None = None, **rest: Any) -> Body:  # noqa: ANN401 - any JSON
    """An RBAC object."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **rest}


def bound(kind: str, name: str) -> Body:
    """A roleRef."""
    return {"apiGroup": GROUP, "kind": kind, "name": name}


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Roles, aggregated ones among them, and bindings that mostly refer to them."""
    roles = [
        body("Role", name, namespace, rules=draw(few(RESOURCE_RULES, 4)))
        for namespace in NAMESPACES
        for name in draw(some(("editor", ODD), least=0))
    ]
    cluster_roles = [
        body("ClusterRole", f"role-{number}", rules=draw(few(RESOURCE_RULES | PATH_RULES, 4)))
        for number in range(draw(st.integers(1, 4)))
    ]
    aggregated = [
        body("ClusterRole", f"union-{number}", aggregationRule={"clusterRoleSelectors": selectors})
        for number, selectors in enumerate(
            draw(st.lists(st.lists(SELECTORS, min_size=1, max_size=2), max_size=3))
        )
    ]
    for role in (*cluster_roles, *aggregated):
        if labels := draw(st.none() | LABELS):
            role["metadata"]["labels"] = labels
        elif "aggregationRule" in role:
            # Not in a role that others aggregate: of two that aggregate each other and begin with
            # rules, it depends on the controller's order which rules stay.
            role["rules"] = draw(few(RESOURCE_RULES, 1))
    references = [
        *(bound(role["kind"], role["metadata"]["name"]) for role in (*cluster_roles, *roles)),
        *(bound("ClusterRole", role["metadata"]["name"]) for role in aggregated * 2),
    ] * 3
    references += [bound(*reference) for reference in BESIDES]
    cluster_wide = [reference for reference in references if reference["kind"] == "ClusterRole"]
    bindings = [
        body(
            "RoleBinding",
            f"binding-{number}",
            draw(st.sampled_from(NAMESPACES)),
            roleRef=draw(st.sampled_from(references)),
            subjects=draw(few(LOCAL_SUBJECTS, 4)),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    bindings += [
        body(
            "ClusterRoleBinding",
            f"binding-{number}",
            roleRef=draw(st.sampled_from(cluster_wide)),
            subjects=draw(few(SUBJECTS, 3)),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    # Aggregated ones last, so that they are deleted first, and the controller does not write them
    # anew for every part that goes.
    objects = [*roles, *cluster_roles, *bindings, *aggregated]
    return Example(objects, draw(st.integers(0, 2**16)))


# --- questions -----------------------------------------------------------------------------------


def questions_near(chosen: Example, count: int) -> list[Asked]:
    """Questions, most of them near what a binding of the example grants."""
    chance = random.Random(chosen.seed)  # noqa: S311 - has to be repeatable
    grants = list(_grants(chosen.objects))
    found: dict[Asked, None] = {}
    while len(found) < count:
        near = grants and chance.random() < 0.95
        asked = _granted(chance, *chance.choice(grants)) if near else _anything(chance)
        if near and chance.random() < 0.4:
            asked = _exchanged(chance, asked)
        found[asked] = None
        if chance.random() < 0.01:  # A few grants have few questions.
            found[_anything(chance)] = None
    return list(found)[:count]


def _grants(objects: Sequence[Body]) -> Iterator[tuple[Body, Body, Body]]:
    """Bindings with a subject and a rule that may be theirs, by what is written."""
    for binding in objects:
        if "roleRef" not in binding:
            continue
        for role in objects:
            refers = (
                role["metadata"]["name"] == binding["roleRef"]["name"]
                and role["kind"] == binding["roleRef"]["kind"]
            )
            aggregated = "labels" in role["metadata"] and "union" in binding["roleRef"]["name"]
            if "roleRef" in role or not (refers or aggregated):
                continue
            for rule in role.get("rules") or ():
                for subject in binding["subjects"] or ():
                    yield binding, subject, rule


def _granted(chance: random.Random, binding: Body, subject: Body, rule: Body) -> Asked:
    namespace = binding["metadata"].get("namespace")
    meant = subject["name"]
    if subject["kind"] == "ServiceAccount":
        meant = f"system:serviceaccount:{subject.get('namespace') or namespace}:{meant}"
    identity = chance.choice([one for one in IDENTITIES if meant in (one.user, *one.groups)])
    verb = chance.choice(rule["verbs"])
    verb = chance.choice(VERBS) if verb == "*" else verb
    if "nonResourceURLs" in rule:
        path = chance.choice(rule["nonResourceURLs"])
        return identity, PathQuestion(verb, path.replace("*", chance.choice(("", "x", "/x"))))
    group, resource = chance.choice(rule["apiGroups"]), chance.choice(rule["resources"])
    plural, _, subresource = resource.partition("/")
    scope = namespace if namespace and chance.random() < 0.9 else chance.choice(SCOPES)
    return identity, ResourceQuestion(
        verb,
        ResourceName(
            chance.choice(API_GROUPS) if group == "*" else group,
            chance.choice(PLURALS) if plural == "*" else plural,
            chance.choice(SUBRESOURCES) if resource == "*" else subresource,
        ),
        scope,
        chance.choice(rule.get("resourceNames") or NAMES),
    )


def _exchanged(chance: random.Random, asked: Asked) -> Asked:
    """With one part exchanged for any other."""
    identity, question = asked
    other_identity, other = _anything(chance, path=isinstance(question, PathQuestion))
    if chance.random() < 0.2:
        return other_identity, question
    part = chance.choice(("verb", "path") if isinstance(question, PathQuestion) else _PARTS)
    changed = copy.copy(question)
    if part in ("group", "plural", "subresource"):
        resource = copy.copy(question.resource)
        object.__setattr__(resource, part, getattr(other.resource, part))
        object.__setattr__(changed, "resource", resource)
    else:
        object.__setattr__(changed, part, getattr(other, part))
    return identity, changed


_PARTS: Final = ("verb", "namespace", "name", "group", "plural", "subresource")


def _anything(chance: random.Random, *, path: bool | None = None) -> Asked:
    identity = chance.choice(IDENTITIES)
    if path or (path is None and chance.random() < 0.1):
        return identity, PathQuestion(chance.choice(("get", "post")), chance.choice(PATHS))
    resource = ResourceName(*map(chance.choice, (API_GROUPS, PLURALS, SUBRESOURCES)))
    return identity, ResourceQuestion(
        chance.choice(VERBS), resource, chance.choice(SCOPES), chance.choice(NAMES)
    )


# --- the smallest counterexample -----------------------------------------------------------------


def smallest(objects: Sequence[Body], fails: Callable[[Sequence[Body]], bool]) -> list[Body]:
    """The objects without everything that can be left out so that they still fail.

    Hypothesis' own shrinking draws other questions for every smaller set, which takes minutes on a
    server and leaves more; this asks the one question again.
    """
    least = copy.deepcopy(list(objects))
    smaller = True
    while smaller:
        smaller = False
        nodes: list[Any] = [least]
        for node in nodes:  # Grows on the way, so that whole objects are tried before their parts.
            if isinstance(node, list):
                for index in reversed(range(len(node))):
                    removed = node.pop(index)
                    if fails(least):
                        smaller = True
                    else:
                        node.insert(index, removed)
            children = node.values() if isinstance(node, dict) else node
            nodes += [child for child in children if isinstance(child, (dict, list))]
    return least


# --- the comparison ------------------------------------------------------------------------------


class Reality:
    """A cluster that examples are applied to."""

    def __init__(
        self, admin: Admin, probe: ProbeSession, objects: Objects, brought: Sequence[Body]
    ) -> None:
        """Begin with what the cluster brought."""
        self.admin, self.probe, self.objects, self.brought = admin, probe, objects, brought
        self.numbers = itertools.count()

    def compare(self, chosen: Example, count: int, tally: Tally) -> None:
        """Apply the objects, ask both, and fail with the least that they disagree on."""
        asked = questions_near(chosen, count)
        try:
            allowed, wrong = self._disagreements(chosen.objects, asked)
        except RbacMatrixError as error:  # Says nothing of the judge.
            pytest.exit(f"{error}", returncode=pytest.ExitCode.INTERNAL_ERROR)
        if wrong:
            tally.disagreed = True
            one = min(wrong, key=lambda one: (len(wrong[one]), wrong[one]))
            least = smallest(chosen.objects, lambda smaller: self._disagree(smaller, one))
            _, shown = self._disagreements(least, [one])
            pytest.fail(
                f"{len(wrong)} of {len(asked)} answers differ. Apply:\n\n"
                f"{_yaml([*map(_namespace, NAMESPACES), *least])}\n"
                f"Ask with `kubectl create -o yaml -f -`:\n\n{_yaml([_review_of(*one)])}\n"
                f"The answers:\n\n{shown[one]}",
                pytrace=False,
            )
        tally.add(len(asked), allowed)

    def _disagree(self, objects: Sequence[Body], one: Asked) -> bool:
        try:
            return bool(self._disagreements(objects, [one])[1])
        except RbacMatrixError:  # The server refuses, say, a rule without verbs.
            return False

    def _disagreements(
        self, objects: Sequence[Body], asked: Sequence[Asked]
    ) -> tuple[int, dict[Asked, str]]:
        """How many questions are allowed, and both answers to each that is answered differently."""
        suffix = f".example{next(self.numbers)}"
        applied = [_renamed(found, suffix) for found in objects]
        mark = self.objects.mark()
        try:
            for found in applied:
                self.objects.create(found, "the example")
            wait_for_aggregation(self.admin)
            settle(self.admin, self.objects)
            statuses = self._review(asked)
        finally:
            self.objects.remove_since(mark)
        policy = Policy.of((found, None) for found in (*self.brought, *applied))
        wrong: dict[Asked, str] = {}
        for one, status in zip(asked, statuses, strict=True):
            identity, question = one
            decision = policy.decide(identity.user, identity.groups, question)
            reason = str(status.get("reason", ""))
            if (
                status["allowed"] is not decision.allowed
                or not policy.may_say(identity.user, identity.groups, question, reason)
                or "evaluationError" in status
            ):
                judged = {"allowed": decision.allowed, "reason": decision.reason}
                text = _yaml([{"SubjectAccessReview": status, "policy judge": judged}])
                wrong[one] = text.replace(suffix, "")
        return sum(bool(status["allowed"]) for status in statuses), wrong

    def _review(self, asked: Sequence[Asked]) -> list[Mapping[str, Any]]:
        requests = [
            Request(
                "POST",
                f"/apis/{_REVIEW['apiVersion']}/subjectaccessreviews",
                json.dumps(_review_of(*one)),
                reads_body=True,
            )
            for one in asked
        ]
        answers = self.probe.ask(requests, ASK_DEADLINE)
        assert {answer.status for answer in answers} == {201}, {str(answer) for answer in answers}
        return [json.loads(answer.body or "")["status"] for answer in answers]


_REVIEW: Final = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}


def _review_of(identity: Identity, question: Question) -> Body:
    spec: Body = {"user": identity.user, "groups": list(identity.groups)}
    if isinstance(question, PathQuestion):
        spec["nonResourceAttributes"] = {"verb": question.verb, "path": question.path}
    else:
        spec["resourceAttributes"] = {
            "verb": question.verb,
            "group": question.resource.group,
            "resource": question.resource.plural,
            "subresource": question.resource.subresource,
            "namespace": question.namespace or "",
            "name": question.object_name,
        }
    return {**_REVIEW, "spec": spec}


def _renamed(found: Body, suffix: str) -> Body:
    """Under a name of this example alone; what the cluster brought keeps its name."""
    renamed = copy.deepcopy(found)
    renamed["metadata"]["name"] += suffix
    if "roleRef" in renamed and renamed["roleRef"]["name"] != "view":
        renamed["roleRef"]["name"] += suffix
    return renamed


def _namespace(name: str) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _yaml(documents: Sequence[Body]) -> str:
    plain = json.loads(json.dumps(documents))  # Without anchors for what is shared.
    text: str = yaml.safe_dump_all(plain, sort_keys=False, explicit_start=True, allow_unicode=True)
    return text


@pytest.fixture(name="reality", scope="module")
def _reality(cluster: Cluster, admin: Admin) -> Iterator[Reality]:
    if not cluster.disposable:
        pytest.skip("grants a lot to everybody: only on a cluster that is thrown away afterwards")
    brought = [
        {"apiVersion": f"{GROUP}/v1", "kind": kind, **found}
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
        for found in admin.request("GET", f"/apis/{GROUP}/v1/{kind.lower()}s")["items"]
    ]
    objects = Objects(admin, admin.discovery())
    mark = objects.mark()
    with admin_probe(cluster.admin) as probe:
        try:
            for name in NAMESPACES:
                objects.create(_namespace(name), "the comparison")
            yield Reality(admin, probe, objects, brought)
        finally:
            objects.remove_since(mark)


JANE: Final = {"kind": "User", "apiGroup": GROUP, "name": "jane"}
ALL_PODS: Final = {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}
EMPTY_SELECTOR: Final = Example(
    [
        body("ClusterRoleBinding", "all", roleRef=bound("ClusterRole", "all"), subjects=[JANE]),
        body("ClusterRole", "all", aggregationRule={"clusterRoleSelectors": [{}]}),
    ],
    seed=0,
)
TWO_MISSING_ROLES: Final = Example(
    [
        body("Role", "editor", NORTH, rules=[ALL_PODS]),
        *(
            body("RoleBinding", kind, NORTH, roleRef=bound(kind, MISSING), subjects=[JANE])
            for kind in ("Role", "ClusterRole")
        ),
        body("RoleBinding", "edit", NORTH, roleRef=bound("Role", "editor"), subjects=[JANE]),
    ],
    seed=0,
)


UNION_OF_NOTHING: Final = Example(
    [
        body("ClusterRoleBinding", "all", roleRef=bound("ClusterRole", "all"), subjects=[JANE]),
        body(
            "ClusterRole",
            "all",
            aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"part": "a"}}]},
            rules=[ALL_PODS],
        ),
    ],
    seed=0,
)


@example(EMPTY_SELECTOR)
@example(UNION_OF_NOTHING)
@example(TWO_MISSING_ROLES)
@given(examples())
def test_policy_judge_decides_as_the_api_server(
    reality: Reality, tally: Tally, questions_per_example: int, chosen: Example
) -> None:
    """Whatever is bound to whom, both judges decide alike and name the same grant."""
    reality.compare(chosen, questions_per_example, tally)


def test_enough_was_compared(tally: Tally) -> None:
    """The comparison above did happen, on questions of which a good part is allowed."""
    if tally.disagreed:
        pytest.skip("it failed")
    assert tally.comparisons >= tally.wanted
    assert tally.allowed > tally.comparisons / 10
