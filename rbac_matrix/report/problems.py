"""The causes of what is wrong as the page tells them: cells, by their rows, and rules."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.report.packed import Entry, Row


@dataclass(frozen=True)
class Problem:
    """Cells that are wrong in the same way, for the same reason.

    Attributes:
        cells: The number of each in the order of the page, with what is known of it.
    """

    cells: tuple[tuple[int, Entry], ...]

    @property
    def first(self) -> Entry:
        """The cell that speaks for all."""
        return self.cells[0][1]

    @property
    def outcome(self) -> str:
        """How they came out."""
        return self.first.texts["outcome"]

    @property
    def granted(self) -> bool:
        """Whether a rule grants them; else what is known is the nearest rule."""
        return bool(self.first.texts["granted"])

    @property
    def rules(self) -> list[str]:
        """The rules that grant them or come nearest."""
        texts = [each.texts["granted"] or each.texts["nearest"] for _, each in self.cells]
        return list(dict.fromkeys(filter(None, texts)))

    @property
    def rows(self) -> list[tuple[Row, list[tuple[int, Entry]]]]:
        """The cells of each row of the matrix."""
        return [(row, list(own)) for row, own in groupby(self.cells, lambda cell: cell[1].row)]


def problems(found: Sequence[Entry]) -> list[Problem]:
    """The wrong ones of all cells, by the causes that `causes` has numbered."""
    causes: dict[int, list[tuple[int, Entry]]] = {}
    for number, entry in enumerate(found):
        if entry.cause is not None:
            causes.setdefault(entry.cause, []).append((number, entry))
    return [Problem(tuple(causes[number])) for number in sorted(causes)]
