"""The end of a run as the terminal shows it: what is wrong, then a grid for each scenario."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rbac_matrix.accepted import ALLOWED
from rbac_matrix.report.grid import Mark
from rbac_matrix.report.harmless import no_command, short
from rbac_matrix.report.terminal import others_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from rbac_matrix.report.causes import Cause
    from rbac_matrix.report.drift import Difference
    from rbac_matrix.report.grid import Grid, Row

SHOWN_CAUSES: Final = 20
SHOWN_CHANGES: Final = 100
SHOWN_SENTENCES: Final = 3
"""Of each cause; a wildcard lets hundreds of cells go wrong."""

SYMBOLS: Final = {
    Mark.ALLOWED: ("✓", "+", "green"),
    Mark.REFUSED: ("·", ".", "dim"),
    Mark.WRONG: ("✗", "X", "bold red"),
    Mark.NOT_ASKED: ("?", "?", "yellow"),
}
"""Of each mark: the symbol, the same in ASCII, and the style."""
_SPLIT: Final = {"deletecollection": "delete\ncollection"}
_LETTERS: Final = {
    "get": "g",
    "list": "l",
    "watch": "w",
    "create": "c",
    "update": "u",
    "patch": "p",
    "delete": "d",
    "deletecollection": "D",
}
_LEAST_LABEL: Final = 20
_NEVER: Final = 100_000  # columns; no sentence is that long


@dataclass(frozen=True)
class Screen:
    """Where it is read.

    Attributes:
        width: Columns.
        wraps: Whether sentences are folded at that width; a log is searched by line.
        unicode: Whether it has more than ASCII.
        colour: Whether it has colours.
    """

    width: int
    wraps: bool = True
    unicode: bool = True
    colour: bool = False


def can_show_symbols(encoding: str | None) -> bool:
    """Whether an encoding has the symbols that are not ASCII."""
    try:
        "".join(symbol for symbol, _, _ in SYMBOLS.values()).encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def failure_lines(found: Sequence[Cause], screen: Screen) -> list[str]:
    """What is wrong, by cause: sentences, the rule that did it, the line that declares otherwise.

    pytest's own summary cuts its lines at the terminal's width, where a long test id leaves no room
    for the sentence.
    """
    parts: list[RenderableType] = []
    for cause in found[:SHOWN_CAUSES]:
        sentences = [verdict.sentence for verdict in cause.verdicts[:SHOWN_SENTENCES]]
        parts += [Text(short(sentence), "bold red") for sentence in sentences]
        if (more := len(cause.verdicts) - SHOWN_SENTENCES) > 0:
            by = "by the same rule" if cause.rule.text else "in the same way"
            parts.append(Text(f"and {more:,} more of {short(_who(cause))} {by}", "red"))
        parts.append(_reasons(cause))
    if len(found) > SHOWN_CAUSES:
        cells = sum(len(cause.verdicts) for cause in found[SHOWN_CAUSES:])
        parts.append(Text(f"and {cells:,} more cells: see the failures above"))
    return _render(parts, screen, None if screen.wraps else _NEVER)


def sentence_lines(sentences: Sequence[str], screen: Screen) -> list[str]:
    """Sentences, folded where the screen folds them."""
    texts = [Text(short(sentence)) for sentence in sentences]
    return _render(texts, screen, None if screen.wraps else _NEVER)


def change_lines(found: Sequence[Difference], screen: Screen) -> list[str]:
    """What changed, and below each change the lines that did it."""
    parts: list[RenderableType] = []
    for each in found[:SHOWN_CHANGES]:
        style = "bold red" if each.change.kind == ALLOWED else "bold"
        headline = f"{short(each.headline)} (scenario {short(each.scenario)})"
        lines = [(why.label, why.without_lines, why.lines) for why in each.reasons]
        parts += [Text(headline, style), _labelled(lines)]
    if len(found) > SHOWN_CHANGES:
        parts.append(Text(f"and {len(found) - SHOWN_CHANGES:,} more changes"))
    return _render(parts, screen, None if screen.wraps else _NEVER)


def _reasons(cause: Cause) -> RenderableType:
    rule, declared = cause.rule, cause.expectation
    lines = [(rule.label, rule.text, str(rule.at or ""))] if rule.text else []
    return _labelled([*lines, ("declared", declared.why, str(declared.at))])


def _labelled(lines: Iterable[tuple[str, str, str]]) -> RenderableType:
    """Lines of a label, a text, and the place where that is written."""
    table = Table.grid(padding=(0, 1))
    for label, text, place in lines:
        said = Text(short(place), "cyan")
        said.append(": " if place else "", "default").append(short(text), "default")
        table.add_row(Text(f"  {label}:"), said)
    return table


def _who(cause: Cause) -> str:
    return cause.first.cell.subject.name


def grid_lines(grids: Sequence[Grid], screen: Screen) -> list[str]:
    """A grid for each scenario; where some have wrong cells, only those."""
    if not grids:
        return []
    wrong = [grid for grid in grids if grid.wrong]
    shown = wrong or grids
    label = max((cell_len(_label(row)) for grid in shown for row in grid.rows), default=0)
    heads = _heads(
        tuple(dict.fromkeys(verb for grid in shown for verb in grid.verbs)), screen, label
    )
    parts: list[RenderableType] = []
    for grid in shown:
        parts += [*_one_grid(grid, heads, min(label, _room(heads, screen)), screen), Text()]
    key = Text("  ").join(
        Text.assemble(_symbol(mark, screen), f" {mark}") for mark in Mark if _has(shown, mark)
    )
    if any(verb not in row.marks for grid in shown for row in grid.rows for verb in grid.verbs):
        key.append("  blank: no such request, or not selected", "dim")
    parts.append(key)
    letters = [f"{head}={verb}" for verb, head in heads.items() if len(head) == 1]
    if letters:
        parts.append(Text("  ".join(letters), "dim"))
    if as_declared := [short(grid.scenario) for grid in grids if not grid.wrong and wrong]:
        parts.append(Text(f"as declared: {', '.join(as_declared)}"))
    return _render(parts, screen)


def _one_grid(
    grid: Grid, heads: Mapping[str, str], label: int, screen: Screen
) -> Iterator[RenderableType]:
    yield Text.assemble((short(grid.scenario), "bold"), "  ", (short(grid.title), "dim"))
    columns = {verb: heads[verb] for verb in grid.verbs}
    if grid.rows:
        yield _table(columns, label, [("", [Text(head, "dim") for head in columns.values()])])
    subject = None
    for (who, where), rows in groupby(grid.rows, key=lambda row: (row.subject, row.where)):
        if who != subject:
            subject = who
            yield Text(short(str(who)), "bold")
        yield Text(f"  {short(where)}")
        lines = []
        for row in rows:
            marks = [row.marks.get(verb) for verb in columns]
            lines.append((_label(row), [_symbol(mark, screen) for mark in marks]))
        yield _table(columns, label, lines)
    for empty in grid.empty:
        yield Text.assemble((short(str(empty)), "bold"), "  nothing")
    if grid.left_out:
        yield Text(f"and {grid.left_out:,} more resources with cells not as declared", "red")
    if others := others_of(grid):
        yield Text(others, "dim")


def _table(
    columns: Mapping[str, str], label: int, lines: Sequence[tuple[str, Sequence[Text]]]
) -> Table:
    """Lines of a grid, whose columns stand below those of every other table."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(width=label, overflow="fold")
    for head in columns.values():
        table.add_column(width=_width(head), justify="center", vertical="bottom")
    for text, cells in lines:
        table.add_row(Text(text), *cells)
    return table


def _label(row: Row) -> str:
    return f"    {short(row.what)}"


def _heads(verbs: Sequence[str], screen: Screen, label: int) -> dict[str, str]:
    """How the columns are headed: by the verbs, or by their letters where there is no room."""
    heads = {verb: _SPLIT.get(verb, short(verb)) for verb in verbs}
    if label <= _room(heads, screen):
        return heads
    return {verb: _LETTERS.get(verb, short(verb)) for verb in verbs}


def _room(heads: Mapping[str, str], screen: Screen) -> int:
    """Columns that are left for what begins a line."""
    taken = sum(_width(head) + 1 for head in heads.values())
    return max(_LEAST_LABEL, screen.width - taken)


def _width(head: str) -> int:
    return max(map(len, head.splitlines()))


def _has(grids: Sequence[Grid], mark: Mark) -> bool:
    return any(mark in row.marks.values() for grid in grids for row in grid.rows)


def _symbol(mark: Mark | None, screen: Screen) -> Text:
    if mark is None:
        return Text()
    symbol, ascii_symbol, style = SYMBOLS[mark]
    return Text(symbol if screen.unicode else ascii_symbol, style)


def _render(parts: Sequence[RenderableType], screen: Screen, width: int | None = None) -> list[str]:
    file = io.StringIO()
    console = Console(
        file=file,
        width=width or screen.width,
        color_system="standard" if screen.colour else None,
        force_terminal=screen.colour,
        highlight=False,
        legacy_windows=False,
        _environ={},  # What it says has been decided already.
    )
    for part in parts:
        console.print(part)
    # A line that was folded may begin with what was harmless within it.
    return [no_command(line.rstrip()) for line in file.getvalue().splitlines()]
