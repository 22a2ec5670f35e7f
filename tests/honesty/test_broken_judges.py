"""A judge that is broken on purpose is found out by the two others, on a real cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix import cases
from rbac_matrix import gate as module
from rbac_matrix.cell import CLUSTER_SCOPE, PathQuestion, Rest, Subject
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.gate import Gate, IdentityError
from rbac_matrix.judges import review
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.requests import Request
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Cell, Question
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.clusters.credentials import Credentials
    from rbac_matrix.manifests import ManifestObject
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.verdict import Verdict

SCENARIO: Final = Path(__file__).parents[1] / "access" / "custom-service-accounts.yaml"
NOBODY: Final = Subject("default", "default")
EXPORTER: Final = Subject("default", "log-exporter-sa")
LIST_PODS: Final = "default:list:pods"

Verdicts = dict[str, "Verdict"]


@pytest.fixture(name="ask")
def _ask(cluster: Cluster, admin: Admin) -> Callable[[], Verdicts]:
    """Ask a scenario's declared cells, and one subject's undeclared ones at cluster scope."""

    def ask() -> Verdicts:
        scenario = load_scenario(SCENARIO, recorded_discovery(), built_in_samples())
        rest = Rest(scenario.name, NOBODY, CLUSTER_SCOPE)
        wanted: dict[Any, list[Cell | Rest]] = {scenario: [*scenario.expectations, rest]}
        borrowed = dataclasses.replace(cluster, disposable=False)
        with Gate(borrowed, admin, wanted, print) as gate:
            gate.ask(scenario)
        return {
            cell.id.removeprefix(f"{cell.scenario}:"): verdict
            for cell, verdict in gate.verdicts.items()
            if verdict.outcome is not Outcome.NOT_ASKED
        }

    return ask


def wrong(verdicts: Verdicts, outcome: Outcome) -> dict[str, Verdict]:
    """The cells with this outcome, of which there must be some."""
    found = {cell: verdict for cell, verdict in verdicts.items() if verdict.outcome is outcome}

    assert found

    return found


def sides(verdict: Verdict) -> str:
    """Who says what, at the end of the sentence of a disagreement."""
    return verdict.sentence.partition("the judges disagree: ")[2]


def granted(verdicts: Verdicts) -> set[str]:
    """The cells that are allowed, by declaration or by the baseline."""
    return {cell for cell, verdict in verdicts.items() if verdict.expectation.status is not None}


def test_unbroken_judges_agree(ask: Callable[[], Verdicts]) -> None:
    """Without this, every disagreement below could be somebody else's fault."""
    verdicts = ask()

    assert {verdict.outcome for verdict in verdicts.values()} == {Outcome.AS_EXPECTED}
    assert len(granted(verdicts)) > 40


def test_a_policy_judge_that_sees_no_bindings(
    ask: Callable[[], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It denies everything: of all that is granted, review and request say otherwise."""

    def blind(written: Sequence[ManifestObject], stock: Iterable[Mapping[str, Any]]) -> PolicyJudge:
        seen = [found for found in written if not found.kind.endswith("Binding")]
        return PolicyJudge(
            seen, [found for found in stock if not found["kind"].endswith("Binding")]
        )

    monkeypatch.setattr(module, "PolicyJudge", blind)
    verdicts = ask()

    found = wrong(verdicts, Outcome.DISAGREEMENT)
    assert set(found) == granted(verdicts)
    assert {sides(verdict) for verdict in found.values()} == {
        "policy says denied, review says allowed, request says allowed"
    }
    explanation = found[f"log-exporter-sa:{LIST_PODS}"].explanation
    assert "policy:    denied: ClusterRole log-exporter-cr grants it, but no bind" in explanation
    assert (
        'review:    allowed: RBAC: allowed by ClusterRoleBinding "log-exporter-rb"' in explanation
    )
    assert "request:   allowed: 200 ok" in explanation


def test_a_policy_judge_that_takes_everybody_for_an_admin(
    ask: Callable[[], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It allows too much: what only it allows is a disagreement, not a pass."""

    class Generous(PolicyJudge):
        """Binds the admins' ClusterRole to everybody."""

        def __init__(
            self, written: Sequence[ManifestObject], stock: Iterable[Mapping[str, Any]]
        ) -> None:
            text = json.dumps([*stock]).replace('"system:masters"', '"system:authenticated"')
            super().__init__(written, json.loads(text))

    monkeypatch.setattr(module, "PolicyJudge", Generous)
    verdicts = ask()

    found = wrong(verdicts, Outcome.DISAGREEMENT)
    assert set(found) == set(verdicts) - granted(verdicts)
    assert {sides(verdict) for verdict in found.values()} == {
        "policy says allowed, review says denied, request says denied",
        "policy says allowed, review says denied",  # of what no request may ask
    }


def test_a_review_judge_that_answers_for_the_anonymous_user(
    ask: Callable[[], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It denies all but what is public, and that it allows for a reason which is not the subject's.

    Of the one, policy and request say otherwise; of the other, the policy knows no such grant.
    """
    honest = review.review_request

    def for_nobody(subject: Subject, question: Question) -> Request:
        request = honest(subject, question)
        body = json.loads(request.body or "")
        body["spec"] |= {"user": "system:anonymous", "groups": ["system:unauthenticated"]}
        return dataclasses.replace(request, body=json.dumps(body))

    monkeypatch.setattr(review, "review_request", for_nobody)
    verdicts = ask()

    found = wrong(verdicts, Outcome.DISAGREEMENT)
    assert set(found) == granted(verdicts)
    public = {
        cell
        for cell, verdict in found.items()
        if sides(verdict) == "the review names a grant that the policy does not see"
    }
    assert f"default:{CLUSTER_SCOPE}:get:/version" in public
    assert all(isinstance(verdicts[cell].cell.question, PathQuestion) for cell in public)
    assert {sides(found[cell]) for cell in set(found) - public} == {
        "policy says allowed, review says denied, request says allowed"
    }
    assert f"log-exporter-sa:{LIST_PODS}" in set(found) - public


def test_a_review_judge_that_is_not_answered(
    ask: Callable[[], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two judges who agree are no verdict where the third should have spoken."""
    monkeypatch.setattr(review, "_REVIEWS", "/apis/authorization.k8s.io/v1/subjectaccessreviewers")
    verdicts = ask()

    assert {verdict.outcome for verdict in verdicts.values()} == {Outcome.NOT_ANSWERED}
    assert "not answered: review: 403 denied by RBAC" in verdicts[f"default:{LIST_PODS}"].sentence


@pytest.fixture
def _swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each of the two subjects the probe of the other."""
    honest = module.subject_probes

    @contextlib.contextmanager
    def swap(*given: Any) -> Iterator[dict[Subject, ProbeSession]]:  # noqa: ANN401 - passed on
        with honest(*given) as probes:
            yield {**probes, NOBODY: probes[EXPORTER], EXPORTER: probes[NOBODY]}

    monkeypatch.setattr(module, "subject_probes", swap)


@pytest.mark.usefixtures("_swapped")
def test_a_probe_with_another_token_is_refused_before_it_is_asked(
    ask: Callable[[], Verdicts],
) -> None:
    """The server says who it is, so no cell is ever asked as somebody else."""
    with pytest.raises(IdentityError) as caught:
        ask()

    assert str(caught.value).startswith(
        "the probe of default/default asks as 'system:serviceaccount:default:log-exporter-sa' in ["
    )


@pytest.mark.usefixtures("_swapped")
def test_a_probe_whose_token_changes_later_is_found_out_by_its_answers(
    ask: Callable[[], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusals are another user's, and what it may is what its subject may not."""
    monkeypatch.setattr(module, "_confirm_identity", lambda *_: None)
    verdicts = ask()

    stolen = verdicts[f"default:{LIST_PODS}"]
    assert stolen.outcome is Outcome.DISAGREEMENT
    assert sides(stolen) == "policy says denied, review says denied, request says allowed"
    lost = verdicts[f"log-exporter-sa:{LIST_PODS}"]
    assert lost.outcome is Outcome.OTHER_REFUSAL
    assert lost.answer is not None
    assert 'User "system:serviceaccount:default:default" cannot list' in lost.answer.message
    # Only what everybody may is as expected, and what no request may ask.
    right = {cell for cell, verdict in verdicts.items() if verdict.as_expected}
    assert all(
        verdicts[cell].expectation.at.file.name == "baseline.yaml" or verdicts[cell].answer is None
        for cell in right
    )


def test_a_request_that_asks_something_else(
    ask: Callable[[], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of requests with a wrong row is let through where the others say no."""
    monkeypatch.setattr(cases, "request_for", lambda *_, **__: Request("GET", "/version"))
    verdicts = ask()

    about_resources = {
        cell: verdict
        for cell, verdict in verdicts.items()
        if not isinstance(verdict.cell.question, PathQuestion) and verdict.request is not None
    }
    denied = {cell for cell in about_resources if cell not in granted(verdicts)}
    found = wrong(verdicts, Outcome.DISAGREEMENT)
    assert set(found) == denied
    assert {sides(verdict) for verdict in found.values()} == {
        "policy says denied, review says denied, request says allowed"
    }


def test_a_control_that_is_refused_too(
    ask: Callable[[], Verdicts], admin: Admin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A refusal that the admin gets as well proves nothing, though all three judges say no."""
    honest = module.admin_probe
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(admin.token(NOBODY, 3600))

    @contextlib.contextmanager
    def powerless(credentials: Credentials) -> Iterator[ProbeSession]:
        with honest(dataclasses.replace(credentials, token_file=token)) as probe:
            yield probe

    monkeypatch.setattr(module, "admin_probe", powerless)
    verdicts = ask()

    requested = {cell for cell, verdict in verdicts.items() if verdict.answer is not None}
    assert set(wrong(verdicts, Outcome.VACUOUS)) == requested - granted(verdicts)
