"""The line that shows where a run is: what it says, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from rich.console import Console

from rbac_matrix.progress import Stage, Unwatched
from rbac_matrix.report.progress import LiveLine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = "pytester"

WIDTH: Final = 60


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Watched:
    """A live line on a terminal that is kept as text."""

    line: LiveLine
    clock: Clock
    written: io.StringIO
    lines_begun: list[str]


@pytest.fixture
def watched() -> Watched:
    """A live line on a terminal of 60 columns, and its clock."""
    written, clock, begun = io.StringIO(), Clock(), []
    screen = Console(file=written, width=WIDTH, height=20, force_terminal=True, _environ={})
    line = LiveLine(screen, lambda: begun.append("newline"), clock)
    return Watched(line, clock, written, begun)


def seen(written: str) -> list[str]:
    """What a terminal shows after all of a text: a tiny one, that knows what a live line uses."""
    rows, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if part == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            rows[row] = ""
        elif found := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(found[1])
        elif not part.startswith("\x1b"):
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return [text.rstrip() for text in rows]


def test_the_line_says_where_the_work_is(watched: Watched) -> None:
    """The scenario, its stage, how many answers have come of how many, how fast, and since when."""
    line, clock = watched.line, watched.clock
    with line.during(Stage.APPLY, "job-robot"):
        assert line.text() == "job-robot: apply, 0 s"

        clock.now += 1
        line.begin(Stage.ASK)
        line.expect(5603)
        assert line.text() == "job-robot: ask, 0 of 5,603 answers, 1 s"

        clock.now += 2
        for _ in range(1280):
            line.answered()
        assert line.text() == "job-robot: ask, 1,280 of 5,603 answers, 640/s, 3 s"

        line.begin(Stage.JUDGE)
        assert line.text() == "job-robot: judge, 3 s"


def test_nothing_stays_of_it(watched: Watched) -> None:
    """It begins on a line of its own, and that line is empty when the work is done."""
    watched.written.write("tests/access/test_access.py \n")
    with watched.line.during(Stage.CLUSTER):
        shown = seen(watched.written.getvalue())
    watched.written.write("....")

    assert watched.lines_begun == ["newline"]
    assert re.fullmatch(r"[-\\|/] cluster start, 0 s", shown[1])
    assert seen(watched.written.getvalue()) == ["tests/access/test_access.py", "....", ""]


def test_others_can_write_meanwhile(watched: Watched) -> None:
    """It is away while they do, and comes back below."""
    with watched.line.during(Stage.CLUSTER):
        with watched.line.out_of_the_way():
            watched.written.write("Kubernetes is ready\n")
        shown = seen(watched.written.getvalue())

    assert shown[0] == "Kubernetes is ready"
    assert "cluster start" in shown[1]
    assert seen(watched.written.getvalue())[:2] == ["Kubernetes is ready", ""]


def test_it_is_erased_when_the_work_fails(watched: Watched) -> None:
    """An interrupt too ends it, and shows the cursor again."""
    with contextlib.suppress(KeyboardInterrupt), watched.line.during(Stage.CLUSTER):
        raise KeyboardInterrupt

    assert "".join(seen(watched.written.getvalue())) == ""
    assert watched.written.getvalue().rindex("\x1b[?25h") > watched.written.getvalue().index(
        "\x1b[?25l"
    )


def test_it_is_one_line_however_long_its_text(watched: Watched) -> None:
    """A second one could not be erased; nor can a name bring one in, or orders for a terminal."""
    name = "a scenario\nof a name \x1b[31m that is [bold]longer[/bold] than the terminal is wide"
    with watched.line.during(Stage.APPLY, name):
        shown = seen(watched.written.getvalue())

    assert len(shown) == 1
    assert len(shown[0]) <= WIDTH
    assert "a scenario of a name \\x1b[31m that is [bold]longer" in shown[0]


def test_each_second_belongs_to_one_stage(watched: Watched) -> None:
    """Times add up over all pieces of work, and a piece within another is that one's."""
    line, clock = watched.line, watched.clock
    for _ in range(2):
        with line.during(Stage.APPLY, "job-robot"):
            clock.now += 1
            line.begin(Stage.ASK)
            clock.now += 2
            with line.during(Stage.CLUSTER):
                clock.now += 4
        clock.now += 8  # nobody's

    assert line.times == {Stage.APPLY: 2, Stage.ASK: 12}


def test_answers_outside_of_any_work_do_no_harm(watched: Watched) -> None:
    """A late answer may come when its scenario is over."""
    watched.line.begin(Stage.ASK)
    watched.line.answered()

    assert watched.line.times == {}
    assert watched.line.answers == 1


def test_nobody_has_to_watch() -> None:
    """The gate works the same without."""
    nobody = Unwatched()
    with nobody.during(Stage.ASK):
        nobody.begin(Stage.JUDGE)
        nobody.expect(1)
        nobody.answered()


CONFTEST: Final = """\
import pytest
from rbac_matrix.report import output
from rbac_matrix.progress import Stage

pytest_plugins = ["rbac_matrix.plugin"]

@pytest.fixture(scope="module")
def work(request):
    line = output.live_line(request.config)
    with line.during(Stage.CLUSTER):
        print("this is captured")
        output.printer(request.config)("a line that stays")
"""
TESTS: Final = "def test_a(): pass\ndef test_b(work): pass\ndef test_c(): pass\n"


def on_a_terminal(pytester: pytest.Pytester, *options: str, **environment: str) -> str:
    """What pytest writes to a terminal of 60 columns."""
    variables = {"TERM": "xterm", "COLUMNS": str(WIDTH), **environment}
    command = [sys.executable, "-m", "pytest", "-p", "pytest_kind.plugin", *options]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=pytester.path,
        env={**os.environ, **variables},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    written = b"".join(_read(ours)).decode()
    assert process.wait() == 0, written
    return written


def _read(terminal: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # How Linux says that nobody has the other end any more.
        while part := os.read(terminal, 1 << 16):
            yield part
    os.close(terminal)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Three tests, of which the second works for a while."""
    for name in ("NO_COLOR", "PY_COLORS", "FORCE_COLOR", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=TESTS)
    return pytester


SHOWN: Final = {
    "dots": ((), ["test_it.py .", "a line that stays", ".."]),
    "quiet": (("-q",), [".", "a line that stays", ".."]),
    "names": (
        ("-v",),
        [
            "test_it.py::test_a PASSED",
            "test_it.py::test_b",
            "a line that stays",
            "test_it.py::test_b PASSED",
            "test_it.py::test_c PASSED",
        ],
    ),
}


@pytest.mark.parametrize(("options", "lines"), SHOWN.values(), ids=SHOWN)
def test_pytests_own_progress_is_left_alone(
    project: pytest.Pytester, options: tuple[str, ...], lines: list[str]
) -> None:
    """On a terminal, dots and names stand where they would, and the live line was there."""
    written = on_a_terminal(project, *options)

    assert "cluster start" in written
    shown = [re.sub(r" *\[ *\d+%\]$", "", line) for line in seen(written)]
    start = shown.index(lines[0])
    assert [line for line in shown[start:] if line][: len(lines)] == lines
    assert "cluster start" not in "\n".join(shown)


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        pytest.param(("--progress=lines",), {}, id="as-asked"),
        pytest.param((), {"TERM": "dumb"}, id="a-dumb-terminal"),
        pytest.param(("-s",), {}, id="where-tests-print-too"),
    ],
)
def test_plain_lines_are_enough(
    project: pytest.Pytester, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    """Then no cursor is moved."""
    written = on_a_terminal(project, *options, **environment)

    assert "a line that stays" in written
    assert "cluster start" not in written
    assert not re.search(r"\x1b\[[^m]*[A-Za-ln-z]", written)


def test_what_is_no_terminal_gets_plain_lines(project: pytest.Pytester) -> None:
    """A log has no cursor."""
    result = project.runpytest_subprocess("-p", "pytest_kind.plugin")

    result.stdout.fnmatch_lines(["a line that stays"])
    assert "cluster start" not in result.stdout.str()


def test_a_terminal_without_colours_still_shows_progress(project: pytest.Pytester) -> None:
    """NO_COLOR is about colours alone."""
    written = on_a_terminal(project, NO_COLOR="1")

    assert "cluster start" in written
    assert not re.search(r"\x1b\[[0-9;]*m", written)
