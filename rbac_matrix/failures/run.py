"""What one pytest run does about failures, as its options say."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.report.output import live_line, printer

if TYPE_CHECKING:
    from rbac_matrix.failures.watch import Watch

OPTION: Final = "--pause-on-failure"
_BEGAN: Final = pytest.StashKey[float]()
_WATCH: Final = pytest.StashKey["Watch"]()


def begin(config: pytest.Config) -> None:
    """Note when the run began: what was logged before is not of this run."""
    config.stash[_BEGAN] = time.time()


def started(config: pytest.Config) -> bool:
    """Whether this run has come to what can fail on a cluster."""
    return _WATCH in config.stash


def watch(config: pytest.Config) -> Watch:
    """What this run does about failures."""
    if _WATCH not in config.stash:
        from rbac_matrix.failures.folder import FailureFolder  # noqa: PLC0415 - with a cluster only
        from rbac_matrix.failures.watch import Watch  # noqa: PLC0415 - the same

        report = config.getoption("report_dir")

        def wait(text: str) -> None:
            _wait_for_enter(config, text)

        config.stash[_WATCH] = Watch(
            FailureFolder(Path(report)) if report else None,
            wait if config.getoption("pause_on_failure") else None,
            printer(config),
            config.stash[_BEGAN],
        )
    return config.stash[_WATCH]


def wants_audit(config: pytest.Config) -> bool:
    """Whether somebody may look at an audit log, which costs the API server a little."""
    return bool(config.getoption("report_dir") or config.getoption("pause_on_failure"))


def is_interactive(config: pytest.Config) -> bool:
    """Whether standard input is a terminal, which pytest's capturing hides.

    To be asked while the run is configured: capturing is suspended then, but for standard input,
    and goes on with the first test.
    """
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    return os.isatty(0)


def _wait_for_enter(config: pytest.Config, text: str) -> None:
    """Show a text and wait for Enter; Ctrl-C ends the run as it does anywhere else."""
    printer(config)(f"\n{text}\n\nEnter goes on with the run, Ctrl-C ends it.")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    with live_line(config).out_of_the_way():
        if capture is not None:
            capture.suspend(in_=True)
        try:
            # Not input(): what it does for editing a line would reach into the terminal.
            while os.read(0, 1) not in (b"\n", b""):
                continue
        finally:
            if capture is not None:
                capture.resume()
