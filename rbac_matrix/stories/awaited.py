"""Waiting until a subject's own request is answered as a step of a story needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbac_matrix.answer import Answer
from rbac_matrix.deadline import poll

if TYPE_CHECKING:
    from rbac_matrix.answer import AnswerClass
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.requests import Request


def wait_for_answer(
    asker: ProbeSession, request: Request, wanted: AnswerClass, seconds: float
) -> Answer:
    """Wait until a request is answered with a class; the answer.

    Args:
        asker: Asks as the subject.
        request: What is asked, again and again.
        wanted: The class of the answer.
        seconds: The deadline.

    Raises:
        DeadlineError: It was not answered so in time; the message says what came last.
    """
    answer = Answer(None)

    def missing() -> str:
        nonlocal answer
        answer = asker.ask([request], seconds)[0]
        return "" if answer.answer_class is wanted else f"{answer} {answer.message}"

    poll(f"waiting for {request.line} to be {wanted}", missing, seconds)
    return answer
