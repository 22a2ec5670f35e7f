"""The summary of a run as GitHub shows it beside the run: Markdown of a limited size."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from rbac_matrix.report.grid import Mark
from rbac_matrix.report.harmless import short
from rbac_matrix.report.terminal import others_of, time_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.errors import Position
    from rbac_matrix.report.causes import Cause
    from rbac_matrix.report.grid import Grid
    from rbac_matrix.report.repository import Repository
    from rbac_matrix.report.run_report import RunReport

FILE: Final = "summary.md"
LIMIT: Final = 1_000_000
"""Bytes; GitHub refuses a step's summary of more than 1 MiB, all of it."""
SHOWN_SENTENCES: Final = 10
"""Of each cause; the others are counted."""
SYMBOLS: Final = {
    Mark.ALLOWED: "✅",
    Mark.REFUSED: "·",
    Mark.WRONG: "❌",
    Mark.NOT_ASKED: "❔",
}
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]<>&|~$#@]|(?<=\w):(?=//)|(?<=www)\.")
"""What makes markup, links, mentions or formulas in a line that does not begin with it."""
RESERVED: Final = 500
"""Bytes for saying what was cut."""


class Room:
    """What is left of a summary's limit."""

    def __init__(self, left: int) -> None:
        """Begin.

        Args:
            left: Bytes; less than none where not even the beginning fits.
        """
        self.left = left
        self._cut: list[str] = []

    def take(self, what: str, pieces: Iterable[tuple[int, Callable[[], str]]]) -> Iterator[str]:
        """The first pieces, as many as fit.

        Args:
            what: What they are, for saying how many do not fit.
            pieces: For how many each counts, and what writes it.
        """
        missing = 0
        for number, write in pieces:
            text = "" if missing else write()
            if missing or len(text.encode()) > self.left:
                missing += number
            else:
                self.left -= len(text.encode())
                yield text
        if missing:
            self._cut.append(f"{what} ({missing:,})")

    @property
    def said(self) -> str:
        """What did not fit; empty where all did."""
        if not self._cut:
            return ""
        return f"Left out, because GitHub shows no more: {', '.join(self._cut)}.\n\n"


def write_summary(file: Path, parts: Iterable[Callable[[int], str]]) -> None:
    """Write a summary to a file, whose folder is made when absent.

    Args:
        file: The file.
        parts: Each writes a part of the summary into so many bytes.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    append_summary(file, parts)


def append_summary(file: Path, parts: Iterable[Callable[[int], str]]) -> None:
    """Append a summary to what a step has written to its file before.

    Where that leaves too little room for a heading, nothing is appended: too much would lose all.

    Args:
        file: The file.
        parts: As for `write_summary`.
    """
    written = file.stat().st_size if file.exists() else 0
    with file.open("a", encoding="utf-8") as summary:
        for part in parts:
            text = part(LIMIT - written)
            written += len(text.encode())
            summary.write(text)


def summary_of(report: RunReport, limit: int = LIMIT, repository: Repository | None = None) -> str:
    """The summary: failures first, then counts and a table for each scenario.

    Args:
        report: The run.
        limit: Bytes; what would exceed it is left out and counted. A limit too small for the
            heading leaves nothing.
        repository: Where the lines of files can be looked at; None for nowhere.
    """
    wrong = report.causes
    heading, counted = _heading(report, wrong), _counts(report)
    room = Room(limit - RESERVED - len(heading.encode()) - len(counted.encode()))
    if room.left < 0:
        return ""
    failures = ((len(cause.verdicts), partial(_failure, cause, repository)) for cause in wrong)
    grids = sorted(report.grids, key=lambda grid: not grid.wrong)
    tables = ((1, partial(_table, grid)) for grid in grids)
    written = [heading, *room.take("cells not as declared", failures), counted]
    return "".join([*written, *room.take("tables", tables), room.said])


def _heading(report: RunReport, wrong: Sequence[Cause]) -> str:
    where = escaped(report.where)
    if wrong:
        cells = sum(len(cause.verdicts) for cause in wrong)
        number = len(report.verdicts)
        return f"## ❌ {cells:,} of {number:,} cells are not as declared ({where})\n\n"
    fine = sum(verdict.as_expected for verdict in report.verdicts)
    missing = len(report.verdicts) - fine
    also = f", {missing:,} not asked" if missing else ""
    heading = f"{fine:,} cells as declared{also} ({where})\n\n"
    if report.exit_code:
        failed = f"The run failed nevertheless: pytest's exit code is {report.exit_code}."
        return f"## ⚠️ {heading}{failed}\n\n"
    return f"## ✅ {heading}"


def _failure(cause: Cause, repository: Repository | None) -> str:
    """Sentences, and below them the rule and the line that declares otherwise."""
    sentences = [escaped(verdict.sentence) for verdict in cause.verdicts[:SHOWN_SENTENCES]]
    if (more := len(cause.verdicts) - SHOWN_SENTENCES) > 0:
        sentences.append(f"and {more:,} more of {escaped(cause.first.cell.subject.name)}")
    lines = [f"**{sentence}**" for sentence in sentences]
    rule, declared = cause.rule, cause.expectation
    reasons = [(rule.label, rule.at, rule.text)] if rule.text else []
    for label, at, text in (*reasons, ("declared", declared.at, declared.why)):
        place = f"{place_link(str(at), at, repository)}: " if at else ""
        lines.append(f"{label}: {place}{escaped(text)}")
    lines.append(f"ask again: {code(cause.first.ask_again)}")
    return "- " + "<br>\n  ".join(lines) + "\n\n"


def _counts(report: RunReport) -> str:
    times = f"{escaped(time_line(report))}.\n\n" if report.times else ""
    return f"{escaped(report.counted)}.\n\n{times}"


def _table(grid: Grid) -> str:
    """The rows of the grid, and how many cells are beyond it."""
    lines = [f"### {escaped(grid.scenario)}", "", escaped(grid.title), ""]
    if grid.rows:
        heads = ["subject", "where", "resource", *map(escaped, grid.verbs)]
        alignment = ["---"] * 3 + [":-:"] * len(grid.verbs)
        lines += [_row(heads), _row(alignment)]
        for row in grid.rows:
            marks = [SYMBOLS[row.marks[verb]] if verb in row.marks else "" for verb in grid.verbs]
            said = [escaped(str(row.subject)), escaped(row.where), escaped(row.what)]
            lines.append(_row([*said, *marks]))
        lines.append("")
    notes = [f"{escaped(str(subject))}: nothing" for subject in grid.empty]
    if grid.left_out:
        notes.append(f"{grid.left_out:,} more resources with cells not as declared")
    if others := others_of(grid):
        notes.append(others)
    return "\n".join([*lines, ", ".join(notes), "", ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def place_link(text: str, at: Position, repository: Repository | None, commit: str = "") -> str:
    """A place as code, which leads to its line where the repository has an address.

    Args:
        text: How it is written.
        at: Where it is.
        repository: What it is in.
        commit: Of which commit; empty for the one that is checked out.
    """
    link = repository.link(at, commit) if repository else ""
    return f"[{code(text)}]({link})" if link else code(text)


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, in a table too; what is very long is cut."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", short(text))


def code(text: str) -> str:
    """Text as code: the one form in which GitHub makes no links and mentions of it.

    In a table too, where a pipe ends a cell even in a code span; whether a backslash before it
    helps depends on what is before that.
    """
    shown = short(text).replace("|", "\\x7c") or " "
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    pad = " " if not shown.strip() or "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
