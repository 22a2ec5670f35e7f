"""From an expectation and two answers to a verdict that reads as a sentence."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from rbac_matrix.answer import UNDECIDED, AnswerClass
from rbac_matrix.cell import PathQuestion
from rbac_matrix.judges.opinion import Opinion

if TYPE_CHECKING:
    from rbac_matrix.answer import Answer, Denial
    from rbac_matrix.cell import Cell
    from rbac_matrix.disagreements import AlsoNeeded
    from rbac_matrix.requests import Request
    from rbac_matrix.scenario import Expectation


class Outcome(StrEnum):
    """How a cell came out; everything but the first is a failure, the last three are no verdict."""

    AS_EXPECTED = "as expected"
    UNEXPECTEDLY_ALLOWED = "unexpectedly allowed"
    UNEXPECTEDLY_DENIED = "unexpectedly denied"
    OTHER_STATUS = "other status"
    OTHER_REFUSAL = "refused, but not for this question by RBAC"
    DISAGREEMENT = "the judges disagree"
    VACUOUS = "refused to everyone"
    NOT_ANSWERED = "not answered"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Also:
    """What policy and review say of a documented further need of a request.

    Attributes:
        needed: What it is.
        policy: Whether it is granted, by the policy judge.
        review: The same by the review judge.
    """

    needed: AlsoNeeded
    policy: Opinion
    review: Opinion


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about a cell.

    Attributes:
        policy: What the policy judge says; of a denial, the rule that comes nearest to granting it.
        review: What the review judge says; None where there is no cluster to ask.
        request: The request that asked it; None where no request may.
        answer: What the subject got; None where it was not requested.
        control: What the admin got for the same request; None where it was not requested.
        not_requested: Why no request asked it; empty where one did.
        other_grant: The reason of the review, where it names a grant that the policy does not see.
        also: What else the request needs by Kubernetes' documentation; None where nothing.
    """

    policy: Opinion
    review: Opinion | None = None
    request: Request | None = None
    answer: Answer | None = None
    control: Answer | None = None
    not_requested: str = ""
    other_grant: str = ""
    also: Also | None = None

    @property
    def requested(self) -> Opinion | None:
        """What the request judge says; None where nothing was requested."""
        if self.answer is None:
            return None
        if self.answer.answer_class in UNDECIDED:
            return Opinion(None, _undecided(self.answer))
        refused = (AnswerClass.DENIED_BY_RBAC, AnswerClass.DENIED_BY_UPGRADE_CHECK)
        return Opinion(self.answer.answer_class not in refused, str(self.answer))

    @property
    def opinions(self) -> dict[str, Opinion]:
        """What each judge that was asked says, by its name."""
        asked = {"policy": self.policy, "review": self.review, "request": self.requested}
        return {name: opinion for name, opinion in asked.items() if opinion is not None}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cell, what was expected of it and what came.

    Attributes:
        cell: The question.
        expectation: What the scenario declares.
        outcome: How they compare.
        evidence: What the judges found; None where the cell was not asked.
        reason: For a cell that was not asked, why; for one not answered, what happened.
        documented: For a granted cell whose request is refused all the same, the documented reason:
            what else the request needs. The declared status is that of a request that is let
            through, so it is not compared then.
    """

    cell: Cell
    expectation: Expectation
    outcome: Outcome
    evidence: Evidence | None = None
    reason: str = ""
    documented: str = ""

    @property
    def answer(self) -> Answer | None:
        """What the subject's request got."""
        return self.evidence.answer if self.evidence else None

    @property
    def request(self) -> Request | None:
        """The request that asked it."""
        return self.evidence.request if self.evidence else None

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
                return f"{may} ({self._came})"
            case Outcome.UNEXPECTEDLY_ALLOWED:
                return f"{may}, but {self._could}"
            case Outcome.UNEXPECTEDLY_DENIED:
                refused = (
                    f"was refused ({self.answer.status})" if self.answer else "nothing grants it"
                )
                return f"{may}, but {refused}"
            case Outcome.OTHER_STATUS:
                return f"{may} with {self.expectation.status}, but got {self.answer}"
            case Outcome.OTHER_REFUSAL:
                return f"{may}, but the refusal is not RBAC's for this question"
            case Outcome.VACUOUS:
                return f"{may}, but the admin is refused too: the request proves nothing"
            case Outcome.DISAGREEMENT:
                return f"{may}, but the judges disagree: {self.reason or self._sides}"
            case _:
                return f"{who} {question}: {self.outcome}: {self.reason}"

    @property
    def _came(self) -> str:
        """The status, or that it was not requested."""
        status = str(self.answer.status) if self.answer else "not requested"
        return f"it is granted, but its request got {self._wanting}" if self.documented else status

    @property
    def _wanting(self) -> str:
        """The status of a request that is refused for its documented further need."""
        also = self.evidence.also if self.evidence else None
        if also is None or self.answer is None:
            return ""
        return f"{self.answer.status} for want of {also.needed.question.verb}"

    @property
    def _could(self) -> str:
        """How far an allowed request came: RBAC let it through, whatever came after."""
        answer = self.answer
        if answer is None or answer.status is None:
            return "it is granted"
        if self.documented:
            return f"it is granted (its request got {self._wanting})"
        if answer.answer_class in (AnswerClass.OK, AnswerClass.CREATED):
            return f"could ({answer.status})"
        return f"could (RBAC let it through; then {answer})"

    @property
    def _sides(self) -> str:
        if self.evidence is None:
            return ""
        said = {True: "allowed", False: "denied", None: "nothing"}
        opinions = self.evidence.opinions.items()
        return ", ".join(f"{name} says {said[opinion.allowed]}" for name, opinion in opinions)

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
        if self.evidence is not None:
            lines += self._judged(self.evidence)
        lines.append(f"ask again: {self.ask_again}")
        return "\n".join(lines)

    def _judged(self, evidence: Evidence) -> list[str]:
        """What decided: the grant, or the nearest rule; each judge where they disagree."""
        if self.outcome is Outcome.DISAGREEMENT:
            return [
                f"{name + ':':10} {printable(str(said))}"
                for name, said in evidence.opinions.items()
            ]
        lines = []
        if evidence.policy.reason:
            label = "granted:" if evidence.policy.allowed else "nearest:"
            lines.append(f"{label:10} {printable(evidence.policy.because)}")
        if self.documented:
            lines.append(f"refused:   {printable(self.documented)}")
        if evidence.control is not None and self.outcome is Outcome.VACUOUS:
            lines.append(f"admin got: {evidence.control} {printable(evidence.control.message)}")
        return lines

    @property
    def ask_again(self) -> str:
        """The kubectl command that puts the question to the cluster."""
        question = self.cell.question
        command = ["kubectl", "auth", "can-i", question.verb]
        who = f"--as={self.cell.subject.username}"
        if isinstance(question, PathQuestion):
            return shlex.join([*command, question.path, who])
        resource = str(question.resource.parent)
        if question.name:
            resource += f"/{question.name}"
        command.append(resource)
        if question.resource.subresource:
            command.append(f"--subresource={question.resource.subresource}")
        where = ["-n", question.namespace] if question.namespace else ["--all-namespaces"]
        return shlex.join([*command, who, *where])


def judge(cell: Cell, expectation: Expectation, evidence: Evidence) -> Verdict:
    """Compare what the judges found with what was expected.

    All judges must agree. A denial counts only as RBAC's refusal of exactly this question while
    the admin's same request is let through; an allowance only with the declared status. A request
    that is refused for its documented further need disagrees with nobody: what is declared is what
    is granted, and that is for policy and review to say.
    """
    documented = _documented(cell, evidence)
    outcome, reason = _compare(cell, expectation, evidence, documented=bool(documented))
    return Verdict(cell, expectation, outcome, evidence, reason, documented=documented)


def not_asked(cell: Cell, expectation: Expectation, reason: str) -> Verdict:
    """The verdict of a cell that this cluster cannot be asked."""
    return Verdict(cell, expectation, Outcome.NOT_ASKED, reason=reason)


def _documented(cell: Cell, evidence: Evidence) -> str:
    """Why the request is refused though it is granted, where exactly its further need explains it.

    The refusal says what it refuses, or nothing at all; and both other judges deny the need.
    """
    also, answer = evidence.also, evidence.answer
    if also is None or answer is None:
        return ""
    said = (evidence.policy, evidence.review, also.policy, also.review)
    if [opinion and opinion.allowed for opinion in said] != [True, True, False, False]:
        return ""
    needed = also.needed
    if not (
        answer.answer_class is AnswerClass.DENIED_BY_UPGRADE_CHECK
        or (answer.denial and _speaks_of(answer.denial, replace(cell, question=needed.question)))
    ):
        return ""
    return f"the request also needs {needed.question}: {needed.why} [{needed.source}]"


def _compare(
    cell: Cell, expectation: Expectation, evidence: Evidence, *, documented: bool
) -> tuple[Outcome, str]:
    if unanswered := _unanswered(evidence):
        return Outcome.NOT_ANSWERED, unanswered
    answer = None if documented else evidence.answer
    if answer is not None and answer.denial and not _speaks_of(answer.denial, cell):
        return Outcome.OTHER_REFUSAL, ""
    if not documented and len({each.allowed for each in evidence.opinions.values()}) > 1:
        return Outcome.DISAGREEMENT, ""
    if evidence.other_grant:
        return Outcome.DISAGREEMENT, "the review names a grant that the policy does not see"
    if expectation.status is None:
        if evidence.policy.allowed:
            return Outcome.UNEXPECTEDLY_ALLOWED, ""
        return _control(evidence.control)
    if not evidence.policy.allowed:
        return Outcome.UNEXPECTEDLY_DENIED, ""
    if answer is not None and answer.status != expectation.status:
        return Outcome.OTHER_STATUS, ""
    return Outcome.AS_EXPECTED, ""


def _unanswered(evidence: Evidence) -> str:
    """Which judge came to no opinion, and why; empty where all did."""
    opinions = evidence.opinions
    if evidence.also is not None:
        opinions[f"review of {evidence.also.needed.question}"] = evidence.also.review
    for name, opinion in opinions.items():
        if opinion.allowed is None:
            return f"{name}: {printable(opinion.reason)}"
    return ""


def _control(control: Answer | None) -> tuple[Outcome, str]:
    """Whether the admin's same request shows that a denial means something."""
    if control is None:
        return Outcome.AS_EXPECTED, ""
    if control.answer_class in UNDECIDED:
        return Outcome.NOT_ANSWERED, f"the admin's request: {_undecided(control)}"
    # The admin may meet admission's own 403 (nobody may delete the namespace kube-system): that
    # request was let through by the authorizer, which is what the control has to show.
    if control.answer_class is AnswerClass.DENIED_BY_RBAC:
        return Outcome.VACUOUS, ""
    return Outcome.AS_EXPECTED, ""


def _speaks_of(denial: Denial, cell: Cell) -> bool:
    """Whether a denial is of this subject and this question."""
    question = cell.question
    if (denial.user, denial.verb) != (cell.subject.username, question.verb):
        return False
    if isinstance(question, PathQuestion):
        return denial.path == question.path
    resource = question.resource
    subresource = f"/{resource.subresource}" if resource.subresource else ""
    asked = (f"{resource.plural}{subresource}", resource.group, question.namespace)
    return (denial.resource, denial.group, denial.namespace) == asked and (
        not question.name or denial.name == question.name
    )


def _undecided(answer: Answer) -> str:
    """Why an answer decides nothing."""
    status = f"{answer} " if answer.status else ""
    return f"{status}{printable(answer.message)}".rstrip()


def printable(text: str) -> str:
    """Text of unknown origin with nothing that a terminal would act on; newlines become spaces."""
    shown = " ".join(text.split())
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in shown)
