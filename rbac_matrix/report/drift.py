"""What changed in the access of scenarios, and which line of a manifest did it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.accepted import (
    ALLOWED,
    DENIED,
    KINDS,
    access_of,
    changes,
    expand,
    lines_of,
    read_lines,
    text_of,
)
from rbac_matrix.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rbac_matrix.accepted import Access, Change
    from rbac_matrix.cell import Cell
    from rbac_matrix.offline import Granted, Judged

SHOWN: Final = 100
"""Changes shown; who changes more at once reads the files."""


@dataclass(frozen=True)
class Reason:
    """What grants access, or comes nearest to granting it.

    Attributes:
        label: How it stands to the access: `granted`, `nearest`, `accepted`, `was`.
        text: The binding and the role, or what the nearest rule lacks.
        at: The lines that decide it; none where no manifest has them.
        where: What the other lines are, in words: `bound in`.
        beside: The other lines: of the binding where the rules decide it, and the reverse.
        revision: The git revision that the lines are of; empty for the working tree.
    """

    label: str
    text: str
    at: tuple[Position, ...] = ()
    where: str = ""
    beside: tuple[Position, ...] = ()
    revision: str = ""

    def shown(self, at: Position) -> str:
        """A line, with its revision: `main:role.yaml:7`."""
        return f"{self.revision}:{at}" if self.revision else str(at)

    @property
    def lines(self) -> str:
        """The lines that decide it: `role.yaml:7`."""
        return ", ".join(map(self.shown, self.at))

    @property
    def without_lines(self) -> str:
        """`RoleBinding default/b of Role r, bound in binding.yaml:11`."""
        beside = ", ".join(map(self.shown, self.beside))
        return f"{self.text}, {self.where} {beside}" if beside else self.text

    def __str__(self) -> str:
        """`role.yaml:7: RoleBinding default/b of Role r, bound in binding.yaml:11`."""
        return f"{self.lines}: {self.without_lines}" if self.at else self.without_lines


@dataclass(frozen=True)
class Difference:
    """A change of access with what did it.

    Attributes:
        scenario: The scenario's name.
        change: The change.
        reasons: What grants it, or comes nearest to granting it, in the working tree; then what
            granted it before, if anything did.
    """

    scenario: str
    change: Change
    reasons: tuple[Reason, ...]

    @property
    def headline(self) -> str:
        """`newly allowed: default/job-robot may list pods in default`."""
        return f"{self.change.kind}: {self.change.sentence}"

    @property
    def at(self) -> tuple[Position, ...]:
        """The lines of the working tree that did it, or that accepted it; none where none did."""
        own = (each.at for each in self.reasons if each.at and not each.revision)
        return next(own, ())

    @property
    def lines(self) -> list[str]:
        """The headline, and below it the reasons."""
        return [self.headline, *(f"  {each.label + ':':9} {each}" for each in self.reasons)]


def difference_lines(found: Iterable[Difference]) -> list[str]:
    """The lines of differences, as many as anybody reads at once."""
    found = [*found]
    lines = [line for each in found[:SHOWN] for line in each.lines]
    return [*lines, f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else lines


def counted(found: Iterable[Difference]) -> str:
    """`3 cells newly allowed, 1 newly denied`."""
    cells = dict.fromkeys(KINDS, 0)
    for each in found:
        cells[each.change.kind] += len(each.change.cells)
    parts = [f"{number:,} {kind}" for kind, number in cells.items() if number]
    if parts:
        number, _, kind = parts[0].partition(" ")
        parts[0] = f"{number} cell{'' if number == '1' else 's'} {kind}"
    return ", ".join(parts) or "nothing newly allowed, nothing newly denied"


@dataclass(frozen=True)
class Drift:
    """How a scenario's access differs from the accepted one.

    Attributes:
        at: Where the accepted access is written.
        differences: Each change of access.
        wrong: What is wrong with the file itself, where the access cannot be, or need not be,
            compared.
    """

    at: Position
    differences: tuple[Difference, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What is to be told, a line each; nothing where all is as accepted."""
        return (*self.wrong, *difference_lines(self.differences))

    @property
    def headline(self) -> str:
        """The first difference with its line, and how many more there are."""
        number = len(self.differences) or len(self.wrong)
        places = ", ".join(map(str, self.differences[0].at)) if self.differences else ""
        place = f" ({places})" if places else ""
        return f"{self.lines[0]}{place}{f', and {number - 1} more' if number > 1 else ''}"

    @property
    def explanation(self) -> str:
        """What the headline does not say yet, and how to accept it."""
        several = len(self.differences) > 1 or len(self.wrong) > 1
        return "\n".join((*self.lines[0 if several else 1 :], self.remedy))

    @property
    def remedy(self) -> str:
        """How to accept it."""
        return f"to accept: nox -s accept, and commit {self.at.shown}"


def drift_of(judged: Judged, file: Path) -> Drift:
    """Compare what a scenario's manifests allow with the file that accepts it."""
    at = Position(file, 1)
    if not file.is_file():
        return Drift(at, wrong=(f"no access of {judged.scenario.name} is accepted yet",))
    wanted = text_of(judged.scenario.name, lines_of(access_of(judged))).splitlines()
    written = file.read_text(encoding="utf-8").splitlines()
    if written == wanted:
        return Drift(at)
    try:
        accepted = expand(read_lines(file), judged)
    except InputError as error:
        return Drift(error.at, wrong=(str(error),))
    before = {cell: line.access for cell, line in accepted.items()}

    def formerly(change: Change) -> Reason:
        line = accepted[change.cells[0]]
        return Reason("accepted", line.access.by, (line.at,))

    if found := differences(judged.scenario.name, before, judged, formerly):
        return Drift(at, tuple(found))
    # The same cells for the same reasons: only the writing differs.
    unified = difflib.unified_diff(written, wanted, lineterm="", n=0)
    lines = [line for line in unified if not line.startswith(("---", "+++", "@@"))]
    return Drift(at, wrong=("the same access is accepted in other lines", *lines))


def differences(
    scenario: str,
    before: Mapping[Cell, Access],
    now: Judged | None,
    formerly: Callable[[Change], Reason],
) -> list[Difference]:
    """What changed in a scenario's access, with the lines that did it.

    Args:
        scenario: Its name.
        before: What was allowed.
        now: What is; None where the scenario is gone.
        formerly: Why something was allowed.
    """
    after = access_of(now) if now else {}
    known = {(access.who, access.by) for access in before.values()}
    gone = Reason("now", "the scenario is gone")
    found = []
    for change in changes(before, after):
        first = _reason(change, now, known) if now else gone
        reasons = [first] if change.kind == ALLOWED else [first, formerly(change)]
        found.append(Difference(scenario, change, tuple(reasons)))
    return found


def _reason(change: Change, judged: Judged, known: Iterable[tuple[str, str]]) -> Reason:
    if change.kind == DENIED:
        cell = change.cells[0]
        denial = judged.policy.denial(cell.subject, cell.question)
        return Reason("nearest", denial.reason, (denial.at,) if denial.at else ())
    # Where the same binding granted something before, a rule is what changed.
    access = change.access
    bound = (access.who, access.by) not in known
    return granted(access.by, change.cells, judged.allowed, bound=bound)


def granted(
    by: str, cells: Iterable[Cell], allowed: Mapping[Cell, Granted], *, bound: bool = False
) -> Reason:
    """What grants cells, with the lines of its rules and of its binding.

    Args:
        by: The binding and the role.
        cells: What they grant.
        allowed: Why each cell is allowed.
        bound: Whether the binding decides it, rather than the rules.
    """
    found = [allowed[cell] for cell in cells]
    rules, bindings = _places(each.rule for each in found), _places(each.bound for each in found)
    if bound and bindings:
        return Reason("granted", by, bindings, "by the rule in", rules)
    return Reason("granted", by, rules or bindings, "bound in", bindings if rules else ())


def _places(found: Iterable[Position | None]) -> tuple[Position, ...]:
    return tuple(dict.fromkeys(place for place in found if place is not None))
