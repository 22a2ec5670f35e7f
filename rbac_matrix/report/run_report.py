"""What a run found out, as every report starts from it."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rbac_matrix.report.causes import causes
from rbac_matrix.report.grid import make_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rbac_matrix.progress import Stage
    from rbac_matrix.report.causes import Cause
    from rbac_matrix.report.grid import Grid
    from rbac_matrix.scenario import Scenario
    from rbac_matrix.verdict import Verdict


@dataclass(frozen=True)
class RunReport:
    """One run.

    Attributes:
        where: What was asked: the kind of cluster and its version, or that it was none.
        counted: How many cells came out how, in words.
        scenarios: Those that were asked.
        verdicts: One a cell; none where nothing is to be said about cells.
        times: Seconds by stage.
        answers: How many answers the API server gave.
        peak_memory: Bytes that this process has had at most.
        exit_code: pytest's; 0 unless something failed, be it access or the run itself.
    """

    where: str
    counted: str
    scenarios: Sequence[Scenario]
    verdicts: Sequence[Verdict]
    times: Mapping[Stage, float] = field(default_factory=dict)
    answers: int = 0
    peak_memory: int = 0
    exit_code: int = 0

    @property
    def causes(self) -> list[Cause]:
        """What is wrong."""
        return causes(self.verdicts)

    @property
    def grids(self) -> list[Grid]:
        """A grid for each scenario that was asked anything."""
        own: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            own.setdefault(verdict.cell.scenario, []).append(verdict)
        return [
            make_grid(scenario, own[scenario.name])
            for scenario in self.scenarios
            if scenario.name in own
        ]


def peak_memory() -> int:
    """The most memory that this process has had, in bytes; its children do not count."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB everywhere else
