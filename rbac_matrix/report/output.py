"""What pytest prints and writes of a run: its progress, its end, and what a workflow reads."""

from __future__ import annotations

import functools
import os
import shutil
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.report.harmless import harmless, speaks_unicode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rbac_matrix.report.drift import Drift
    from rbac_matrix.report.progress import LiveLine
    from rbac_matrix.report.repository import Repository
    from rbac_matrix.report.run_report import RunReport
    from rbac_matrix.report.screen import Screen
    from rbac_matrix.since import Comparison

LOG_WIDTH: Final = 120
"""Columns of what is not a terminal and says nothing in COLUMNS: pages of CI logs are wide."""

_LIVE_LINE: Final = pytest.StashKey["LiveLine"]()


def add_output_options(group: pytest.OptionGroup) -> None:
    """The options of what is shown; what the environment says is their default."""
    group.addoption(
        "--progress",
        choices=("live", "lines"),
        default="lines" if os.environ.get("TERM", "dumb") == "dumb" else "live",
        help="how a terminal shows progress: in one line that changes, or a line at a time "
        "(default: live, unless the terminal is dumb)",
    )
    group.addoption(
        "--symbols",
        choices=("unicode", "ascii"),
        default="unicode" if speaks_unicode(os.environ) else "ascii",
        help="what the grids at the end are drawn with (default: by the locale)",
    )
    group.addoption(
        "--step-summary",
        default=os.environ.get("GITHUB_STEP_SUMMARY", ""),
        metavar="FILE",
        help="append a summary in Markdown to FILE (default: what the environment variable "
        "GITHUB_STEP_SUMMARY names, if anything)",
    )
    group.addoption(
        "--annotations",
        choices=("github", "none"),
        default="github" if os.environ.get("GITHUB_ACTIONS") == "true" else "none",
        help="print commands that make GitHub show failures beside the lines of the files "
        "(default: github where the environment variable GITHUB_ACTIONS is true)",
    )
    group.addoption(
        "--repository",
        default=os.environ.get("GITHUB_WORKSPACE", ""),
        metavar="DIR",
        help="the folder that annotations name files from (default: what the environment variable "
        "GITHUB_WORKSPACE names, else pytest's root folder)",
    )
    server, name = (os.environ.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY"))
    group.addoption(
        "--repository-url",
        default=f"{server}/{name}" if server and name else "",
        metavar="URL",
        help="the repository's page on GitHub, so that summaries lead to the lines of files "
        "(default: what the environment variables GITHUB_SERVER_URL and GITHUB_REPOSITORY name)",
    )


def uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """What is written within goes to the terminal."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    return capture.global_and_fixture_disabled() if capture else nullcontext()


def printer(config: pytest.Config) -> Callable[[str], None]:
    """Prints one line of progress, captured output or not."""

    def say(line: str) -> None:
        if config.pluginmanager.hasplugin("terminalreporter"):
            with live_line(config).out_of_the_way(), uncaptured(config):
                _start_line(config)
                config.get_terminal_writer().line(line)

    return say


def live_line(config: pytest.Config) -> LiveLine:
    """The one line of progress of this run; it shows nothing where no terminal can change it."""
    if _LIVE_LINE not in config.stash:
        from rbac_matrix.report.progress import LiveLine, terminal  # noqa: PLC0415 - rich is slow

        screen = None
        if config.pluginmanager.hasplugin("terminalreporter"):
            writer = config.get_terminal_writer()
            file = writer._file  # noqa: SLF001 - no public way
            # With -s anybody may write at any time, so no line can be taken back.
            wanted = config.getoption("progress") == "live" and config.getoption("capture") != "no"
            with uncaptured(config):  # else it is not the terminal
                if wanted and file.isatty():
                    screen = terminal(file, writer.fullwidth, colour=writer.hasmarkup)
                    config.add_cleanup(screen.file.close)
        config.stash[_LIVE_LINE] = LiveLine(screen, functools.partial(_start_line, config))
    return config.stash[_LIVE_LINE]


def show(report: RunReport, config: pytest.Config, *, grids: bool) -> None:
    """Say what is not as declared, draw the grids if they are wanted, and count the cells.

    Only where something is wrong or a grid is wanted does this take any time.
    """
    from rbac_matrix.report.terminal import time_line  # noqa: PLC0415 - only here

    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    lines = [f"{report.where}, {report.counted}", *([time_line(report)] if report.times else [])]
    wrong = report.causes
    if wrong or grids:
        from rbac_matrix.report.screen import (  # noqa: PLC0415 - rich is slow
            failure_lines,
            grid_lines,
            sentence_lines,
        )

        screen = _screen(config)
        if wrong:
            reporter.section("access that is not as declared", red=True, bold=True)
        drawn = grid_lines(report.grids, screen) if grids or wrong else []
        drawn = ["", *drawn, ""] if drawn and config.get_verbosity() >= 0 else []
        lines = [*failure_lines(wrong, screen), *drawn, *sentence_lines(lines, screen)]
    for line in lines:
        reporter.line(line)


def show_changes(comparison: Comparison, config: pytest.Config) -> None:
    """Say on a terminal what changed since a revision."""
    from rbac_matrix.report.drift import counted  # noqa: PLC0415 - only here
    from rbac_matrix.report.screen import change_lines, sentence_lines  # noqa: PLC0415 - the same

    screen = _screen(config)
    changed = counted(comparison.differences)
    notes = [f"not compared: {note}" for note in comparison.notes]
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    reporter.section(f"access since {harmless(comparison.base)}: {changed}", bold=True)
    lines = [*change_lines(comparison.differences, screen), *sentence_lines(notes, screen)]
    for line in lines:
        reporter.line(line)


def annotate(
    reports: Iterable[RunReport],
    config: pytest.Config,
    drifts: Iterable[Drift] = (),
    comparison: Comparison | None = None,
) -> None:
    """Have GitHub show beside its line what is wrong, or changed, where that is wanted."""
    if config.getoption("annotations") != "github":
        return
    from rbac_matrix.report.annotations import (  # noqa: PLC0415 - only here
        change_commands,
        error_commands,
    )

    repository = repository_of(config)
    causes = [cause for report in reports for cause in report.causes]
    lines = error_commands(causes, drifts, repository)
    lines += change_commands(comparison, repository) if comparison else []
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    for line in lines:
        reporter.line(line)


def repository_of(config: pytest.Config) -> Repository:
    """The repository that files are named from, and where its lines can be looked at."""
    from rbac_matrix.report.repository import Repository  # noqa: PLC0415 - only here
    from rbac_matrix.revision import RevisionError, commit_of  # noqa: PLC0415 - only here

    folder = Path(config.getoption("repository") or config.rootpath).absolute()
    address, commit = config.getoption("repository_url").rstrip("/"), ""
    if address:
        with suppress(RevisionError):  # A page without links says as much.
            commit = commit_of("HEAD", folder)
    return Repository(folder, address, commit)


def write_summaries(
    reports: Iterable[RunReport],
    config: pytest.Config,
    drifts: Sequence[Drift] = (),
    comparison: Comparison | None = None,
) -> None:
    """The Markdown for the report folder, and for the step of a workflow, where it is wanted.

    What changed comes first: it is what a pull request is read for.
    """
    folder, step = config.getoption("report_dir"), config.getoption("step_summary")
    found = [*reports] if folder or step else []
    if not found:
        return
    from rbac_matrix.report.markdown import (  # noqa: PLC0415 - only here
        FILE,
        append_summary,
        summary_of,
        write_summary,
    )

    repository = repository_of(config)
    parts: list[Callable[[int], str]] = []
    if drifts or comparison:
        from rbac_matrix.report.changes import drift_summary, since_summary  # noqa: PLC0415 - same

        parts.append(functools.partial(drift_summary, drifts, repository=repository))
        if comparison:
            parts.append(functools.partial(since_summary, comparison, repository=repository))
    parts += [functools.partial(summary_of, each, repository=repository) for each in found]
    if folder:
        write_summary(Path(folder) / FILE, parts)
    if step:
        try:
            append_summary(Path(step), parts)
        except OSError as error:  # The verdicts stand, whether or not they can be told here.
            said = f"the summary cannot be appended to {step} (--step-summary): {error}"
            printer(config)(said)


def _start_line(config: pytest.Config) -> None:
    """End the line that pytest has begun; it goes on with dots, or with the test's name again."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    writer = config.get_terminal_writer()
    with uncaptured(config):
        if reporter.showlongtestinfo:
            reporter.ensure_newline()
        elif writer.width_of_current_line:
            writer.line()
        writer.flush()


def _screen(config: pytest.Config) -> Screen:
    """What the end of the run is shown on."""
    from rbac_matrix.report.screen import Screen, can_show_symbols  # noqa: PLC0415 - rich is slow

    writer = config.get_terminal_writer()
    file = writer._file  # noqa: SLF001 - no public way
    return Screen(
        width=shutil.get_terminal_size((LOG_WIDTH, 0)).columns,
        wraps=file.isatty(),
        unicode=config.getoption("symbols") == "unicode" and can_show_symbols(file.encoding),
        colour=writer.hasmarkup,
    )
