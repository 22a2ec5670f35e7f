"""What changed in the access of scenarios, as a failure and as a table for a pull request."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.accepted import (
    DENIED,
    REGRANTED,
    access_of,
    changes,
    expand,
    lines_of,
    read_lines,
    text_of,
)
from rbac_matrix.errors import InputError, Position
from rbac_matrix.verdict import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rbac_matrix.accepted import AcceptedLine, Change
    from rbac_matrix.cell import Cell
    from rbac_matrix.offline import Judged

SHOWN: Final = 100
"""Changes shown; who changes more at once reads the files."""


@dataclass(frozen=True)
class Drift:
    """How a scenario's access differs from the accepted one.

    Attributes:
        lines: A line for each difference; nothing where there is none.
        at: Where the accepted access is written.
    """

    lines: tuple[str, ...]
    at: Position

    @property
    def headline(self) -> str:
        """The first difference, and how many more there are."""
        more = f", and {len(self.lines) - 1} more" if len(self.lines) > 1 else ""
        return f"{self.lines[0]}{more}"

    @property
    def explanation(self) -> str:
        """Every difference where there are several, and how to accept them."""
        several = self.lines if len(self.lines) > 1 else ()
        return "\n".join((*several, f"to accept: nox -s accept, and commit {self.at.shown}"))


def drift_of(judged: Judged, file: Path) -> Drift:
    """Compare what a scenario's manifests allow with the file that accepts it."""
    at = Position(file, 1)
    if not file.is_file():
        return Drift((f"no access of {judged.scenario.name} is accepted yet",), at)
    access = access_of(judged)
    wanted = text_of(judged.scenario.name, lines_of(access)).splitlines()
    written = file.read_text(encoding="utf-8").splitlines()
    if written == wanted:
        return Drift((), at)
    try:
        accepted = expand(read_lines(file), judged)
    except InputError as error:
        return Drift((str(error),), error.at)
    before = {cell: line.access for cell, line in accepted.items()}
    if found := changes(before, access):
        return Drift(tuple(_drift_lines(found, judged, accepted)), at)
    # The same cells for the same reasons: only the writing differs.
    differences = difflib.unified_diff(written, wanted, lineterm="", n=0)
    lines = [line for line in differences if not line.startswith(("---", "+++", "@@"))]
    return Drift(("the same access is accepted in other lines", *lines), at)


def _drift_lines(
    found: Sequence[Change], judged: Judged, accepted: Mapping[Cell, AcceptedLine]
) -> list[str]:
    """A line for each change, with the line of a manifest that did it."""
    lines = []
    for change in found[:SHOWN]:
        line = f"{change.kind}: {change.sentence}: {reason(change, judged)}"
        if change.kind == DENIED:
            line += f" (accepted in {accepted[change.cells[0]].at})"
        elif change.kind == REGRANTED:
            before = accepted[change.cells[0]]
            line += f" (accepted in {before.at}: {before.access.by})"
        lines.append(line)
    if len(found) > SHOWN:
        lines.append(f"... and {len(found) - SHOWN} more")
    return lines


def reason(change: Change, judged: Judged) -> str:
    """What grants a change now, or what comes nearest to granting it, and where that is written."""
    cell = change.cells[0]
    if change.kind == DENIED:
        return printable(judged.policy.denial(cell.subject, cell.question).because)
    return granted(change, judged, str)


def granted(change: Change, judged: Judged, shown: Callable[[Position], str]) -> str:
    """What grants the cells of a change, with the lines of its rules and of its binding."""
    rules: dict[str, None] = {}
    bound: dict[str, None] = {}
    for cell in change.cells:
        found = judged.allowed[cell]
        for places, place in ((rules, found.rule), (bound, found.bound)):
            if place is not None:
                places[shown(place)] = None
    lines = [", ".join(rules), f"bound in {', '.join(bound)}" if bound else ""]
    return f"{change.access.by} [{', '.join(line for line in lines if line)}]"


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    scenario: str
    change: Change
    because: str


def table(base: str, rows: Iterable[Row], notes: Iterable[str]) -> str:
    """The changes since a revision in Markdown.

    Whatever comes from manifests is in code spans, where Markdown has no other syntax.

    Args:
        base: The revision, as it was asked for.
        rows: The changes, in order.
        notes: What could not be compared.
    """
    found = [*rows]
    lines = [f"### Access since {code(base)}", ""]
    if found:
        lines += [
            "| | scenario | ServiceAccount | verbs | of | where | because | cells |",
            "|---|---|---|---|---|---|---|--:|",
        ]
        lines += map(_row, found[:SHOWN])
        if len(found) > SHOWN:
            lines += ["", f"... and {len(found) - SHOWN} more changes."]
    else:
        lines.append("Nothing is newly allowed, and nothing newly denied.")
    for note in notes:
        lines += ["", f"Not compared: {code(note)}"]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    access = row.change.access
    cells = [
        f"**{row.change.kind}**",
        code(row.scenario),
        code(access.who),
        code(row.change.verbs),
        code(access.object),
        code(access.place),
        code(row.because),
        str(len(row.change.cells)),
    ]
    return f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """A text as a code span within a table's cell, whatever it holds."""
    # A pipe ends a cell even in a code span, and whether a backslash before it helps depends on
    # what is before that.
    shown = printable(text).replace("|", "\\x7c")
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if not shown or "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown or ' '}{pad}{fence}"
