"""What is wrong, a problem for each cause: the cells that one line of a manifest let go wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.report.packed import Entry, Row

_FIRST: Final = ("unexpectedly allowed", "unexpectedly denied")
"""Who may do too much comes first, then who may do too little, then what is neither."""
_PLACE: Final = re.compile(r" \[[^\[\]]+:[0-9]+\]$")


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
        """The rules that grant them or come nearest, without the place where they are written."""
        texts = [each.texts["granted"] or each.texts["nearest"] for _, each in self.cells]
        return list(dict.fromkeys(_PLACE.sub("", text) for text in texts if text))

    @property
    def rows(self) -> list[tuple[Row, list[tuple[int, Entry]]]]:
        """The cells of each row of the matrix."""
        return [(row, list(own)) for row, own in groupby(self.cells, lambda cell: cell[1].row)]


def problems(found: Sequence[Entry]) -> list[Problem]:
    """The wrong ones of all cells, by cause."""
    causes: dict[tuple[str, ...], list[tuple[int, Entry]]] = {}
    for number, entry in enumerate(found):
        if entry.state == "wrong":
            said = (entry.texts[key] for key in ("outcome", "manifest", "declared", "why"))
            cause = (entry.row.scenario, entry.row.subject, *said)
            causes.setdefault(cause, []).append((number, entry))
    order = {outcome: place for place, outcome in enumerate(_FIRST)}
    return sorted(
        (Problem(tuple(cells)) for cells in causes.values()),
        key=lambda problem: order.get(problem.outcome, len(order)),
    )
