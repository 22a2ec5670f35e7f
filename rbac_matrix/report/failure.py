"""A failed cell as pytest shows it: a sentence, and below it what a reader needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _pytest._code.code import ReprFileLocation, TerminalRepr

from rbac_matrix.report.harmless import harmless, harmless_lines

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter

    from rbac_matrix.errors import Position


class SentenceRepr(TerminalRepr):
    """The sentence is pytest's one-line summary too, and the place is the expectation's line."""

    def __init__(self, sentence: str, explanation: str, at: Position) -> None:
        """Keep the parts.

        Args:
            sentence: What is wrong.
            explanation: Lines below it.
            at: The line that declared the expectation.
        """
        self.sentence = harmless(sentence)
        self.explanation = harmless_lines(explanation)
        self.reprcrash = ReprFileLocation(str(at.file), at.line, self.sentence)

    def toterminal(self, tw: TerminalWriter) -> None:
        """Print it."""
        tw.line(self.sentence, red=True, bold=True)
        tw.line(self.explanation)
