"""The closed world: everything else that the cluster can be asked about a subject is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbac_matrix.verdict import Verdict


def test_nothing_else_is_allowed(rest_verdicts: list[Verdict]) -> None:
    """Beyond what is declared and the baseline, every judge says no to every question."""
    assert rest_verdicts
    assert [verdict.sentence for verdict in rest_verdicts if not verdict.as_expected] == []
