"""Ending a run that cannot go on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def ends_run_on_error() -> Iterator[None]:
    """Without a cluster there is nothing to test: one sentence, not one a test."""
    try:
        yield
    except RbacMatrixError as error:
        pytest.exit(f"{error}", returncode=pytest.ExitCode.INTERNAL_ERROR)
