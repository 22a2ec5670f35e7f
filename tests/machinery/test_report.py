"""What a run leaves: the failure of a rest, the counts, and the records of `verdicts.json`."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import Answer
from rbac_matrix.cell import Cell, PathQuestion, ResourceName, ResourceQuestion, Subject
from rbac_matrix.errors import Position
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.report.terminal import SHOWN, counts, rest_failure
from rbac_matrix.report.verdicts_file import verdicts_document, write_verdicts
from rbac_matrix.requests import Request
from rbac_matrix.scenario import Expectation
from rbac_matrix.schema import validator
from rbac_matrix.verdict import Evidence, Verdict, judge, not_asked

if TYPE_CHECKING:
    from rbac_matrix.cell import Question

CLERK: Final = Subject("team-a", "clerk")
DENIED: Final = Expectation(None, "no line allows it to clerk", Position(Path("shop.yaml"), 9))
ALLOWED: Final = Expectation(200, "For everybody.", Position(Path("baseline.yaml"), 5))
RULE: Final = "RoleBinding team-a/b of Role r to ServiceAccount team-a/clerk, rule 1"
ROLE: Final = Position(Path("role.yaml"), 7)
GRANT: Final = f"{RULE} [role.yaml:7]"
YES: Final = Opinion(allowed=True, reason=RULE, at=ROLE)
NO: Final = Opinion(allowed=False, reason="")
ENDED: Final = datetime(2026, 11, 22, 1, 50, tzinfo=UTC)
METRICS: Final = PathQuestion("get", "/metrics")
NO_REQUEST: Final = "no request has this verb"


def leases(verb: str = "list") -> ResourceQuestion:
    """A question that no scenario declares."""
    return ResourceQuestion(verb, ResourceName("coordination.k8s.io", "leases"), "team-a")


def granted(question: Question) -> Verdict:
    """The verdict of a question that nobody expected to be allowed."""
    evidence = Evidence(YES, YES, Request("GET", "/x"), Answer(200), Answer(200))
    return judge(Cell("shop", CLERK, question), DENIED, evidence)


def refused(question: Question, expectation: Expectation = DENIED, policy: Opinion = NO) -> Verdict:
    """The verdict of a question that nothing grants."""
    evidence = Evidence(policy, NO, not_requested=NO_REQUEST)
    return judge(Cell("shop", CLERK, question), expectation, evidence)


def test_one_wrong_cell_is_told_with_its_grant() -> None:
    """The headline is its sentence; below it the grant with its line, and how to ask again."""
    verdict = granted(leases())

    headline, text = rest_failure([verdict])

    sentence = "clerk may not list leases.coordination.k8s.io in team-a, but could (200)"
    assert headline == sentence
    assert text == f"{sentence}: {GRANT}\n{verdict.explanation}"
    assert "ask again: kubectl auth can-i list leases.coordination.k8s.io --as=system:" in text


def test_several_wrong_cells_are_a_line_each() -> None:
    """The headline counts the others; what is denied names the nearest rule instead of a grant."""
    nearest = "Role r grants get on leases, not list"
    denied = refused(leases(), ALLOWED, Opinion(allowed=False, reason=nearest, at=ROLE))
    wrong = [granted(METRICS), granted(leases("watch")), denied]

    headline, text = rest_failure(wrong)

    assert headline == "clerk may not get /metrics, but could (200), and 2 more of clerk there"
    assert denied.sentence.endswith(
        "may list leases.coordination.k8s.io in team-a, but nothing grants it"
    )
    assert text.splitlines()[:3] == [
        f"clerk may not get /metrics, but could (200): {GRANT}",
        f"clerk may not watch leases.coordination.k8s.io in team-a, but could (200): {GRANT}",
        f"{denied.sentence}: {nearest} [role.yaml:7]",
    ]


def test_what_cannot_be_explained_is_still_a_line() -> None:
    """A disagreement where the policy grants nothing has no reason to add."""
    evidence = Evidence(NO, YES, not_requested=NO_REQUEST)
    verdict = judge(Cell("shop", CLERK, leases("escalate")), DENIED, evidence)

    _, text = rest_failure([verdict])

    assert text.splitlines()[0] == verdict.sentence
    assert verdict.sentence.endswith("policy says denied, review says allowed")


def test_a_thousand_wrong_cells_do_not_fill_the_screen() -> None:
    """A wildcard opens them all: the first ones are shown, the number of the others is said."""
    headline, text = rest_failure([granted(leases())] * (SHOWN + 900))

    assert f"and {SHOWN + 899} more of clerk there" in headline
    assert text.count(GRANT) == SHOWN + 1  # and once in the explanation
    assert "... and 900 more: see verdicts.json (--report-dir)" in text


def test_what_is_refused_though_granted_is_counted() -> None:
    """The exception that the documentation makes is in sight of who reads no report."""
    plain = granted(leases())
    documented = dataclasses.replace(plain, documented="the request also needs create")

    assert counts([documented, plain]).endswith(
        ", 1 of them granted, but refused for what else the request needs"
    )


def test_every_cell_is_counted_once() -> None:
    """Allowed and refused as expected, and each other outcome by its name."""
    cells = [
        refused(leases()),
        refused(leases("escalate")),
        judge(Cell("shop", CLERK, METRICS), ALLOWED, Evidence(YES, YES)),
        granted(METRICS),
        not_asked(Cell("shop", CLERK, leases()), ALLOWED, "it needs a kubelet"),
        judge(Cell("shop", CLERK, METRICS), ALLOWED, Evidence(YES, NO)),
    ]

    assert counts(cells) == (
        "6 cells: 1 allowed, 1 not asked, 2 refused, 1 the judges disagree, 1 unexpectedly "
        "allowed, 2 of them by two judges, because no request may ask them"
    )


RECORDS: Final[dict[str, tuple[Verdict, dict[str, Any]]]] = {
    "a-path": (
        granted(METRICS),
        {
            "id": "shop:clerk:-:get:/metrics",
            "verb": "get",
            "path": "/metrics",
            "group": None,
            "resource": None,
            "subresource": None,
            "name": None,
            "namespace": None,
            "judges": {
                "policy": "allowed",
                "review": f"allowed: {GRANT}",
                "request": "allowed: 200 ok",
            },
            "state": "wrong",
            "granted": RULE,
            "nearest": None,
            "manifest": {"file": "role.yaml", "line": 7},
            "declared": {"file": "shop.yaml", "line": 9},
            "cause": 1,
            "not_requested": None,
            "request": "GET /x",
            "ask_again": "kubectl auth can-i get /metrics "
            "--as=system:serviceaccount:team-a:clerk",
        },
    ),
    "a-resource": (
        refused(leases(), ALLOWED, Opinion(allowed=False, reason="Role r grants get", at=ROLE)),
        {
            "id": "shop:clerk:team-a:list:leases.coordination.k8s.io",
            "path": None,
            "group": "coordination.k8s.io",
            "resource": "leases",
            "subresource": "",
            "namespace": "team-a",
            "expected": 200,
            "outcome": "unexpectedly denied",
            "state": "wrong",
            "granted": None,
            "nearest": "Role r grants get",
            "manifest": {"file": "role.yaml", "line": 7},
        },
    ),
    "what-is-as-expected": (
        judge(Cell("shop", CLERK, METRICS), ALLOWED, Evidence(YES, YES)),
        {"state": "allowed", "granted": RULE, "outcome": "as expected", "cause": None},
    ),
    "what-is-not-requested": (
        refused(leases("escalate")),
        {
            "verb": "escalate",
            "state": "denied",
            "manifest": None,
            "judges": {"policy": "denied", "review": "denied"},
            "not_requested": NO_REQUEST,
            "request": None,
            "answer": None,
            "status": None,
            "message": "",
            "outcome": "as expected",
        },
    ),
    "what-is-not-answered": (
        judge(
            Cell("shop", CLERK, METRICS),
            DENIED,
            Evidence(NO, Opinion(None, "429 throttled"), Request("GET", "/metrics"), Answer(404)),
        ),
        {"outcome": "not answered", "state": "wrong", "judges": {
            "policy": "denied", "review": "no answer: 429 throttled", "request": "allowed: "
            "404 not found"}},
    ),
    "what-is-not-asked": (
        not_asked(Cell("shop", CLERK, leases()), ALLOWED, "it needs a kubelet"),
        {"outcome": "not asked", "state": "not asked", "judges": {},
         "message": "it needs a kubelet"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "part"), RECORDS.values(), ids=RECORDS)
def test_a_record_says_what_was_asked_and_what_each_judge_said(
    verdict: Verdict, part: dict[str, Any], tmp_path: Path
) -> None:
    """Resources and paths alike, valid by the schema; what does not apply is null."""
    file = write_verdicts(tmp_path, verdicts_document("embedded", "v1.36.3", [verdict], ENDED))

    document = json.loads(file.read_text(encoding="utf-8"))
    validator("verdicts").validate(document)
    (record,) = document["cells"]
    assert {key: record[key] for key in part} == part
    assert record["sentence"] == verdict.sentence
