"""`--cluster none`: the manifests grant what is declared, by the policy judge alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbac_matrix.verdict import Verdict


def test_the_manifests_grant_what_is_declared(offline_verdicts: list[Verdict]) -> None:
    """On a stock cluster the policy allows what is declared and the baseline, and nothing else."""
    assert offline_verdicts
    assert [verdict.sentence for verdict in offline_verdicts if not verdict.as_expected] == []
