"""`--cluster none`: nothing is allowed that was not reviewed, and nothing reviewed is denied."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbac_matrix.report.drift import Drift


def test_access_is_as_accepted(drift: Drift) -> None:
    """What the manifests allow is line by line what `accepted/` says; `nox -s accept` writes it."""
    assert drift.lines == ()
