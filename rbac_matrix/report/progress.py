"""What a run shows while it works: one line that changes, where there is a terminal.

The line is there only while a piece of work is done, and erased before anybody else writes.
"""

from __future__ import annotations

import collections
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from rbac_matrix.progress import Stage
from rbac_matrix.report.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SPINNER: Final = "line"
"""Of `-`, `\\`, `|` and `/`, which every terminal has."""
REFRESH: Final = 8  # times a second


def terminal(file: TextIO, width: int, *, colour: bool) -> Console:
    """A way of its own to the terminal that a file is, which outlasts any capturing of output.

    Args:
        file: What writes to a terminal now; not afterwards, should output be captured.
        width: Its columns.
        colour: Whether colours are wanted.
    """
    # Closed by its owner together with the console.
    own = os.fdopen(os.dup(file.fileno()), "w", encoding=file.encoding, errors="replace")
    return Console(
        file=own,
        width=width,
        force_terminal=True,
        color_system="standard" if colour else None,
        legacy_windows=False,
        _environ={},  # What it says has been decided already.
    )


class LiveLine:
    """Measures the stages of a run, and shows where it is.

    A piece of work within another one belongs to that one.
    """

    def __init__(
        self,
        screen: Console | None,
        start_of_line: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            screen: A terminal that can move its cursor; None where there is none.
            start_of_line: Ends the line that somebody else has begun.
            clock: Seconds.
        """
        self._screen, self._start_of_line, self._clock = screen, start_of_line, clock
        self._lock = threading.Lock()
        self._spinner = Spinner(SPINNER)
        self._live: Live | None = None
        self._times: dict[Stage, float] = collections.defaultdict(float)
        self._stage: Stage | None = None
        self._what = ""
        self._since = self._began = 0.0
        self._expected = self._answers = 0
        self._all_answers = 0

    @property
    def times(self) -> Mapping[Stage, float]:
        """Seconds that each stage took, over all pieces of work."""
        with self._lock:
            return {stage: self._times[stage] for stage in Stage if stage in self._times}

    @property
    def answers(self) -> int:
        """How many answers have come, over all pieces of work."""
        return self._all_answers

    @contextmanager
    def during(self, stage: Stage, what: str = "") -> Iterator[None]:
        """See `Progress`."""
        if self._stage is not None:
            yield
            return
        with self._lock:
            self._what = what
            self._expected = self._answers = 0
            self._stage, self._since = stage, self._clock()
            self._began = self._since
        self._show()
        try:
            yield
        finally:
            self._erase()
            self._change(None)

    def begin(self, stage: Stage) -> None:
        """See `Progress`."""
        if self._stage is not None:
            self._change(stage)

    def expect(self, answers: int) -> None:
        """See `Progress`."""
        with self._lock:
            self._expected += answers

    def answered(self) -> None:
        """See `Progress`."""
        with self._lock:
            self._answers += 1
            self._all_answers += 1

    @contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Somebody else may write to the terminal within."""
        shown = self._live is not None
        self._erase()
        try:
            yield
        finally:
            if shown:
                self._show()

    def text(self) -> str:
        """Where the work is: `job-robot: ask, 2,310 of 5,626 answers, 640/s, 3 s`."""
        with self._lock:
            now = self._clock()
            parts = [str(self._stage or "")]
            if self._stage is Stage.ASK and self._expected:
                parts.append(f"{self._answers:,} of {self._expected:,} answers")
                if now > self._since:
                    parts.append(f"{self._answers / (now - self._since):,.0f}/s")
            parts.append(f"{now - self._began:.0f} s")
            what = f"{harmless(self._what)}: " if self._what else ""
            return what + ", ".join(parts)

    def _change(self, stage: Stage | None) -> None:
        with self._lock:
            now = self._clock()
            if self._stage is not None:
                self._times[self._stage] += now - self._since
            self._stage, self._since = stage, now

    def _show(self) -> None:
        if self._screen is None:
            return
        self._start_of_line()
        self._live = Live(
            console=self._screen,
            get_renderable=self._line,
            refresh_per_second=REFRESH,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def _erase(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _line(self) -> Text:
        turning = cast("Text", self._spinner.render(self._clock()))
        # Cropped, because a line that wraps could not be erased; an ellipsis is not ASCII.
        parts = (turning, " ", (self.text(), "cyan"))
        return Text.assemble(*parts, no_wrap=True, overflow="crop")
