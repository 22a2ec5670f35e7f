"""The gate: each declared cell of each scenario, asked by the ServiceAccount itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbac_matrix.verdict import Verdict


def test_access(verdict: Verdict) -> None:
    """What a scenario allows is answered with the declared status, and all else refused by RBAC."""
    assert verdict.as_expected
