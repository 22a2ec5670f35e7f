"""What is wrong, by cause: the cells that one rule lets go wrong in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rbac_matrix.errors import Position
    from rbac_matrix.scenario import Expectation
    from rbac_matrix.verdict import Verdict

_FIRST: Final = (Outcome.UNEXPECTEDLY_ALLOWED, Outcome.UNEXPECTEDLY_DENIED)
"""Who may do too much comes first, then who may do too little, then what is neither."""


@dataclass(frozen=True)
class Rule:
    """What grants a cell, or comes nearest to granting it.

    Attributes:
        text: Binding, role and rule, or what the nearest rule lacks; empty where nothing is known.
        at: The manifest's line; None where the cluster brought the rule.
        grants: Whether it grants.
    """

    text: str
    at: Position | None
    grants: bool

    @property
    def label(self) -> str:
        """How it stands to the cell, in one word."""
        return "granted" if self.grants else "nearest"


@dataclass(frozen=True)
class Cause:
    """Cells of a subject that are wrong in the same way, by the same line of a manifest.

    Attributes:
        verdicts: At least one.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def first(self) -> Verdict:
        """The cell that speaks for all."""
        return self.verdicts[0]

    @property
    def rule(self) -> Rule:
        """Its rule; the rules of the others are written in the same place."""
        return rule_of(self.first)

    @property
    def expectation(self) -> Expectation:
        """What was expected of all of them."""
        return self.first.expectation


def is_wrong(verdict: Verdict) -> bool:
    """Whether a verdict has to be looked at; a cell that could not be asked is not one."""
    return verdict.outcome not in (Outcome.AS_EXPECTED, Outcome.NOT_ASKED)


def causes(verdicts: Iterable[Verdict]) -> list[Cause]:
    """The wrong cells, each in one cause; what is allowed and should not be comes first."""
    found: dict[object, list[Verdict]] = {}
    for verdict in verdicts:
        if is_wrong(verdict):
            rule, cell = rule_of(verdict), verdict.cell
            why = (verdict.outcome, verdict.reason, rule.grants, rule.at or rule.text)
            key = (cell.scenario, cell.subject, verdict.expectation.at, why)
            found.setdefault(key, []).append(verdict)
    told = (Cause(tuple(wrong)) for wrong in found.values())
    return sorted(told, key=lambda cause: rank(cause.first))


def rank(verdict: Verdict) -> int:
    """How early a wrong cell is to be told; what is the same stays in its order."""
    return _FIRST.index(verdict.outcome) if verdict.outcome in _FIRST else len(_FIRST)


def rule_of(verdict: Verdict) -> Rule:
    """The rule that grants a cell, by the policy judge, or the nearest one.

    What was not answered has none: no rule is to blame.
    """
    if verdict.evidence is None or verdict.outcome is Outcome.NOT_ANSWERED:
        return Rule("", None, grants=False)
    said = verdict.evidence.policy
    return Rule(said.reason, said.at, grants=bool(said.allowed))
