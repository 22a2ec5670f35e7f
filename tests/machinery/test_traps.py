"""How other suites came to pass wrongly, each as a test or with the place that has it.

| Trap | Test |
|---|---|
| `pods/log` read as a Pod named log | `test_requests`, `test_discovery` |
| a nonexistent or singular resource makes every denial pass | `test_scenario` (mistakes) |
| a product of denials passes when one is denied | here, `test_plugin` (one wrong cell) |
| an unknown key is ignored | `test_scenario`, `test_schema` |
| a test body that never runs passes | here, `test_plugin` (a forgotten cell) |
| a bare ServiceAccount name as user | `test_verdict` (denied as a bare name, asking again) |
| a cluster-scoped resource asked in a namespace | `test_requests` (no requests), `test_scenario` |
| a namespace is within itself | `test_requests` (the server reads back) |
| list and watch with a field selector carry a name | here |
| a create cannot be limited by name, one of a subresource can | here, `test_scenario` (mistakes) |
| 404 is authorized | `test_verdict` (denied-404) |
| 400 and 422 are authorized | `test_verdict` (denied-422), `test_requests` (valid bodies) |
| admission's 403 for a dry run | `test_verdict` (denied-admission, controls) |
| exec is two verbs | here; no request asks for an upgrade, which the rule of 1.35 is about |
| a PUT of a missing object needs create too | here, `test_requests` (updates send what exists) |
| deletecollection is not delete, watch is not list | `test_requests` (the server reads back) |
| 401 read as denied | `test_verdict` (denied-401) |
| a lost token asks as nobody | here, `test_agent` (without a token), `test_verdict` (as nobody) |
| grants that every ServiceAccount has | `test_baseline`; the gate asks each of its lines |
| the escalation rule for whoever applies a scenario | `test_answer`; only the admin applies |
| a RoleBinding to a ClusterRole at cluster scope | cells of `tests/access`, denied by default |
| roleRef is immutable | `test_objects`: objects are created and deleted, never changed |
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from rbac_matrix import gate
from rbac_matrix.answer import Answer
from rbac_matrix.cell import VERBS, Cell, ResourceName, ResourceQuestion, Subject
from rbac_matrix.errors import Position
from rbac_matrix.gate import IdentityError
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.requests import Request, can_be_asked, request_for
from rbac_matrix.scenario import Expectation
from rbac_matrix.verdict import Evidence, Outcome, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.cell import Verb
    from rbac_matrix.discovery import Discovery
    from rbac_matrix.probe.session import ProbeSession

CLERK = Subject("team-a", "clerk")


def ask(verb: Verb, resource: str, name: str = "") -> ResourceQuestion:
    """A question in the clerk's own namespace."""
    return ResourceQuestion(verb, ResourceName.parse(resource), "team-a", name)


def cell(verb: Verb, resource: str) -> Cell:
    """That question, put to the clerk."""
    return Cell("shop", CLERK, ask(verb, resource))


def refused(answer: Answer) -> Evidence:
    """A refusal that the other judges agree with."""
    denied = Opinion(allowed=False, reason="")
    return Evidence(denied, denied, Request("GET", "/"), answer, Answer(200))


def test_a_product_of_denials_is_as_many_verdicts() -> None:
    """A list of verbs, resources and namespaces passes as soon as one combination is refused."""
    denied = Expectation(None, "why", Position(Path("shop.yaml"), 1))
    outcomes = []
    for verb in ("get", "list"):
        asked = cell(verb, "pods")
        message = (
            f'pods is forbidden: User "{CLERK.username}" cannot get resource "pods" in API group '
            '"" in the namespace "team-a"'
        )
        outcomes.append(judge(asked, denied, refused(Answer(403, message))).outcome)

    # The refusal of the get is none of the list.
    assert outcomes == [Outcome.AS_EXPECTED, Outcome.OTHER_REFUSAL]


def test_no_outcome_but_one_passes() -> None:
    """A body that asserts nothing, or a verdict that nobody came to, is green."""
    denied = Expectation(None, "why", Position(Path("shop.yaml"), 1))

    passing = [
        outcome for outcome in Outcome if Verdict(cell("get", "pods"), denied, outcome).as_expected
    ]

    assert passing == [Outcome.AS_EXPECTED]


def test_a_list_names_no_object(discovery: Discovery) -> None:
    """With `fieldSelector=metadata.name=X` a rule with resourceNames would match a list."""
    verbs: tuple[Verb, ...] = ("list", "watch", "deletecollection")
    for served in discovery.served.values():
        for verb in verbs:
            for namespace in ("team-a", None):
                if can_be_asked(served, verb, namespace):
                    asked = ResourceQuestion(verb, served.name, namespace)
                    query = parse_qs(urlsplit(request_for(asked, served).path).query)
                    assert "fieldSelector" not in query


def test_a_create_of_a_subresource_names_its_parent(discovery: Discovery) -> None:
    """A create of an object carries no name, so resourceNames never allows it; this one does."""
    for resource, path in (("pods/eviction", "pods/web/eviction"), ("pods", "pods")):
        asked = ask("create", resource, "web")
        request = request_for(asked, discovery.find(asked.resource))
        assert request.path == f"/api/v1/namespaces/team-a/{path}?dryRun=All"


@pytest.mark.parametrize("resource", ["pods/exec", "pods/attach", "pods/portforward"])
def test_exec_is_a_get_and_a_create(discovery: Discovery, resource: str) -> None:
    """SPDY asks by POST, which is create; a WebSocket asks by GET. Both are cells of their own."""
    served = discovery.find(ResourceName.parse(resource))

    methods = {
        verb: request_for(ask(verb, resource), served).method
        for verb in VERBS
        if can_be_asked(served, verb, "team-a")
    }

    assert (methods["get"], methods["create"]) == ("GET", "POST")


def test_an_update_that_is_refused_as_a_create_is_no_refused_update() -> None:
    """A PUT of an object that is missing is authorized twice, the second time as a create."""
    denied = Expectation(None, "why", Position(Path("shop.yaml"), 1))
    answer = Answer(
        403,
        f'jobs.batch "sample" is forbidden: User "{CLERK.username}" cannot create resource "jobs" '
        'in API group "batch" in the namespace "team-a"',
    )

    verdict = judge(cell("update", "jobs.batch"), denied, refused(answer))

    assert verdict.outcome is Outcome.OTHER_REFUSAL


class Mirror:
    """A probe whose server says who it is."""

    def __init__(self, answer: Answer) -> None:
        """Say always the same."""
        self._answer = answer

    def ask(self, requests: Sequence[Request], _: float) -> list[Answer]:
        """Say it for each request."""
        return [self._answer] * len(requests)


def review(username: str, *groups: str) -> Answer:
    """The answer to a SelfSubjectReview."""
    status: dict[str, Any] = {"userInfo": {"username": username, "groups": groups}}
    return Answer(201, body=json.dumps({"status": status}))


STRANGERS = {
    "nobody": review("system:anonymous", "system:unauthenticated"),
    "another": review("system:serviceaccount:team-a:cook", *CLERK.groups),
    "a-bare-name": review("clerk", *CLERK.groups),
    "without-its-groups": review(CLERK.username, "system:authenticated"),
    "an-empty-answer": Answer(201, body="{}"),
    "refused": Answer(403, "forbidden"),
    "unauthenticated": Answer(401, "Unauthorized"),
    "silent": Answer(None, "TimeoutError"),
}


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
def test_a_probe_that_asks_as_somebody_else_is_refused(answer: Answer) -> None:
    """A token that got lost is refused everything, which would make every denial pass."""
    with pytest.raises(IdentityError, match="the probe of team-a/clerk"):
        gate._confirm_identity(CLERK, cast("ProbeSession", Mirror(answer)))


def test_a_probe_that_asks_as_its_subject_is_taken() -> None:
    """The user name in full, and the groups that its grants may come from."""
    mirror = Mirror(review(CLERK.username, *CLERK.groups, "more"))

    gate._confirm_identity(CLERK, cast("ProbeSession", mirror))
