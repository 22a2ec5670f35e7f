"""Changes of access as GitHub shows them beside a pull request: tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbac_matrix.report.drift import counted
from rbac_matrix.report.markdown import LIMIT, RESERVED, Room, code, place_link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rbac_matrix.errors import Position
    from rbac_matrix.report.drift import Difference, Drift, Reason
    from rbac_matrix.report.repository import Repository
    from rbac_matrix.since import Comparison

_HEADS = ("", "scenario", "ServiceAccount", "what", "where", "line", "because", "cells")


def since_summary(
    comparison: Comparison, limit: int = LIMIT, repository: Repository | None = None
) -> str:
    """What changed since a revision.

    Args:
        comparison: The changes.
        limit: Bytes; rows that would exceed it are left out and counted. A limit too small for the
            heading leaves nothing.
        repository: Where the lines can be looked at; None for nowhere.
    """
    found = comparison.differences
    notes = [f"Not compared: {code(note)}\n\n" for note in comparison.notes]
    heading = f"## Access since {code(comparison.base)}: {counted(found)}\n\n"
    rows = (_Row(each, repository, comparison.commit) for each in found)
    return _summary(heading, rows, notes, limit)


def drift_summary(
    drifts: Sequence[Drift], limit: int = LIMIT, repository: Repository | None = None
) -> str:
    """What is not as accepted; nothing where everything is.

    Args:
        drifts: Of each scenario.
        limit: As for `since_summary`.
        repository: Likewise.
    """
    drifts = [drift for drift in drifts if drift.lines]
    if not drifts:
        return ""
    found = [difference for drift in drifts for difference in drift.differences]
    notes = []
    for drift in drifts:
        told = "<br>\n".join(code(line) for line in drift.wrong)
        notes.append(
            f"{told}<br>\n" * bool(told)
            + f"to accept: `nox -s accept`, and commit {code(drift.at.shown)}\n\n"
        )
    changed = f": {counted(found)}" if found else ""
    rows = (_Row(each, repository) for each in found)
    return _summary(f"## ❌ Access is not as accepted{changed}\n\n", rows, notes, limit)


def _summary(heading: str, rows: Iterable[_Row], notes: Iterable[str], limit: int) -> str:
    room = Room(limit - RESERVED - len(heading.encode()))
    if room.left < 0:
        return ""
    shown = [*room.take("changes", ((1, row.text) for row in rows))]
    written = [heading]
    if shown:
        head = f"| {' | '.join(_HEADS)} |\n|{'---|' * (len(_HEADS) - 1)}--:|\n"
        written += [head, *shown, "\n"]
    written += room.take("notes", ((1, note.__str__) for note in notes))
    return "".join([*written, room.said])


class _Row:
    """A row of the table, written when there is room for it."""

    def __init__(self, told: Difference, repository: Repository | None, commit: str = "") -> None:
        self._told, self._repository, self._commit = told, repository, commit

    def text(self) -> str:
        """The row; whatever comes from manifests is in code spans, which hold no other syntax."""
        change = self._told.change
        first, *others = self._told.reasons
        lines = first if first.at else next((each for each in others if each.at), first)
        cells = [
            f"**{change.kind}**",
            code(self._told.scenario),
            code(change.access.who),
            code(f"{change.verbs} {change.access.object}"),
            code(change.access.place),
            "<br>".join(self._places(lines)),
            "<br>".join([self._because(first), *map(self._before, others)]),
            f"{len(change.cells):,}",
        ]
        return f"| {' | '.join(cells)} |\n"

    def _before(self, reason: Reason) -> str:
        places = ", ".join(self._places(reason))
        return f"{reason.label}: {f'{places}: ' if places else ''}{self._because(reason)}"

    def _because(self, reason: Reason) -> str:
        beside = ", ".join(self._linked(reason, reason.beside))
        return f"{code(reason.text)}{f', {reason.where} {beside}' if beside else ''}"

    def _places(self, reason: Reason) -> list[str]:
        return [*self._linked(reason, reason.at)]

    def _linked(self, reason: Reason, places: Iterable[Position]) -> Iterator[str]:
        for at in places:
            commit = self._commit if reason.revision else ""
            yield place_link(reason.shown(at), at, self._repository, commit)
