"""Keeping Ctrl-C and SIGTERM from leaving something half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[list[int]]:
    """Collect the interrupts that come within the block instead of being interrupted by them.

    For what is short and must be whole: starting something and noting that it has to be ended, or
    cleaning up. Without effect in other threads, which are not interrupted anyway.

    Yields:
        The signals that came, for the caller to act on afterwards.
    """
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {number: signal.getsignal(number) for number in _INTERRUPTS}
    for number in _INTERRUPTS:
        signal.signal(number, lambda came, _: held.append(came))
    try:
        yield held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
