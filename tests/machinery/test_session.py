"""The session with agents that misbehave: whatever they do, a question ends with a sentence."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.answer import Answer, AnswerClass
from rbac_matrix.probe import session
from rbac_matrix.probe.session import ProbeError, ProbeSession
from rbac_matrix.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON: Final = 20.0  # seconds; far more than anything here takes, far less than a test may hang
HANGS: Final = "import signal; signal.alarm(60); signal.pause()"
"""A program that does nothing, and ends by itself should a test fail to end it."""

BEGINNING: Final = """\
import json, os, signal, sys
signal.alarm(60)
def say(**line): print(json.dumps(line), flush=True)
def asked(): return json.loads(sys.stdin.readline())
def answer(number, body=""): say(id=number, status=403, body=body)
say(agent=2)
"""


@pytest.fixture
def agent() -> Iterator[Callable[[str], ProbeSession]]:
    """Starts an agent that greets as it should and then does what a program says."""
    sessions: list[ProbeSession] = []

    def start(program: str) -> ProbeSession:
        sessions.append(ProbeSession([sys.executable, "-c", BEGINNING + program], "shop/clerk"))
        return sessions[-1]

    yield start
    for each in sessions:
        each.close()


def requests(count: int, body: str | None = None) -> list[Request]:
    """Requests that differ by their path."""
    return [Request("GET", f"/{number}", body) for number in range(count)]


GREETINGS: Final = {
    "another-version": (
        "print('{\"agent\": 1}', flush=True); input()",
        "the probe of shop/clerk is of another version .*agent.*1.*; build the probe image again",
    ),
    "another-program": ("print('{}', flush=True); input()", "is of another version"),
    "garbage": ("print('Welcome to the machine!', flush=True); input()", "is of another version"),
    "an-empty-line": ("print(flush=True); input()", "is of another version"),
    "nothing": ("", "the probe of shop/clerk did not start: the probe ended with code 0"),
    "an-error": (
        "import sys; sys.exit('no module named probe')",
        "did not start: the probe ended with code 1: no module named probe",
    ),
}


@pytest.mark.parametrize(("program", "says"), GREETINGS.values(), ids=GREETINGS)
def test_an_agent_that_greets_wrongly_is_refused(program: str, says: str) -> None:
    """A program that is not this version's agent is named before anything is asked of it."""
    with pytest.raises(ProbeError, match=says):
        ProbeSession([sys.executable, "-c", program], "shop/clerk")


def test_an_agent_that_never_greets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a deadline, and is ended."""
    monkeypatch.setattr(session, "START_DEADLINE", 0.2)
    monkeypatch.setattr(session, "STOP_DEADLINE", 0.2)

    with pytest.raises(ProbeError, match="did not start within"):
        ProbeSession([sys.executable, "-c", HANGS], "shop/clerk")


def test_answers_are_matched_by_number(agent: Callable[[str], ProbeSession]) -> None:
    """An agent may answer in any order."""
    probe = agent(
        "numbers = [asked()['id'] for _ in range(5)]\n"
        "for number in reversed(numbers): answer(number, f'answer {number}')\n"
    )

    messages = [answer.message for answer in probe.ask(requests(5), SOON)]

    assert messages == [f"answer {number}" for number in range(5)]


def test_pipes_do_not_fill_up(agent: Callable[[str], ProbeSession]) -> None:
    """Questions and answers of some megabytes pass each other."""
    probe = agent("while True: answer(asked()['id'], 'x' * 4000)\n")

    answers = probe.ask(requests(1000, "y" * 4000), SOON)

    assert {answer.message for answer in answers} == {"x" * 4000}


def test_one_session_answers_many_questions(agent: Callable[[str], ProbeSession]) -> None:
    """An agent lives as long as its run."""
    probe = agent("while True: request = asked(); answer(request['id'], request['path'])\n")

    for count in (3, 0, 1, 7):
        answers = probe.ask(requests(count), SOON)
        assert [answer.message for answer in answers] == [f"/{n}" for n in range(count)]


def test_an_answer_to_an_earlier_question_is_not_taken_for_a_later_one(
    agent: Callable[[str], ProbeSession],
) -> None:
    """What comes after the deadline belongs to no request that is asked afterwards.

    The agent's answer is written by a process of its own, which the end of the agent does not stop,
    so that it is certainly there when the next question is asked.
    """
    probe = agent(
        "number = asked()['id']\n"
        "parent_ends, held = os.pipe()\n"
        "if os.fork(): signal.pause()\n"
        "os.close(held); os.read(parent_ends, 1); answer(number, 'late')\n"
    )
    assert "no answer within" in probe.ask(requests(1), 0.2)[0].message

    (answer,) = probe.ask(requests(1), SOON)

    assert answer.answer_class is AnswerClass.NO_ANSWER


def test_an_agent_that_ends_leaves_no_answer(agent: Callable[[str], ProbeSession]) -> None:
    """What it answered before stays; the rest has the exit code and its last words."""
    probe = agent("answer(asked()['id'], 'first'); sys.exit('out of memory')\n")

    answers = probe.ask(requests(3), SOON)

    ended = Answer(None, "the probe ended with code 1: out of memory")
    assert answers == [Answer(403, "first"), ended, ended]
    assert probe.ask(requests(1), SOON) == [ended]


def test_garbage_between_answers_is_no_answer(agent: Callable[[str], ProbeSession]) -> None:
    """A line that is no answer gives none, whatever it is, and no traceback."""
    probe = agent("answer(asked()['id'], 'first'); print('Segmentation fault', flush=True)\n")

    answers = probe.ask(requests(2), SOON)

    assert answers[0] == Answer(403, "first")
    assert answers[1].answer_class is AnswerClass.NO_ANSWER


def test_an_answer_to_nothing_is_ignored(agent: Callable[[str], ProbeSession]) -> None:
    """A number that was not asked, or one from the end of the list, is nobody's answer."""
    probe = agent("n = asked()['id']; answer(n + 99); answer(-1); answer(n, 'first')\n")

    assert probe.ask(requests(1), SOON) == [Answer(403, "first")]


def test_an_agent_that_closes_its_output_does_not_hold_up_the_run(
    agent: Callable[[str], ProbeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline holds for an agent that can say nothing more but does not end."""
    monkeypatch.setattr(session, "STOP_DEADLINE", 0.2)
    probe = agent("os.close(1)\nsignal.alarm(10)\nsignal.pause()\n")
    began = time.monotonic()

    (answer,) = probe.ask(requests(1), 0.5)

    assert time.monotonic() - began < 5.0
    assert answer.answer_class is AnswerClass.NO_ANSWER


def test_an_agent_that_ignores_the_end_of_its_input_is_ended(
    agent: Callable[[str], ProbeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By force, after a moment."""
    monkeypatch.setattr(session, "STOP_DEADLINE", 0.2)
    probe = agent("signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()\n")

    probe.close()

    assert probe._process.returncode == -9


def test_a_session_may_be_closed_twice(agent: Callable[[str], ProbeSession]) -> None:
    """The end of a `with` block after an explicit end does nothing."""
    with agent("input()\n") as probe:
        probe.close()

    assert probe._process.poll() is not None
