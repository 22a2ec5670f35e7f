"""How far a run is: its stages and its answers, told to whoever shows or measures them."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Stage(StrEnum):
    """What a run spends its time on, in its order."""

    CLUSTER = "cluster start"
    PREPARE = "preparing"
    APPLY = "apply"
    SETTLE = "settle"
    ASK = "ask"
    JUDGE = "judge"
    LOOK = "looking at failures"
    REMOVE = "remove"


class Progress(Protocol):
    """Is told how far a run is, from several threads."""

    def during(self, stage: Stage, what: str = "") -> AbstractContextManager[None]:
        """A piece of work that begins with a stage.

        Args:
            stage: The first stage.
            what: What is worked on, such as a scenario's name.
        """
        ...

    def begin(self, stage: Stage) -> None:
        """The piece of work has come to its next stage."""
        ...

    def expect(self, answers: int) -> None:
        """So many more answers are to come in this piece of work."""
        ...

    def answered(self) -> None:
        """One more answer has come."""
        ...


class Unwatched:
    """Progress that nobody looks at."""

    def during(self, stage: Stage, what: str = "") -> AbstractContextManager[None]:
        """Nothing is shown."""
        del stage, what
        return nullcontext()

    def begin(self, stage: Stage) -> None:
        """Nothing is shown."""

    def expect(self, answers: int) -> None:
        """Nothing is counted."""

    def answered(self) -> None:
        """Nothing is counted."""
