"""What the terminal says of a run in words: what is wrong, and the counts."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Final

from rbac_matrix.progress import Stage
from rbac_matrix.report.causes import rank
from rbac_matrix.verdict import Outcome, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rbac_matrix.offline import Judged
    from rbac_matrix.report.grid import Grid
    from rbac_matrix.report.run_report import RunReport
    from rbac_matrix.verdict import Verdict

SHOWN: Final = 100
"""Sentences shown; more would push the first ones off the screen."""


def rest_failure(wrong: Sequence[Verdict]) -> tuple[str, str]:
    """The headline and the lines of a subject's undeclared cells that are wrong in one scope."""
    wrong = sorted(wrong, key=rank)
    cell = wrong[0].cell
    headline = wrong[0].sentence
    if len(wrong) > 1:
        headline = f"{headline}, and {len(wrong) - 1} more of {cell.subject.name} there"
    lines = []
    for verdict in wrong[:SHOWN]:
        because = printable(verdict.evidence.policy.because) if verdict.evidence else ""
        lines.append(f"{verdict.sentence}: {because}" if because else verdict.sentence)
    if len(wrong) > SHOWN:
        lines.append(f"... and {len(wrong) - SHOWN} more: see verdicts.json (--report-dir)")
    lines.append(wrong[0].explanation)
    return headline, "\n".join(lines)


def counts(verdicts: Sequence[Verdict]) -> str:
    """How many cells came out how: `3394 cells: 38 allowed, 3355 refused, 1 not asked`."""
    found: collections.Counter[str] = collections.Counter()
    for verdict in verdicts:
        if verdict.outcome is Outcome.AS_EXPECTED:
            found["allowed" if verdict.expectation.status else "refused"] += 1
        else:
            found[str(verdict.outcome)] += 1
    parts = [f"{number} {what}" for what, number in sorted(found.items())]
    unrequested = sum(
        1 for verdict in verdicts if verdict.evidence and verdict.evidence.not_requested
    )
    if documented := sum(1 for verdict in verdicts if verdict.documented):
        parts.append(f"{documented} of them granted, but refused for what else the request needs")
    if unrequested:
        parts.append(f"{unrequested} of them by two judges, because no request may ask them")
    return f"{len(verdicts)} cells: {', '.join(parts) or 'nothing was asked'}"


def offline_counts(judged: Iterable[Judged]) -> str:
    """How many cells the policy alone allows: `16847 cells: 46 allowed, 16801 refused`."""
    found = [*judged]
    asked = sum(each.asked for each in found)
    allowed = sum(len(each.allowed) for each in found)
    wrong = sum(len(each.wrong) for each in found)
    parts = [f"{allowed} allowed", f"{asked - allowed} refused"]
    if wrong:
        parts.append(f"{wrong} of them wrongly")
    return f"{asked} cells: {', '.join(parts)}"


def others_of(grid: Grid) -> str:
    """What is beyond a grid: `1,775 other cells are refused, 58 are allowed to every ...`."""
    parts = []
    if grid.refused:
        parts.append(f"{grid.refused:,} other cells are refused")
    if grid.baseline:
        parts.append(f"{grid.baseline:,} are allowed to every ServiceAccount")
    return ", ".join(parts)


def time_line(report: RunReport) -> str:
    """`cluster start 4.2 s, ask 7.9 s (640 answers/s); peak memory 143 MiB`."""
    parts = []
    for stage, seconds in report.times.items():
        rate = ""
        if stage is Stage.ASK and report.answers and seconds:
            rate = f" ({report.answers / seconds:,.0f} answers/s)"
        parts.append(f"{stage} {seconds:.1f} s{rate}")
    memory = f"peak memory {report.peak_memory / 2**20:,.0f} MiB"
    return "; ".join([", ".join(parts), memory] if parts else [memory])
