"""The matrix of one scenario, as small as it can be: verdicts to rows.

A row is there when a line of the scenario is about one of its cells, or one of them is not as
declared. Everything else is counted: what is refused, and what every ServiceAccount may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from rbac_matrix.cell import CLUSTER_SCOPE, VERBS, PathQuestion, in_order
from rbac_matrix.report.causes import is_wrong
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.scenario import Scenario
    from rbac_matrix.verdict import Verdict

SHOWN_ROWS: Final = 40
"""Resources and paths with cells that nobody declared; a wildcard grants them all."""
NAMED_NAMESPACES: Final = 3
"""More are counted where a row is about all of them."""


class Mark(StrEnum):
    """What a cell of the grid shows."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    WRONG = "not as declared"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Row:
    """A resource or path in the scopes where it came out the same.

    Attributes:
        subject: The ServiceAccount.
        where: The scopes in words.
        what: The resource, with the object's name where the question has one, or the path.
        marks: By verb; a verb that is missing was not asked for or is no request.
    """

    subject: Subject
    where: str
    what: str
    marks: Mapping[str, Mark]


@dataclass(frozen=True)
class Grid:
    """A scenario's matrix.

    Attributes:
        scenario: Its name.
        title: One line about it.
        verbs: The columns.
        rows: By subject, then by scope.
        empty: Subjects without a row.
        refused: How many cells beyond the rows are refused.
        baseline: How many cells beyond the rows every ServiceAccount may do.
        left_out: How many resources and paths with wrong cells are too many to show.
        wrong: How many cells are not as declared.
    """

    scenario: str
    title: str
    verbs: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: tuple[Subject, ...]
    refused: int
    baseline: int
    left_out: int
    wrong: int


@dataclass
class _Line:
    """The cells of one resource or path in one scope."""

    subject: Subject
    scope: str
    what: str
    verdicts: dict[str, Verdict]


def make_grid(scenario: Scenario, verdicts: Iterable[Verdict]) -> Grid:
    """The matrix of a scenario.

    Args:
        scenario: What it declares.
        verdicts: Of its cells, as many as were asked.
    """
    lines: dict[tuple[Subject, str, str], _Line] = {}
    for verdict in verdicts:
        subject, question = verdict.cell.subject, verdict.cell.question
        key = (subject, question.scope, what_of(question))
        line = lines.setdefault(key, _Line(*key, {}))
        line.verdicts[question.verb] = verdict
    told: list[_Line] = []
    undeclared: list[_Line] = []
    for line in lines.values():
        if any(_is_declared(scenario, verdict) for verdict in line.verdicts.values()):
            told.append(line)
        elif any(map(is_wrong, line.verdicts.values())):
            undeclared.append(line)
    shown = [*told, *undeclared[:SHOWN_ROWS]]
    verbs = _columns(scenario, shown)
    in_rows = {
        verdict.cell for line in shown for verb, verdict in line.verdicts.items() if verb in verbs
    }
    everything = [verdict for line in lines.values() for verdict in line.verdicts.values()]
    beyond = [each for each in everything if each.as_expected and each.cell not in in_rows]
    allowed = sum(1 for verdict in beyond if verdict.expectation.status)
    asked, in_grid = ({line.subject for line in some} for some in (lines.values(), shown))
    return Grid(
        scenario=scenario.name,
        title=scenario.title,
        verbs=verbs,
        rows=tuple(_rows(scenario, shown, verbs, {line.scope for line in lines.values()})),
        empty=tuple(each for each in scenario.subjects if each in asked - in_grid),
        refused=len(beyond) - allowed,
        baseline=allowed,
        left_out=max(0, len(undeclared) - SHOWN_ROWS),
        wrong=sum(map(is_wrong, everything)),
    )


def mark_of(verdict: Verdict) -> Mark:
    """What the grid shows of a cell."""
    if verdict.outcome is Outcome.NOT_ASKED:
        return Mark.NOT_ASKED
    if not verdict.as_expected:
        return Mark.WRONG
    return Mark.ALLOWED if verdict.expectation.status else Mark.REFUSED


def _is_declared(scenario: Scenario, verdict: Verdict) -> bool:
    """Whether a line of the scenario is about the cell, and not default deny or the baseline."""
    expectation = verdict.expectation
    by_default = expectation == scenario.defaults.get(verdict.cell.subject)
    return expectation.at.file == scenario.file and not by_default


def _columns(scenario: Scenario, lines: Sequence[_Line]) -> tuple[str, ...]:
    """Every usual verb that is asked, and another one where there is something to see."""
    asked = {verb for line in lines for verb in line.verdicts}
    others = {
        verb
        for line in lines
        for verb, verdict in line.verdicts.items()
        if verb not in VERBS and (is_wrong(verdict) or _is_declared(scenario, verdict))
    }
    return in_order(asked.intersection(VERBS) | others)


def _rows(
    scenario: Scenario, lines: Sequence[_Line], verbs: Sequence[str], asked: AbstractSet[str]
) -> Iterator[Row]:
    """One row for a resource's scopes that look the same; rows of the same scopes together."""
    places: dict[tuple[Subject, str, tuple[tuple[str, Mark], ...]], list[str]] = {}
    for line in lines:
        marks = tuple(
            (verb, mark_of(line.verdicts[verb])) for verb in verbs if verb in line.verdicts
        )
        places.setdefault((line.subject, line.what, marks), []).append(line.scope)
    subjects = list(scenario.subjects)
    scopes = (*scenario.closed_namespaces, CLUSTER_SCOPE)
    found = [
        (subjects.index(subject), sorted(map(scopes.index, where)), what, marks)
        for (subject, what, marks), where in places.items()
    ]
    found.sort(key=lambda row: row[:2])
    namespaces = len(asked - {CLUSTER_SCOPE})
    for subject, where, what, marks in found:
        words = where_of([scopes[number] for number in where], namespaces)
        yield Row(subjects[subject], words, what, dict(marks))


def where_of(scopes: Sequence[str], all_namespaces: int) -> str:
    """`in default, bystander and at cluster scope`."""
    namespaces = [scope for scope in scopes if scope != CLUSTER_SCOPE]
    parts = []
    if len(namespaces) > NAMED_NAMESPACES and len(namespaces) == all_namespaces:
        parts.append(f"in all {len(namespaces)} namespaces")
    elif namespaces:
        parts.append(f"in {', '.join(namespaces)}")
    if CLUSTER_SCOPE in scopes:
        parts.append("at cluster scope")
    return " and ".join(parts)


def what_of(question: Question) -> str:
    """The resource, with the object's name where the question has one, or the path."""
    if isinstance(question, PathQuestion):
        return question.path
    return f'{question.resource} "{question.name}"' if question.name else str(question.resource)
