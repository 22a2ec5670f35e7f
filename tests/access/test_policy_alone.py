"""`--cluster none`: the manifests grant what is declared, by the policy judge alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbac_matrix.offline import Judged


def test_the_manifests_grant_what_is_declared(judged: Judged) -> None:
    """On a stock cluster the policy allows what is declared and the baseline, and nothing else."""
    assert judged.asked
    assert [verdict.sentence for verdict in judged.wrong] == []
