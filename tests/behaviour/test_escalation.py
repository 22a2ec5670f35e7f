"""Nobody gives what they do not have: writing roles and bindings, and acting as somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.casebook import load_casebook

if TYPE_CHECKING:
    from rbac_matrix.casebook import Case, Stage

BOOK: Final = load_casebook(Path(__file__).with_name("escalation.yaml"))


@pytest.mark.parametrize("case", BOOK.cases, ids=[case.id for case in BOOK.cases])
def test_escalation(case: Case, stage: Stage) -> None:
    """The request of the case gets exactly the answer that its rule gives."""
    if problem := stage.problem(case):
        pytest.fail(problem, pytrace=False)
