"""Local processes that are watched while they run and never outlive this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LINES_OF_LOG_SHOWN = 20
POLL_SECONDS = 0.05

# Run between fork and exec: the kernel is told to kill the process when its parent dies, however
# that happens. The parent may have died before the kernel was told, hence the second look.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG) was refused")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ProcessDiedError(RbacMatrixError):
    """A process ended that had to keep running.

    Attributes:
        log_tail: The last lines that it wrote.
    """

    def __init__(self, name: str, code: int, log_tail: str) -> None:
        """Say who died, how, and what it wrote last.

        Args:
            name: The program.
            code: As `subprocess` has it; negative for a signal.
            log_tail: The last lines of its log.
        """
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        shown = log_tail or "  (nothing)"
        super().__init__(f"{name} {how}. The last lines of its log:\n{shown}")
        self.log_tail = log_tail


@dataclass(frozen=True)
class Process:
    """A running program and the file it writes to."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raise if the process is not running any more.

        Raises:
            ProcessDiedError: With its exit code and the last lines of its log.
        """
        code = self.popen.poll()
        if code is not None:
            raise ProcessDiedError(self.name, code, log_tail(self.log))

    def command_line(self) -> tuple[str, ...]:
        """What it runs with, as its system tells it: the program and its arguments."""
        told = Path(f"/proc/{self.popen.pid}/cmdline")
        if told.exists():
            return tuple(os.fsdecode(told.read_bytes()).split("\0")[:-1])
        # Where there is no /proc, nothing was started in between.
        return tuple(cast("list[str]", self.popen.args))


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str],
) -> Process:
    """Start a program in its own session, so that Ctrl-C at the terminal reaches only this process.

    On Linux the program is killed when this process dies, and also when the thread that calls
    this ends: call it from a thread that outlives the program. On other systems a killed run
    leaves its processes behind.

    Args:
        name: What messages call it.
        command: Absolute path of the program and its arguments; no secrets, everybody sees them.
        log: File that takes both its output streams.
        folder: Its working folder.
        environment: All of its environment variables.

    Returns:
        The process; `check` tells whether it still runs.
    """
    shim: tuple[str, ...] = ()
    if sys.platform == "linux":
        shim = (sys.executable, "-I", "-c", _DIE_WITH_PARENT, str(os.getpid()))
    with log.open("ab") as stream:
        popen = subprocess.Popen(
            [*shim, *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(name, log, popen)


def end_all(processes: Iterable[Process], *, patience: float) -> None:
    """End processes and what they started: ask, wait, kill.

    Args:
        processes: In any state; those that have ended are left alone.
        patience: Seconds that they get, together, between being asked and being killed.
    """
    waiting = [process for process in processes if process.popen.poll() is None]
    try:
        for process in waiting:
            _signal_group(process, signal.SIGTERM)
        until = time.monotonic() + patience
        while time.monotonic() < until and any(p.popen.poll() is None for p in waiting):
            time.sleep(POLL_SECONDS)
    finally:  # a second Ctrl-C while waiting kills at once
        for process in waiting:
            if process.popen.poll() is None:
                _signal_group(process, signal.SIGKILL)
        for process in waiting:
            process.popen.wait()


def log_tail(log: Path) -> str:
    """The last lines of a log file, indented."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-LINES_OF_LOG_SHOWN:])


def _signal_group(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.popen.pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
