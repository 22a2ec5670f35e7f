"""Processes that are watched, ended, and end with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rbac_matrix.clusters.process import Process, ProcessDiedError, end_all, start
from rbac_matrix.deadline import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 10.0
RUN = """
import sys, time
from pathlib import Path
from rbac_matrix.clusters.process import start

folder = Path(sys.argv[1])
sleep = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
process = start("sleeper", sleep, log=folder / "log", folder=folder, environment={})
print(process.popen.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(name="running")
def _running() -> Iterator[list[Process]]:
    """Processes of a test, which are killed at its end."""
    processes: list[Process] = []
    yield processes
    end_all(processes, patience=0)


def start_python(program: str, folder: Path, name: str = "program") -> Process:
    """Start a Python program with only PATH in its environment."""
    return start(
        name,
        [sys.executable, "-c", program],
        log=folder / f"{name}.log",
        folder=folder,
        environment={"PATH": os.defpath},
    )


def wait_for_line(process: Process, line: str) -> None:
    """Wait until a process has written a line."""

    def missing() -> str:
        return "" if line in process.log.read_text(encoding="utf-8") else "nothing written"

    poll(f"{process.name} writes {line}", missing, SECONDS)


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not ours is gone."""
    poll(f"process {pid} ends", lambda: "it lives" if is_alive(pid) else "", SECONDS)


def test_running_process_passes_its_check(running: list[Process], tmp_path: Path) -> None:
    """The check says nothing about a process that runs."""
    running.append(start_python("import time; time.sleep(60)", tmp_path))

    running[0].check()


def test_command_line_is_what_runs(running: list[Process], tmp_path: Path) -> None:
    """What a process was started with can be asked while it runs."""
    program = "import time; print('up', flush=True); time.sleep(60)"
    running.append(start_python(program, tmp_path))
    wait_for_line(running[0], "up")

    assert running[0].command_line() == (sys.executable, "-c", program)


def test_dead_process_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """The error has the name, the exit code and the last twenty lines, no more."""
    process = start_python(
        "import sys; [print('line', n, '.') for n in range(30)]; sys.exit(3)", tmp_path, "etcd"
    )
    process.popen.wait(SECONDS)

    with pytest.raises(ProcessDiedError, match="etcd ended with exit code 3") as error:
        process.check()

    assert "line 29 ." in str(error.value)
    assert "line 10 ." in str(error.value)
    assert "line 9 ." not in str(error.value)


def test_killed_process_is_reported_with_its_signal(tmp_path: Path) -> None:
    """A signal is named, which tells a crash from an out-of-memory kill."""
    process = start_python("import os; os.kill(os.getpid(), 9)", tmp_path)
    process.popen.wait(SECONDS)

    with pytest.raises(ProcessDiedError, match=r"was killed by SIGKILL.*\n  \(nothing\)"):
        process.check()


def test_program_that_cannot_run_is_reported(tmp_path: Path) -> None:
    """A file of another machine's format is a dead process with a reason, not a traceback here."""
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    process = start("etcd", [str(program)], log=tmp_path / "log", folder=tmp_path, environment={})
    process.popen.wait(SECONDS)

    with pytest.raises(ProcessDiedError, match="Exec format error"):
        process.check()


def test_polite_process_ends_when_asked(running: list[Process], tmp_path: Path) -> None:
    """SIGTERM is enough where a program listens to it, long before the patience ends."""
    running.append(start_python("print('up', flush=True); import time; time.sleep(60)", tmp_path))
    wait_for_line(running[0], "up")
    before = time.monotonic()

    end_all(running, patience=SECONDS)

    assert running[0].popen.returncode == -signal.SIGTERM
    assert time.monotonic() - before < SECONDS / 2


def test_stubborn_process_is_killed_with_its_children(
    running: list[Process], tmp_path: Path
) -> None:
    """What ignores SIGTERM is killed, and so is what it started."""
    running.append(
        start_python(
            "import signal, subprocess, sys\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
            'signal.signal(signal.SIGTERM, signal.SIG_IGN); print("up", flush=True); '
            "time.sleep(60)'])\n"
            "print('child', child.pid, flush=True)\n"
            "child.wait()",
            tmp_path,
        )
    )
    wait_for_line(running[0], "up")
    text = running[0].log.read_text(encoding="utf-8")
    child = int(text.split("child ")[1].split()[0])

    end_all(running, patience=0.2)

    assert running[0].popen.returncode == -signal.SIGKILL
    wait_for_end(child)


def test_ctrl_c_at_the_terminal_does_not_reach_it(running: list[Process], tmp_path: Path) -> None:
    """A process has its own session, so only this one gets the terminal's SIGINT."""
    running.append(start_python("import time; time.sleep(60)", tmp_path))

    assert os.getsid(running[0].popen.pid) == running[0].popen.pid


def test_environment_is_only_what_is_given(tmp_path: Path) -> None:
    """Variables such as ETCD_DATA_DIR of the caller's shell do not configure a program."""
    process = start_python("import os; print(sorted(os.environ))", tmp_path)
    process.popen.wait(SECONDS)

    variables = process.log.read_text(encoding="utf-8")
    assert "PATH" in variables
    assert "PYTEST" not in variables


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of that")
def test_killed_run_takes_its_processes_along(tmp_path: Path) -> None:
    """A run that is killed outright leaves no process behind."""
    run = subprocess.Popen(
        [
            sys.executable,
            "-c",
            RUN,
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    with run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        log = tmp_path / "log"
        poll(
            "the process runs",
            lambda: "" if "up" in log.read_text("utf-8") else "it starts",
            SECONDS,
        )
        assert is_alive(pid)
        run.kill()

    wait_for_end(pid)
