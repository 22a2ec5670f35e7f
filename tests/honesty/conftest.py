"""Whole runs of the gate in processes of their own, to interrupt and to damage."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.deadline import poll
from rbac_matrix.objects import SELECTOR
from rbac_matrix.programs.find import find_control_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rbac_matrix.admin import Admin

MOMENT_DEADLINE: Final = 60.0  # seconds until a run has come to a line of its output
END_DEADLINE: Final = 60.0  # seconds until a run has ended
GONE_DEADLINE: Final = 15.0  # seconds until the processes of a run that has ended are gone
PROCESSES: Final = Path("/proc")
REPOSITORY: Final = Path(__file__).parents[2]
SHOWN_LINES: Final = 30


class Run:
    """One `pytest tests/access` with a temporary folder of its own, so that leftovers show."""

    def __init__(
        self,
        root: Path,
        temporary: Path,
        environment: Mapping[str, str],
        options: Sequence[str],
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start it; its output is read from now on."""
        self.temporary = temporary
        command = [sys.executable, "-m", "pytest", "tests/access", "-q", "-p", "no:cacheprovider"]
        with _ctrl_c_is_heard():
            self._process = subprocess.Popen(
                [*command, *options],
                cwd=root,
                env={**environment, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Its own group, as a shell gives each of its jobs.
                start_new_session=True,
                text=True,
                encoding="utf-8",
            )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it has written as far as it was read here; all of it after `end`."""
        return "".join(self._seen)

    @property
    def tail(self) -> str:
        """The last lines of its output, for messages."""
        return "".join(self._seen[-SHOWN_LINES:])

    def wait_for(self, text: str, seconds: float = MOMENT_DEADLINE) -> None:
        """Read on until a line has `text`."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line with {text!r} in {seconds:.0f} s:\n{self.tail}")
            if line is None:
                pytest.fail(f"the run ended without a line with {text!r}:\n{self.tail}")
            self._seen.append(line)
            if text in line:
                return

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to the run and whatever is in its process group."""
        self.send_to_group(signal.SIGINT)

    def send_to_group(self, number: signal.Signals) -> None:
        """A signal to the run and what it started without a group of its own."""
        os.killpg(self._process.pid, number)

    def send(self, number: signal.Signals) -> None:
        """A signal to the run alone, as a CI system or the kernel sends it."""
        self._process.send_signal(number)

    def end(self, seconds: float = END_DEADLINE) -> int:
        """Wait until it has ended by itself; its exit code, negative for a signal."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"it still ran after {seconds:.0f} s:\n{self.tail}")
        self._read_the_rest()
        return code

    def kill(self) -> None:
        """End it by force, and what it has left behind."""
        self._process.kill()
        self._process.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._read_the_rest()
        self._process.stdout.close()

    def processes(self) -> dict[int, str]:
        """The command lines of the programs that it started, in any process group, by pid.

        They are told by the temporary folder, which their command line or environment names.
        """
        mark = os.fsencode(self.temporary)
        found = {}
        for folder in PROCESSES.glob("[0-9]*"):
            if folder.name == str(self._process.pid):
                continue
            try:
                command = (folder / "cmdline").read_bytes()
                started = command + (folder / "environ").read_bytes()
            except OSError:  # It has ended, or is another user's.
                continue
            if command and mark in started:
                found[int(folder.name)] = os.fsdecode(command).replace("\0", " ").strip()
        return found

    def lines_of(self, program: str) -> str:
        """The command lines of its programs that contain a text, a line each."""
        return "\n".join(line for line in self.processes().values() if program in line)

    def missing(self, text: str) -> str:
        """That none of its programs has this text in its command line, for a poll."""
        return "" if self.lines_of(text) else f"no program of the run is called with {text!r}"

    def process(self, text: str) -> int:
        """The pid of the one program of this run whose command line contains a text."""
        found = [pid for pid, line in self.processes().items() if text in line]

        assert len(found) == 1, f"{text!r}: {found} of {self.processes()}"

        return found[0]

    def hold_probe(self, service_account: str) -> int:
        """Stop a probe before it is asked, and wait until it is: the run is asking from then on.

        Returns:
            The pid of its agent, which answers after SIGCONT.
        """
        agent = self.process(f"/{service_account}/token")
        os.kill(agent, signal.SIGSTOP)

        def missing() -> str:
            return "" if _unread_input(agent) else "it has not been asked anything"

        poll(f"waiting for a question to agent {agent}", missing, MOMENT_DEADLINE)
        return agent

    def wait_until_gone(self) -> None:
        """Wait until none of its programs runs."""
        poll(
            "waiting for the programs of an ended run",
            lambda: self.lines_of(""),
            GONE_DEADLINE,
        )

    def left(self) -> list[str]:
        """What is in its temporary folder."""
        return sorted(entry.name for entry in self.temporary.iterdir())

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _read_the_rest(self) -> None:
        # Whoever inherited the output may hold it open longer than the run itself lives.
        self._reader.join(GONE_DEADLINE)
        while not self._lines.empty():
            self._seen.append(self._lines.get() or "")


@pytest.fixture(scope="session")
def changed_copy(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, str, Mapping[str, tuple[str, str]]], Path]:
    """Copy a scenario under a name, with changed manifests; gives the copy's expectations file.

    The changes are text and what replaces it, by file; text for a new file where there is nothing
    to replace.
    """

    def copied(name: str, scenario: str, edits: Mapping[str, tuple[str, str]]) -> Path:
        folder = tmp_path_factory.mktemp("changed")
        manifests = folder / "manifests" / name
        shutil.copytree(REPOSITORY / "manifests" / scenario, manifests)
        for file, (before, after) in edits.items():
            text = (manifests / file).read_text() if before else ""

            assert text.count(before) == 1, f"{file} has changed: mend {name}"

            (manifests / file).write_text(text.replace(before, after))
        access = REPOSITORY / "tests" / "access"
        text = (access / f"{scenario}.yaml").read_text()
        text = text.replace(f"scenario: {scenario}", f"scenario: {name}")
        copy = folder / f"{name}.yaml"
        copy.write_text(text.replace(f"../../manifests/{scenario}", f"manifests/{name}"))
        (folder / "accepted").mkdir()
        shutil.copy(access / "accepted" / f"{scenario}.txt", folder / "accepted" / f"{name}.txt")
        return copy

    return copied


@pytest.fixture(scope="session")
def control_plane_programs(pytestconfig: pytest.Config) -> None:
    """Have the programs of the embedded control plane in the cache, before deadlines count."""
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    find_control_plane(os.environ, say=reporter.write_line)


@pytest.fixture
def start_run(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Run]]:
    """Start a run with options; `temporary` gives it an earlier run's folder.

    `environment` replaces or, where the value is None, takes away variables; `stdin` is a file
    descriptor for its standard input.
    """
    runs: list[Run] = []

    def start(
        *options: str,
        temporary: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Run:
        # A run that is broken on purpose is no news for the workflow that this one is part of.
        own = dict.fromkeys(("PYTEST_ADDOPTS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"))
        changes = {**own, **(environment or {})}
        variables = {**os.environ, **changes}
        run = Run(
            pytestconfig.rootpath,
            # Not tmp_path, whose length would leave no room for the name of a socket.
            temporary or tmp_path_factory.mktemp("run"),
            {name: value for name, value in variables.items() if value is not None},
            options,
            stdin,
        )
        runs.append(run)
        return run

    yield start
    for run in runs:
        run.kill()


@pytest.fixture
def labelled(admin: Admin) -> Callable[[], list[str]]:
    """List the objects on the cluster that carry the label of what this suite creates."""

    def listed() -> list[str]:
        found = []
        for resource in admin.discovery().served.values():
            name = resource.name
            if name.subresource or "list" not in resource.verbs:
                continue
            path = f"{resource.root}/{name.plural}"
            status, body = admin.try_request("GET", path, query={"labelSelector": SELECTOR})
            for item in body.get("items") or () if status == 200 else ():
                namespace = item["metadata"].get("namespace", "")
                found.append(f"{name} {namespace}/{item['metadata']['name']}")
        return found

    return listed


@contextlib.contextmanager
def _ctrl_c_is_heard() -> Iterator[None]:
    """A signal that is ignored here is ignored in a child; a script's background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _unread_input(pid: int) -> int:
    """How many bytes wait in the pipe that is a process's standard input."""
    waiting = bytearray(4)
    with (PROCESSES / str(pid) / "fd" / "0").open("rb", buffering=0) as pipe:
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return int.from_bytes(waiting, sys.byteorder)
