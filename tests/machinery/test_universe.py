"""The universe: all that a cluster can be asked, and how each question of it can be put."""

from __future__ import annotations

import collections
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.cell import PATH_VERBS, VERBS, PathQuestion, ResourceName, ResourceQuestion
from rbac_matrix.discovery import parse_definitions
from rbac_matrix.schema import check_against
from rbac_matrix.universe import Universe, universe_of
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.discovery import Discovery

NAMESPACES: Final = ("team-a", "bystander")
RBAC: Final = "rbac.authorization.k8s.io"
IN_NAMESPACES_OF_THEIR_OWN: Final = frozenset({"get", "update", "patch", "delete"})
"""Verbs of `namespaces` whose request names a namespace, which is then asked within itself."""


@pytest.fixture(scope="module")
def universe(discovery: Discovery) -> Universe:
    """The universe of the recorded Kubernetes version in two namespaces."""
    return universe_of(discovery, NAMESPACES)


def about_resources(universe: Universe) -> list[ResourceQuestion]:
    """Its questions that some request puts about a resource."""
    return [
        question
        for question in universe.questions
        if isinstance(question, ResourceQuestion) and question not in universe.not_requested
    ]


def test_every_scope_has_questions_and_none_comes_twice(universe: Universe) -> None:
    """Two namespaces are asked the same, and no question counts for two."""
    by_scope = collections.Counter(question.scope for question in universe.questions)

    assert set(by_scope) == {*NAMESPACES, "-"}
    assert by_scope["team-a"] == by_scope["bystander"] > 300
    assert by_scope["-"] > by_scope["team-a"]
    assert len(set(universe.questions)) == len(universe.questions)


def test_every_verb_that_is_served_is_asked(universe: Universe, discovery: Discovery) -> None:
    """Whatever discovery lists for a resource or subresource is a question somewhere."""
    asked = {(question.resource, question.verb) for question in about_resources(universe)}
    served = {
        (name, verb) for name, resource in discovery.served.items() for verb in resource.verbs
    }

    assert asked == served


def test_what_goes_beyond_discovery_is_what_its_schema_says() -> None:
    """It is read unchecked at every run, so here is where a mistake in it is found."""
    with resources.as_file(resources.files("rbac_matrix") / "recorded") as folder:
        check_against("beyond-discovery", load_documents(folder / "beyond-discovery.yaml")[0])


def test_every_namespaced_verb_is_asked_in_every_scope(
    universe: Universe, discovery: Discovery
) -> None:
    """All namespaces at once is a scope like another one: a ClusterRoleBinding grants there."""
    scopes = collections.defaultdict(set)
    for question in about_resources(universe):
        if discovery.find(question.resource).namespaced:
            scopes[question.resource, question.verb].add(question.namespace)

    assert scopes
    assert all(found == {*NAMESPACES, None} for found in scopes.values())


def test_cluster_scoped_resources_are_asked_at_cluster_scope_only(
    universe: Universe, discovery: Discovery
) -> None:
    """But for a namespace itself, no request about them has a namespace."""
    for question in about_resources(universe):
        if discovery.find(question.resource).namespaced:
            continue
        if question.resource.plural == "namespaces":
            within = question.verb in IN_NAMESPACES_OF_THEIR_OWN
            assert (question.namespace is not None) is within, question
        else:
            assert question.namespace is None, question


def test_without_rules_for_objects_no_question_is_about_one(universe: Universe) -> None:
    """RBAC tells apart only the objects that rules name: one absent object is any other."""
    assert {question.name for question in about_resources(universe)} == {""}


def test_paths_are_what_the_index_lists_and_what_it_leaves_out(
    universe: Universe, discovery: Discovery
) -> None:
    """Each with every method that a rule can grant."""
    found = collections.defaultdict(list)
    for question in universe.questions:
        if isinstance(question, PathQuestion):
            found[question.path].append(question.verb)

    assert set(found) > set(discovery.paths)
    assert set(map(tuple, found.values())) == {PATH_VERBS}
    assert {"/", "/metrics", "/version", "/healthz", "/logs/", "/debug/pprof/heap"} < set(found)


ROLES: Final = ("roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io")
NOT_REQUESTED: Final = {
    "escalate-roles-in-a-namespace": ("escalate", ROLES[0], "team-a"),
    "escalate-roles-everywhere": ("escalate", ROLES[0], None),
    "bind-cluster-roles": ("bind", ROLES[1], None),
    "impersonate-users": ("impersonate", "users", None),
    "impersonate-groups": ("impersonate", "groups", None),
    "impersonate-uids": ("impersonate", "uids.authentication.k8s.io", None),
    "impersonate-service-accounts": ("impersonate", "serviceaccounts", "team-a"),
    "approve-signers": ("approve", "signers.certificates.k8s.io", None),
    "sign-signers": ("sign", "signers.certificates.k8s.io", None),
}


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"), NOT_REQUESTED.values(), ids=NOT_REQUESTED
)
def test_a_verb_that_no_request_has_is_not_requested(
    universe: Universe, verb: str, resource: str, namespace: str | None
) -> None:
    """It is in the universe with a reason, so that the other judges still answer it."""
    question = ResourceQuestion(verb, ResourceName.parse(resource), namespace)

    assert question in universe.questions
    assert "no request has this verb" in universe.not_requested[question]


UNSENT: Final = {
    ("get", "/debug/pprof/profile"): "it profiles the API server for half a minute",
    ("post", "/debug/pprof/trace"): "it traces the API server",
    ("delete", "/metrics"): "it resets the metrics",
    ("put", "/debug/flags/v"): "whether PUT has an effect there is not known",
    ("post", "/logs/"): "whether POST has an effect there is not known",
    ("head", "/healthz"): "the answer to a HEAD has no body",
}


@pytest.mark.parametrize(("asked", "why"), UNSENT.items(), ids=map(":".join, UNSENT))
def test_a_path_that_may_have_an_effect_is_not_requested(
    universe: Universe, asked: tuple[str, str], why: str
) -> None:
    """Nor is one whose refusal would prove nothing; each with its reason."""
    assert universe.not_requested[PathQuestion(*asked)].startswith(why)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_a_path_that_looks_at_no_method_is_requested(universe: Universe, method: str) -> None:
    """A refusal by the server itself is one judge more."""
    for path in ("/healthz", "/livez/etcd", "/api", "/apis/apps/v1", "/version", "/openapi/v2"):
        assert PathQuestion(method, path) not in universe.not_requested


def test_only_what_cannot_be_asked_is_not_requested(universe: Universe) -> None:
    """Each has a reason and is a question; no verb of HTTP on a resource is among them."""
    assert set(universe.not_requested) < set(universe.questions)
    assert all(universe.not_requested.values())
    for question in universe.not_requested:
        assert isinstance(question, PathQuestion) or question.verb not in VERBS
    cluster_roles = [
        question
        for question in universe.not_requested
        if isinstance(question, ResourceQuestion) and question.resource.plural == "clusterroles"
    ]
    assert {question.namespace for question in cluster_roles} == {None}


def test_own_definitions_are_part_of_it(discovery: Discovery) -> None:
    """What a scenario's CustomResourceDefinition will serve, in its scope, with its status."""
    definition = {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.com",
            "names": {"plural": "widgets", "kind": "Widget"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "subresources": {"status": {}}}],
        },
    }
    more = universe_of(discovery.with_resources(parse_definitions([definition])), NAMESPACES)

    before = universe_of(discovery, NAMESPACES)
    added = set(more.questions) - set(before.questions)
    assert len(added) == 3 * (8 + 3)
    assert {str(question.resource) for question in added if isinstance(question, ResourceQuestion)}
    assert set(before.questions) < set(more.questions)


def role(*rules: dict[str, Sequence[str]], namespace: str = "") -> dict[str, Any]:
    """A ClusterRole, or a Role of a namespace."""
    metadata = {"name": "some", "namespace": namespace} if namespace else {"name": "some"}
    kind = "Role" if namespace else "ClusterRole"
    version = "rbac.authorization.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": list(rules)}


def rule(
    verbs: str, resources: str, names: Sequence[str], groups: Sequence[str] = ("",)
) -> dict[str, Sequence[str]]:
    """A rule for objects of these names."""
    return {
        "apiGroups": groups,
        "resources": resources.split(","),
        "verbs": verbs.split(","),
        "resourceNames": names,
    }


def more(
    discovery: Discovery, universe: Universe, *policy: dict[str, Any]
) -> tuple[set[str], dict[str, str]]:
    """What a policy adds, as text: the questions, and those not requested with the reason."""
    found = universe_of(discovery, NAMESPACES, policy)
    assert set(universe.questions) <= set(found.questions)
    added = set(found.questions) - set(universe.questions)
    unsent = {str(each): found.not_requested[each] for each in added & set(found.not_requested)}
    return {str(question) for question in added}, unsent


NAMED: Final[dict[str, tuple[dict[str, Any], set[str]]]] = {
    "a-role-asks-in-its-namespace": (
        role(rule("get,patch", "secrets", ["db", "tls"]), namespace="team-a"),
        {
            'get secrets "db" in team-a',
            'patch secrets "db" in team-a',
            'get secrets "tls" in team-a',
            'patch secrets "tls" in team-a',
        },
    ),
    "a-role-of-another-namespace-is-out-of-the-world": (
        role(rule("get", "secrets", ["db"]), namespace="elsewhere"),
        set(),
    ),
    "a-cluster-role-asks-everywhere": (
        role(rule("list", "secrets", ["db"])),
        {
            'list secrets "db" in team-a',
            'list secrets "db" in bystander',
            'list secrets "db" at cluster scope',
        },
    ),
    "what-carries-no-name-is-not-asked-by-one": (
        role(rule("create,deletecollection", "secrets", ["db"])),
        set(),
    ),
    "every-verb-but-those": (
        role(rule("*", "nodes", ["one"])),
        {
            f'{verb} nodes "one" at cluster scope'
            for verb in ("get", "list", "watch", "update", "patch", "delete")
        },
    ),
    "verbs-that-no-request-has": (
        role(rule("bind", "clusterroles", ["edit"], [RBAC])),
        {f'bind clusterroles.{RBAC} "edit" at cluster scope'},
    ),
    "a-verb-that-only-the-rule-knows": (
        role(rule("get,use", "pods,gadgets", [])),
        {
            f"use {resource} {where}"
            for resource in ("pods", "gadgets")
            for where in ("in team-a", "in bystander", "at cluster scope")
        },
    ),
    "such-a-verb-in-the-namespace-of-its-role": (
        role(rule("use", "gadgets", ["one"], ["example.com"]), namespace="team-a"),
        {"use gadgets.example.com in team-a", 'use gadgets.example.com "one" in team-a'},
    ),
    "such-a-verb-of-what-has-no-namespace": (
        role(rule("impersonate-on:user-info:get", "nodes", [])),
        {"impersonate-on:user-info:get nodes at cluster scope"},
    ),
    "such-a-verb-of-every-resource": (
        role(rule("use", "*", [], ["batch"]), namespace="team-a"),
        {"use cronjobs.batch in team-a"},
    ),
    "such-a-verb-beside-a-wildcard": (
        role(rule("*,use", "nodes", [])),
        {"use nodes at cluster scope"},
    ),
    "a-known-verb-of-what-it-is-known-for": (role(rule("impersonate", "users", [])), set()),
    "resources-that-are-not-stored": (
        role(rule("approve,impersonate", "signers", ["a.example/b"], ["certificates.k8s.io"])),
        {
            'approve signers.certificates.k8s.io "a.example/b" at cluster scope',
            *(
                f"impersonate signers.certificates.k8s.io{named} {where}"
                for named in ("", ' "a.example/b"')
                for where in ("in team-a", "in bystander", "at cluster scope")
            ),
        },
    ),
    "a-subresource-by-its-parent": (
        role(rule("create", "pods/exec", ["web-0"]), namespace="team-a"),
        {'create pods/exec "web-0" in team-a'},
    ),
    "a-namespace-is-asked-within-itself": (role(rule("get", "namespaces", ["team-a"])), set()),
    "a-namespace-that-is-no-scope": (
        role(rule("get", "namespaces", ["prod"])),
        {'get namespaces "prod" at cluster scope'},
    ),
    "the-empty-name-is-no-object": (role(rule("get", "nodes", [""])), set()),
    "resources-that-nobody-serves": (role(rule("get", "gadgets", ["one"])), set()),
    # Each resource with the first name, and each name with the first resource.
    "every-resource-of-a-group": (
        role(rule("watch", "*", ["one", "two"], ["batch"]), namespace="team-a"),
        {
            'watch cronjobs.batch "one" in team-a',
            'watch cronjobs.batch "two" in team-a',
            'watch jobs.batch "one" in team-a',
        },
    ),
    "a-path": (
        role({"nonResourceURLs": ["/custom"], "verbs": ["get", "post", "list"]}),
        {"get /custom", "post /custom"},
    ),
    "a-pattern-that-covers-nothing-known": (
        role({"nonResourceURLs": ["/custom/*"], "verbs": ["get"]}),
        {"get /custom/rbac-matrix-absent"},
    ),
    "a-pattern-that-covers-what-is-known": (
        role({"nonResourceURLs": ["*", "/healthz/*", "/metrics"], "verbs": ["*"]}),
        set(),
    ),
    "paths-of-a-role-grant-nothing": (
        role({"nonResourceURLs": ["/custom"], "verbs": ["*"]}, namespace="team-a"),
        set(),
    ),
}


@pytest.mark.parametrize(("policy", "questions"), NAMED.values(), ids=NAMED)
def test_what_a_rule_names_is_asked(
    discovery: Discovery, universe: Universe, policy: dict[str, Any], questions: set[str]
) -> None:
    """With the verbs of the rule, on its resources, where its role can be bound."""
    assert more(discovery, universe, policy)[0] == questions


NAMED_UNSENT: Final = {
    "it would connect to the object that a rule names": rule("get", "pods/exec,pods/proxy", ["a"]),
    "whether it has an effect on the object that a rule names is not known": rule(
        "create", "pods/eviction,serviceaccounts/token", ["a"]
    ),
    "no request can carry this name": rule("get,list", "pods", ["a/b", "50%", "..", "."]),
    "a request for a namespace is one within it: add it to `ask`": rule(
        "get", "namespaces", ["prod"]
    ),
    "no request has this verb; whoever knows it asks about it": rule("use", "gadgets", []),
    "no request has this verb; it is asked about for the Impersonate headers of a request": rule(
        "impersonate", "users", ["jane"]
    ),
}


@pytest.mark.parametrize(("why", "written"), NAMED_UNSENT.items(), ids=NAMED_UNSENT)
def test_an_object_that_may_exist_is_not_touched(
    discovery: Discovery, universe: Universe, why: str, written: dict[str, Sequence[str]]
) -> None:
    """Nothing is requested of it that is neither read nor a dry run; the other judges answer."""
    questions, unsent = more(discovery, universe, role(written))

    assert unsent == dict.fromkeys(questions, why)
    assert questions


@pytest.mark.parametrize(
    "written",
    [
        rule("get,list,watch,update,patch,delete", "secrets", ["db"]),
        rule("get", "pods/log", ["web-0"]),
        rule("get,update,patch", "deployments/scale,deployments/status", ["web"], ["apps"]),
    ],
    ids=["object", "log", "scale-and-status"],
)
def test_reading_and_dry_runs_of_a_named_object_are_requested(
    discovery: Discovery, universe: Universe, written: dict[str, Sequence[str]]
) -> None:
    """Those leave an object that exists as it is."""
    questions, unsent = more(discovery, universe, role(written))

    assert questions
    assert unsent == {}


def test_a_path_of_a_resource_is_never_requested_as_a_path(
    discovery: Discovery, universe: Universe
) -> None:
    """The server would take the request for one of the resource, which is another question."""
    paths = ["/api/v1/secrets", "/apis/apps/v1/deployments"]
    questions, unsent = more(
        discovery, universe, role({"nonResourceURLs": paths, "verbs": ["get"]})
    )

    assert questions == {"get /api/v1/secrets", "get /apis/apps/v1/deployments"}
    assert unsent == dict.fromkeys(questions, "a request for this path is one for a resource")
