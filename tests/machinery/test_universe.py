"""The universe: all that a cluster can be asked, and how each question of it can be put."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.cell import VERBS, PathQuestion, ResourceName, ResourceQuestion
from rbac_matrix.discovery import parse_definitions
from rbac_matrix.universe import Universe, universe_of

if TYPE_CHECKING:
    from rbac_matrix.discovery import Discovery

NAMESPACES: Final = ("team-a", "bystander")
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


def test_no_question_is_about_an_object(universe: Universe) -> None:
    """A rule for one object's name is a declared cell's business: any other name stands for all."""
    assert {question.name for question in about_resources(universe)} == {""}


def test_paths_are_what_the_index_lists_and_what_it_leaves_out(
    universe: Universe, discovery: Discovery
) -> None:
    """Each once, with the one method that has no effect."""
    paths = [question for question in universe.questions if isinstance(question, PathQuestion)]

    assert {question.verb for question in paths} == {"get"}
    assert {question.path for question in paths} > set(discovery.paths)
    for path in ("/", "/metrics", "/version", "/healthz", "/logs/", "/debug/pprof/heap"):
        assert PathQuestion("get", path) in paths


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


@pytest.mark.parametrize("path", ["/debug/pprof/profile", "/debug/pprof/trace"])
def test_a_path_with_an_effect_is_not_requested(universe: Universe, path: str) -> None:
    """Asking it would burden the API server."""
    assert universe.not_requested[PathQuestion("get", path)]


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
