"""What a judge says, and the interface that all three have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.cell import Question, Subject


@dataclass(frozen=True)
class Opinion:
    """What one judge says to one question.

    Attributes:
        allowed: Whether it is allowed; None where the judge came to no answer.
        reason: Why, in a few words.
    """

    allowed: bool | None
    reason: str

    def __str__(self) -> str:
        """`allowed: RBAC: allowed by ...`."""
        said = {True: "allowed", False: "denied", None: "no answer"}[self.allowed]
        return f"{said}: {self.reason}" if self.reason else said


class Judge(Protocol):
    """One way to decide questions, which knows nothing of the others."""

    def opinions(self, subject: Subject, questions: Sequence[Question]) -> list[Opinion]:
        """An opinion for each question, in their order."""
        ...
