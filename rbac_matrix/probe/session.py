"""Talks to one agent over its standard input and output, wherever it runs.

The agent is a child process here: the program itself, or `kubectl exec` into a probe pod. Both end
when their input ends, so an agent never outlives the run that started it.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from rbac_matrix.answer import Answer, answer_from_http
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.probe.agent import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from rbac_matrix.requests import Request

START_DEADLINE: Final = 30.0  # seconds until the agent says that it is there
STOP_DEADLINE: Final = 3.0  # seconds until it ends after its input has ended
_KEPT_LINES: Final = 10


class ProbeError(RbacMatrixError):
    """The agent could not be started or does not speak this version's protocol."""


class ProbeSession:
    """One agent that answers as one identity. Not for use by several threads at once.

    Attributes:
        answered: Called for each answer when it comes.
    """

    def __init__(self, command: Sequence[str], identity: str) -> None:
        """Start the agent and wait until it says that it is there.

        Args:
            command: What runs it; holds no secret, because command lines are public.
            identity: Whom it asks as, for messages.

        Raises:
            ProbeError: It did not start, or is of another version.
        """
        self._identity = identity
        self.answered: Callable[[], None] = lambda: None
        self._asked = 0
        self._owes_answers = False
        # Its own session: Ctrl-C at the terminal reaches the run, which then ends its agents.
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            raise ProbeError(f"the probe of {identity} cannot be started: {error}") from error
        self._errors: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._threads = [self._start(self._read_errors), self._start(self._read_lines)]
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the agent."""
        self.close()

    @property
    def process_id(self) -> int:
        """Of the child process here."""
        return self._process.pid

    @property
    def errors(self) -> tuple[str, ...]:
        """The last lines that the agent wrote as errors, or `kubectl exec` about it."""
        return tuple(self._errors)

    def ask(self, requests: Sequence[Request], deadline: float) -> list[Answer]:
        """Send requests and collect their answers.

        Args:
            requests: What to send; the agent sends several at a time.
            deadline: Seconds for all of them together.

        Returns:
            An answer for each request, in their order. A request that was not answered, because
            the agent ended or the time was up, has an `Answer` without a status that says so.
        """
        # Numbers go on over the life of a session: a late answer belongs to no later question.
        numbers = range(self._asked, self._asked + len(requests))
        self._asked = numbers.stop
        asked = dict(zip(numbers, requests, strict=True))
        answers: dict[int, Answer] = {}
        ends = time.monotonic() + deadline
        self._owes_answers = True
        sender = self._start(lambda: self._send(asked))
        failure = ""
        while len(answers) < len(asked) and not failure:
            try:
                line = self._lines.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                failure = f"no answer within {deadline:.0f} s"
                self._process.kill()
            else:
                if line is None:
                    failure = self._why_it_ended()
                else:
                    came = _read(line, asked)
                    answers |= came
                    if came:
                        self.answered()
        sender.join()
        self._owes_answers = False
        return [answers.get(number, Answer(None, failure)) for number in numbers]

    def close(self) -> None:
        """End the agent: its input first, then by force; at once where it owes answers."""
        if self._owes_answers:
            # Interrupted: its input cannot be closed while another thread still writes to it.
            self._process.kill()
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # It may be gone already.
                self._process.stdin.close()
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()

    def _greet(self) -> None:
        try:
            line = self._lines.get(timeout=START_DEADLINE)
        except queue.Empty:
            raise ProbeError(
                f"the probe of {self._identity} did not start within {START_DEADLINE:.0f} s"
            ) from None
        if line is None:
            raise ProbeError(f"the probe of {self._identity} did not start: {self._why_it_ended()}")
        if _json(line) != {"agent": PROTOCOL}:
            raise ProbeError(
                f"the probe of {self._identity} is of another version ({line.strip()[:80]}); "
                "build the probe image again"
            )

    def _send(self, asked: Mapping[int, Request]) -> None:
        stream = self._process.stdin
        if stream is None:
            return
        try:
            for number, request in asked.items():
                stream.write(
                    json.dumps(
                        {
                            "id": number,
                            "method": request.method,
                            "path": request.path,
                            "body": request.body,
                            "content_type": request.content_type,
                            "reads_body": request.reads_body,
                            "headers": request.headers,
                        }
                    )
                    + "\n"
                )
            stream.flush()
        except (BrokenPipeError, ValueError):
            pass  # The agent ended; the reading side says so.

    def _read_lines(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in self._process.stderr or ():
            self._errors.append(line.rstrip())

    def _why_it_ended(self) -> str:
        try:
            code = self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._lines.put(None)  # For a later question.
        self._threads[0].join()
        said = "; ".join(self._errors)
        return f"the probe ended with code {code}" + (f": {said}" if said else "")

    @staticmethod
    def _start(work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


def _read(line: str, asked: Mapping[int, Request]) -> dict[int, Answer]:
    """The answer in a line, by its number; none where the line answers nothing that was asked."""
    answer = _json(line)
    number = answer.get("id")
    if not isinstance(number, int) or number not in asked:
        return {}
    if "error" in answer:
        return {number: Answer(None, str(answer["error"]))}
    reads_body = asked[number].reads_body
    return {
        number: answer_from_http(int(answer["status"]), str(answer["body"]), reads_body=reads_body)
    }


def _json(line: str) -> dict[str, Any]:
    """The object in a line; an empty one where the line is anything else."""
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
