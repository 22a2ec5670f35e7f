"""Waiting for a cluster: polls with a deadline, never a fixed sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Callable


class DeadlineError(RbacMatrixError):
    """What was waited for did not come in time."""


def poll(what: str, missing: Callable[[], str], seconds: float, longest_pause: float = 0.5) -> None:
    """Ask again and again until nothing is missing.

    Args:
        what: What is waited for, for the message.
        missing: Says what is still missing; an empty text when nothing is.
        seconds: The deadline.
        longest_pause: Seconds between two questions at most; the first pauses are shorter.

    Raises:
        DeadlineError: Something was still missing at the deadline; the message says what.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_exponential(multiplier=0.02, max=longest_pause),
        retry=tenacity.retry_if_result(bool),
    )
    try:
        retrying(missing)
    except tenacity.RetryError as error:
        raise DeadlineError(
            f"{what}: not within {seconds:.0f} s: {error.last_attempt.result()}"
        ) from None
