"""From an expectation and two answers to a verdict that reads as a sentence."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rbac_matrix.answer import UNDECIDED, AnswerClass, Denial
from rbac_matrix.cell import NAMED_VERBS

if TYPE_CHECKING:
    from rbac_matrix.answer import Answer
    from rbac_matrix.cell import Cell
    from rbac_matrix.requests import Request
    from rbac_matrix.scenario import Expectation


class Outcome(StrEnum):
    """How a cell came out; everything but the first is a failure, the last three are no verdict."""

    AS_EXPECTED = "as expected"
    UNEXPECTEDLY_ALLOWED = "unexpectedly allowed"
    UNEXPECTEDLY_DENIED = "unexpectedly denied"
    OTHER_STATUS = "other status"
    OTHER_REFUSAL = "refused, but not for this question by RBAC"
    VACUOUS = "refused to everyone"
    NOT_ANSWERED = "not answered"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Verdict:
    """A cell, what was expected of it and what came.

    Attributes:
        cell: The question.
        expectation: What the scenario declares.
        outcome: How they compare.
        request: The request that asked it; None where it was not asked.
        answer: What the subject got; None where it was not asked.
        control: What the admin got for the same request; None where it was not asked.
        reason: For a cell that was not asked, why; for one not answered, what happened.
    """

    cell: Cell
    expectation: Expectation
    outcome: Outcome
    request: Request | None = None
    answer: Answer | None = None
    control: Answer | None = None
    reason: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether the cell passes."""
        return self.outcome is Outcome.AS_EXPECTED

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        who, question = self.cell.subject.name, self.cell.question
        may = f"{who} may {'' if self.expectation.status else 'not '}{question}"
        match self.outcome:
            case Outcome.AS_EXPECTED:
                return f"{may} ({self.answer and self.answer.status})"
            case Outcome.UNEXPECTEDLY_ALLOWED:
                return f"{may}, but could ({_could(self.answer)})"
            case Outcome.UNEXPECTEDLY_DENIED:
                return f"{may}, but was refused ({self.answer and self.answer.status})"
            case Outcome.OTHER_STATUS:
                return f"{may} with {self.expectation.status}, but got {self.answer}"
            case Outcome.OTHER_REFUSAL:
                return f"{may}, but the refusal is not RBAC's for this question"
            case Outcome.VACUOUS:
                return f"{may}, but the admin is refused too: the request proves nothing"
            case _:
                return f"{who} {question}: {self.outcome}: {self.reason}"

    @property
    def explanation(self) -> str:
        """What a reader needs below the sentence, a line each; ends with how to ask again."""
        lines = []
        if self.request is not None:
            lines.append(f"asked:     {self.request.line}")
            lines.append(f"as:        {self.cell.subject.username}")
        lines.append(f"expected:  {self.expectation.status or 403} ({self.expectation.why})")
        lines.append(f"declared:  {self.expectation.at}")
        if self.answer is not None:
            lines.append(f"answered:  {self.answer}")
            if self.answer.message:
                lines.append(f"server:    {printable(self.answer.message)}")
        if self.control is not None and self.outcome is Outcome.VACUOUS:
            lines.append(f"admin got: {self.control} {printable(self.control.message)}")
        lines.append(f"ask again: {self.ask_again}")
        return "\n".join(lines)

    @property
    def ask_again(self) -> str:
        """The kubectl command that puts the question to the cluster."""
        cell = self.cell
        resource = str(cell.resource.parent)
        if cell.name and (cell.verb in NAMED_VERBS or cell.resource.subresource):
            resource += f"/{cell.name}"
        command = ["kubectl", "auth", "can-i", cell.verb, resource]
        if cell.resource.subresource:
            command.append(f"--subresource={cell.resource.subresource}")
        command.append(f"--as={cell.subject.username}")
        command += ["-n", cell.namespace] if cell.namespace else ["--all-namespaces"]
        return shlex.join(command)


def judge(
    cell: Cell, expectation: Expectation, request: Request, answer: Answer, control: Answer
) -> Verdict:
    """Compare one answer with what was expected.

    A denial counts only as RBAC's refusal of exactly this question while the admin's same request
    is let through; an allowance only with the declared status.

    Args:
        cell: The question.
        expectation: What the scenario declares.
        request: The request that asked it.
        answer: What the subject got.
        control: What the admin got for the same request.
    """
    outcome, reason = _compare(cell, expectation, answer, control)
    return Verdict(cell, expectation, outcome, request, answer, control, reason)


def not_asked(cell: Cell, expectation: Expectation, reason: str) -> Verdict:
    """The verdict of a cell that this cluster cannot be asked."""
    return Verdict(cell, expectation, Outcome.NOT_ASKED, reason=reason)


def _compare(
    cell: Cell, expectation: Expectation, answer: Answer, control: Answer
) -> tuple[Outcome, str]:
    if answer.answer_class in UNDECIDED:
        return Outcome.NOT_ANSWERED, _undecided(answer)
    if expectation.status is not None:
        if answer.answer_class is AnswerClass.DENIED_BY_RBAC:
            return Outcome.UNEXPECTEDLY_DENIED, ""
        if answer.status != expectation.status:
            return Outcome.OTHER_STATUS, ""
        return Outcome.AS_EXPECTED, ""
    if answer.answer_class is not AnswerClass.DENIED_BY_RBAC:
        return Outcome.UNEXPECTEDLY_ALLOWED, ""
    if not _speaks_of(answer.denial, cell):
        return Outcome.OTHER_REFUSAL, ""
    if control.answer_class in UNDECIDED:
        return Outcome.NOT_ANSWERED, f"the admin's request: {_undecided(control)}"
    # The admin may meet admission's own 403 (nobody may delete the namespace kube-system): that
    # request was let through by the authorizer, which is what the control has to show.
    if control.answer_class is AnswerClass.DENIED_BY_RBAC:
        return Outcome.VACUOUS, ""
    return Outcome.AS_EXPECTED, ""


def _speaks_of(denial: Denial | None, cell: Cell) -> bool:
    """Whether a denial is of this subject and this question."""
    subresource = f"/{cell.resource.subresource}" if cell.resource.subresource else ""
    return denial is not None and (
        (denial.user, denial.verb, denial.resource, denial.group, denial.namespace)
        == (
            cell.subject.username,
            cell.verb,
            f"{cell.resource.plural}{subresource}",
            cell.resource.group,
            cell.namespace,
        )
        and (cell.name is None or denial.name == cell.name)
    )


def _undecided(answer: Answer) -> str:
    """Why an answer decides nothing."""
    status = f"{answer} " if answer.status else ""
    return f"{status}{printable(answer.message)}".rstrip()


def _could(answer: Answer | None) -> str:
    """How far an allowed request came: RBAC let it through, whatever came after."""
    if answer is None or answer.status is None:
        return "no answer"
    if answer.answer_class in (AnswerClass.OK, AnswerClass.CREATED):
        return str(answer.status)
    return f"RBAC let it through; then {answer}"


def printable(text: str) -> str:
    """Text of unknown origin with nothing that a terminal would act on; newlines become spaces."""
    shown = " ".join(text.split())
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in shown)
