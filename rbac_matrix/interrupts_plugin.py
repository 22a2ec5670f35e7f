"""Ctrl-C and the SIGTERM of a cancelled job: whenever they come, a run cleans up behind itself."""

from __future__ import annotations

import functools
import os
import signal
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure(config: pytest.Config) -> None:
    """Treat SIGTERM as Ctrl-C, so that a cancelled CI job cleans up too."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)
        config.add_cleanup(functools.partial(_restore, signal.SIGTERM, before))


@pytest.hookimpl(tryfirst=True)
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """What an interrupt leaves half done is no failure, which pytest would make of it."""
    warnings.filterwarnings("ignore", category=pytest.PytestUnraisableExceptionWarning)
    # An interrupt may come at an instruction that stands for no line of the source (the end of a
    # `with` block); pytest cannot show such an entry and would end with an error of its own.
    numbered = excinfo.traceback.filter(lambda entry: entry._rawentry.tb_lineno is not None)  # noqa: SLF001 - no public way
    excinfo.traceback = numbered


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The fixtures of the session end with the last test."""
    if nextitem is None:
        _finish_undisturbed(item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Reports are written, and fixtures end, undisturbed."""
    _finish_undisturbed(session.config)
    return (yield)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _finish_undisturbed(config: pytest.Config) -> None:
    """From here on the cluster is taken down; another Ctrl-C would leave a part of it behind."""
    if threading.current_thread() is not threading.main_thread():
        return

    def hold_on(*_: object) -> None:
        os.write(2, b"\ncleaning up; every step of it has a deadline\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.signal(number, hold_on)
        config.add_cleanup(functools.partial(_restore, number, before))


def _restore(number: int, handler: Any) -> None:  # noqa: ANN401 - signal's own type has no name
    signal.signal(number, handler)
