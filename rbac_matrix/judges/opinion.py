"""What a judge says, and the interface that all three have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.errors import Position


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one judge says to one question.

    Attributes:
        allowed: Whether it is allowed; None where the judge came to no answer.
        reason: Why, in a few words.
        at: Where a person wrote what decides; None where nobody did, or the judge does not know.
    """

    allowed: bool | None
    reason: str
    at: Position | None = None

    @property
    def said(self) -> str:
        """The opinion in a word."""
        return {True: "allowed", False: "denied", None: "no answer"}[self.allowed]

    @property
    def because(self) -> str:
        """The reason with its place: `RoleBinding default/b of Role r, rule 1 [role.yaml:7]`."""
        return f"{self.reason} [{self.at}]" if self.at else self.reason

    def __str__(self) -> str:
        """`allowed: RBAC: allowed by ...`."""
        return f"{self.said}: {self.because}" if self.reason else self.said


class Judge(Protocol):
    """One way to decide questions, which knows nothing of the others."""

    def opinions(self, subject: Subject, questions: Sequence[Question]) -> list[Opinion]:
        """An opinion for each question, in their order."""
        ...
