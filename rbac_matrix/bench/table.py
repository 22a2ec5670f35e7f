"""Rates of several rounds, and their medians beside a reference's."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rates by what was measured.

    Attributes:
        rates: Per second, a number a round.
        references: What each measurement is compared with, by its name.
    """

    references: dict[str, str]
    rates: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, rate: float) -> None:
        """Keep one round's rate."""
        self.rates.setdefault(what, []).append(rate)

    def ratio(self, what: str) -> float:
        """A measurement's median, relative to that of its reference."""
        reference = self.rates[self.references[what]]
        return statistics.median(self.rates[what]) / statistics.median(reference)

    def markdown(self) -> list[str]:
        """A row a measurement, in the order of the first round."""
        lines = ["| | per second | lowest to highest | of its reference |", "|---|---:|---:|---:|"]
        for what, rates in self.rates.items():
            span = f"{_rate(min(rates))} to {_rate(max(rates))}"
            ratio = f"{self.ratio(what):.2f}" if what in self.references else ""
            lines.append(f"| {what} | {_rate(statistics.median(rates))} | {span} | {ratio} |")
        return lines


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"
