"""The errors that end a run with a sentence for its reader instead of a traceback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class RbacMatrixError(Exception):
    """Something outside this package is wrong; the message says what, where and the next step."""


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file that a person wrote.

    Attributes:
        file: Where the text is.
        line: Counted from 1.
    """

    file: Path
    line: int

    @property
    def shown(self) -> str:
        """The file, relative to the working folder where that is shorter to read."""
        file, folder = self.file.resolve(), Path.cwd()
        return str(file.relative_to(folder) if file.is_relative_to(folder) else file)

    def __str__(self) -> str:
        """`file:line`."""
        return f"{self.shown}:{self.line}"


class InputError(RbacMatrixError):
    """An expectation or manifest file that cannot be what its author meant."""

    def __init__(self, at: Position, message: str) -> None:
        """Keep the place and the sentence apart.

        Args:
            at: Where the mistake is.
            message: What is wrong and what would be right, one sentence.
        """
        super().__init__(f"{at}: {message}")
        self.at = at
        self.message = message
