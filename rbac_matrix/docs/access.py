"""What a page says of a scenario's access: matrices, and the reason of each line of them.

A row is there because a line of the expectations is about it. What else is refused is counted, and
so is what every ServiceAccount may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from rbac_matrix.accepted import access_of, lines_of
from rbac_matrix.cell import CLUSTER_SCOPE, PathQuestion, in_order
from rbac_matrix.errors import InputError, Position, RbacMatrixError
from rbac_matrix.judges.rule import ALL
from rbac_matrix.offline import judge_offline, stock_cluster
from rbac_matrix.recorded import NEWEST, VERSIONS
from rbac_matrix.report.grid import what_of, where_of
from rbac_matrix.scenario_file import built_in_samples, load_scenario

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rbac_matrix.accepted import Access
    from rbac_matrix.cell import Cell, Question, Subject
    from rbac_matrix.judges.written_policy import PolicyJudge
    from rbac_matrix.offline import Granted, Judged
    from rbac_matrix.scenario import Expectation, Scenario

_NOT: Final = ", not "
"""Where the nearest rule's sentence goes on with what it lacks."""


class Mark(NamedTuple):
    """A cell of a matrix.

    Attributes:
        allowed: Whether it is.
        told: Whether a line of the expectations is about it.
        unusual: The status that an allowed request is answered with, where it is none of success;
            0 otherwise.
    """

    allowed: bool
    told: bool
    unusual: int


_Marks = tuple[tuple[str, Mark], ...]


@dataclass(frozen=True)
class Row:
    """A resource or path, or all resources of a wildcard, in the scopes where it is the same.

    Attributes:
        what: The resource with the object's name, the path, or a rule's wildcard.
        number: How many resources it stands for.
        where: The scopes in words; empty for a path.
        marks: By verb; a verb that is missing is no request.
    """

    what: str
    number: int
    where: str
    marks: Mapping[str, Mark]


@dataclass(frozen=True)
class Grantor:
    """What grants access.

    Attributes:
        binding: `RoleBinding default/job-robot`.
        bound: Where it names the subject; None for what the cluster brought.
        to: The group or user by which it names the subject; empty where by its own name.
        role: `Role job-robot`.
        written_in: The role that holds the rule, where `role` only aggregates it; empty otherwise.
        number: The rule's, from 1.
        rule: Where it is written; None for what the cluster brought.
    """

    binding: str
    bound: Position | None
    to: str
    role: str
    written_in: str
    number: int
    rule: Position | None


@dataclass(frozen=True)
class Near:
    """The rule that comes nearest to granting what is refused.

    Attributes:
        sentence: What it grants and lacks.
        at: Where it is written; None where no rule comes near, or the cluster brought it.
    """

    sentence: str
    at: Position | None


@dataclass(frozen=True)
class Reason:
    """A line of the expectations.

    Attributes:
        verbs: Its verbs.
        what: Its resources or paths; a rule's wildcard stays one.
        where: Its scopes in words; empty for paths.
        why: The reason that it gives.
        declared: Where it is written.
        answers: The verbs by the status that they are answered with; empty for a refusal.
        grantors: What grants it; empty for a refusal.
        nearest: What comes nearest to granting it; empty for an allowance.
    """

    verbs: tuple[str, ...]
    what: tuple[str, ...]
    where: str
    why: str
    declared: Position
    answers: Mapping[int, tuple[str, ...]]
    grantors: tuple[Grantor, ...] = ()
    nearest: tuple[Near, ...] = ()


@dataclass(frozen=True)
class SubjectAccess:
    """What one ServiceAccount may do.

    Attributes:
        subject: The ServiceAccount.
        defined: Where it is written; None for one that the cluster makes.
        verbs: The columns of its matrix.
        rows: The matrix; what is allowed comes first.
        allowed: The lines that allow.
        refused: The lines that refuse.
        stock: How many questions it may ask as every ServiceAccount may.
        others: How many others are refused, besides those of the matrix.
    """

    subject: Subject
    defined: Position | None
    verbs: tuple[str, ...]
    rows: tuple[Row, ...]
    allowed: tuple[Reason, ...]
    refused: tuple[Reason, ...]
    stock: int
    others: int


@dataclass(frozen=True)
class Summary:
    """What one ServiceAccount may do to some resources, in short.

    Attributes:
        verbs: The verbs.
        what: The resources or paths, as lines of accepted access write them.
        where: `in default`, `everywhere`.
    """

    verbs: tuple[str, ...]
    what: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class ScenarioAccess:
    """What a scenario's page says.

    Attributes:
        scenario: The scenario.
        subjects: Its ServiceAccounts.
        summaries: By ServiceAccount, what it may do in short.
        same_in: The other Kubernetes versions that grant the same.
        differences: Sentences about the versions that do not.
    """

    scenario: Scenario
    subjects: tuple[SubjectAccess, ...]
    summaries: Mapping[Subject, tuple[Summary, ...]]
    same_in: tuple[str, ...]
    differences: tuple[str, ...]


def access_in(file: Path) -> ScenarioAccess:
    """What the scenario of an expectations file grants, on the newest recorded Kubernetes version.

    Raises:
        InputError: The scenario cannot be read.
        RbacMatrixError: Its manifests do not grant what its expectations say.
    """
    judged = _judged(file, NEWEST)
    if judged.wrong:
        first = judged.wrong[0]
        raise RbacMatrixError(
            f"{judged.scenario.name}: {len(judged.wrong):,} cells are not as declared, the first: "
            f"{first.sentence}. There is nothing to document until `nox -s policy` passes"
        )
    access = access_of(judged)
    lines = set(lines_of(access))
    same, differences = [], []
    for version in VERSIONS:
        if version == NEWEST:
            continue
        if found := list(_differences(file, version, lines)):
            differences += found
        else:
            same.append(version)
    scenario = judged.scenario
    return ScenarioAccess(
        scenario,
        tuple(_of_subject(judged, access, subject) for subject in scenario.subjects),
        {subject: tuple(_summaries(access, subject)) for subject in scenario.subjects},
        tuple(same),
        tuple(differences),
    )


def _judged(file: Path, version: str) -> Judged:
    stock = stock_cluster(version)
    return judge_offline(load_scenario(file, stock.discovery, built_in_samples()), stock)


def _differences(file: Path, version: str, lines: set[str]) -> Iterator[str]:
    """How the access that a version grants is another one than these lines say."""
    try:
        own = set(lines_of(access_of(_judged(file, version))))
    except InputError as error:
        yield f"{version}: {error.message}"
        return
    yield from (f"{version}, beside it: {line}" for line in sorted(own - lines))
    yield from (f"{version} without: {line}" for line in sorted(lines - own))


def _of_subject(judged: Judged, access: Mapping[Cell, Access], subject: Subject) -> SubjectAccess:
    scenario = judged.scenario
    declared = {
        cell: each for cell, each in scenario.expectations.items() if cell.subject == subject
    }
    told = {cell: each for cell, each in declared.items() if each != scenario.defaults[subject]}
    lines = _lines(declared, told)
    shown = {cell for line in lines for cell in line.cells}
    allowed = {cell for cell in judged.allowed if cell.subject == subject}
    identity = ("", "ServiceAccount", subject.namespace, subject.name)
    return SubjectAccess(
        subject=subject,
        defined=next((found.at for found in scenario.objects if found.identity == identity), None),
        verbs=in_order(cell.question.verb for cell in shown),
        rows=tuple(_rows(scenario, lines, declared, told, access)),
        allowed=tuple(_reasons(judged, told, access, allowed=True)),
        refused=tuple(_reasons(judged, told, access, allowed=False)),
        stock=len(allowed - shown),
        others=len(judged.questions[subject]) - len(allowed | shown),
    )


class _Line(NamedTuple):
    """The cells of one resource or path in one scope, some of which a line is about."""

    what: str
    scope: str
    cells: tuple[Cell, ...]


def _lines(declared: Iterable[Cell], told: Container[Cell]) -> list[_Line]:
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in declared:
        question = cell.question
        found.setdefault((what_of(question), _scope(question)), []).append(cell)
    return [
        _Line(what, scope, tuple(cells))
        for (what, scope), cells in found.items()
        if any(cell in told for cell in cells)
    ]


def _rows(
    scenario: Scenario,
    lines: Iterable[_Line],
    declared: Mapping[Cell, Expectation],
    told: Container[Cell],
    access: Mapping[Cell, Access],
) -> list[Row]:
    """The matrix: scopes that look the same in one row, and so the resources of a wildcard."""
    scopes: dict[tuple[str, str, _Marks], list[str]] = {}
    for line in lines:
        marks = tuple(
            (cell.question.verb, _mark(declared[cell].status, told=cell in told))
            for cell in line.cells
        )
        granted = {access[cell].what for cell in line.cells if cell in access}
        wildcard = granted.pop() if len(granted) == 1 else ""
        label = wildcard if wildcard.startswith(ALL) else line.what
        scopes.setdefault((label, line.what, marks), []).append(line.scope)
    resources: dict[tuple[str, str, _Marks], int] = {}
    for (label, _, marks), found in scopes.items():
        key = (label, _where(scenario, found), marks)
        resources[key] = resources.get(key, 0) + 1
    rows = [
        Row(what, number, where, dict(marks)) for (what, where, marks), number in resources.items()
    ]
    # The file's order is its author's choice; but what is allowed comes first.
    return sorted(rows, key=lambda row: not any(mark.allowed for mark in row.marks.values()))


def _mark(status: int | None, *, told: bool) -> Mark:
    return Mark(status is not None, told, status if status and status >= 300 else 0)


def _where(scenario: Scenario, scopes: Iterable[str]) -> str:
    """The scopes in words, in the order of the scenario."""
    found = set(scopes)
    order = (*scenario.closed_namespaces, CLUSTER_SCOPE)
    return where_of([scope for scope in order if scope in found], len(scenario.namespaces))


def _reasons(
    judged: Judged,
    told: Mapping[Cell, Expectation],
    access: Mapping[Cell, Access],
    *,
    allowed: bool,
) -> list[Reason]:
    """The lines that allow, or those that refuse, in the order of the file."""
    lines: dict[Position, list[Cell]] = {}
    for cell, expectation in told.items():
        if (expectation.status is not None) == allowed:
            lines.setdefault(expectation.at, []).append(cell)
    return [_reason(judged, told, access, lines[at]) for at in sorted(lines)]


def _reason(
    judged: Judged,
    told: Mapping[Cell, Expectation],
    access: Mapping[Cell, Access],
    cells: Sequence[Cell],
) -> Reason:
    expectation = told[cells[0]]
    answers: dict[int, set[str]] = {}
    for cell in cells:
        if (status := told[cell].status) is not None:
            answers.setdefault(status, set()).add(cell.question.verb)
    granted = [judged.allowed[cell] for cell in cells if cell in judged.allowed]
    return Reason(
        verbs=in_order(cell.question.verb for cell in cells),
        what=tuple(dict.fromkeys(_what(cell, access) for cell in cells)),
        where=_where(judged.scenario, (_scope(cell.question) for cell in cells)),
        why=expectation.why,
        declared=expectation.at,
        answers={
            status: in_order(verbs)
            for status, verbs in sorted(answers.items(), key=lambda each: -len(each[1]))
        },
        grantors=tuple(dict.fromkeys(map(_grantor, cells, granted))),
        nearest=() if granted else _nearest_of(judged.policy, cells),
    )


def _what(cell: Cell, access: Mapping[Cell, Access]) -> str:
    """The resource or path, or the wildcard of the rule that grants it."""
    granted = access.get(cell)
    return granted.what if granted and granted.is_wildcard else what_of(cell.question)


def _scope(question: Question) -> str:
    return "" if isinstance(question, PathQuestion) else question.scope


def _grantor(cell: Cell, granted: Granted) -> Grantor:
    grant = granted.grant
    own = grant.subject.kind == "ServiceAccount" and grant.subject.user == cell.subject.username
    rule, role = grant.rule, str(grant.role)
    return Grantor(
        binding=str(grant.binding),
        bound=granted.bound,
        to="" if own else str(grant.subject),
        role=role,
        written_in=rule.written_in if rule.written_in != role else "",
        number=rule.index + 1,
        rule=granted.rule,
    )


def _nearest_of(policy: PolicyJudge, cells: Iterable[Cell]) -> tuple[Near, ...]:
    """What comes nearest to granting some cells; sentences that differ in their end are joined."""
    found: dict[tuple[str, Position | None], list[str]] = {}
    for cell in cells:
        near = policy.denial(cell.subject, cell.question)
        start, joint, end = near.reason.rpartition(_NOT)
        if not joint or "," in end:
            start, end = near.reason, ""
        ends = found.setdefault((start, near.at), [])
        if end and end not in ends:
            ends.append(end)
    return tuple(Near(_NOT.join((start, *ends)), at) for (start, at), ends in found.items())


def _summaries(access: Mapping[Cell, Access], subject: Subject) -> Iterator[Summary]:
    verbs: dict[Access, set[str]] = {}
    for cell, each in access.items():
        if cell.subject == subject:
            verbs.setdefault(each, set()).add(cell.question.verb)
    alike: dict[tuple[tuple[str, ...], str], set[str]] = {}
    for each, found in verbs.items():
        key = ((ALL,) if each.every_verb else in_order(found), each.place)
        alike.setdefault(key, set()).add(each.object)
    for (shown, place), objects in sorted(alike.items(), key=lambda item: sorted(item[1])):
        yield Summary(shown, tuple(sorted(objects)), place)
