"""`--cluster none`: the policy judge alone, over files, in well under a second.

It says what the manifests grant on a stock cluster of the recorded Kubernetes version. Whether the
API server agrees is what the other providers find out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.baseline import load_baseline
from rbac_matrix.cell import Cell
from rbac_matrix.discovery import parse_definitions
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.recorded import recording
from rbac_matrix.universe import universe_of
from rbac_matrix.verdict import Evidence, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.discovery import Discovery
    from rbac_matrix.scenario import Scenario

RECORDED: Final = "v1.36"


def recorded_policy() -> list[Mapping[str, Any]]:
    """The roles and bindings of a stock cluster of the recorded version."""
    objects: list[Mapping[str, Any]] = recording(f"policy-{RECORDED}")["objects"]
    return objects


def judge_offline(
    scenario: Scenario, discovery: Discovery, stock: list[Mapping[str, Any]]
) -> list[Verdict]:
    """Every declared cell and the whole universe of a scenario's subjects, by the policy alone.

    Args:
        scenario: With its manifests.
        discovery: What a stock cluster serves; the scenario's own definitions are added.
        stock: The roles and bindings of a stock cluster.
    """
    baseline = load_baseline(RECORDED)
    served = discovery.with_resources(parse_definitions(found.body for found in scenario.objects))
    universe = universe_of(served, scenario.closed_namespaces)
    policy = PolicyJudge(scenario.objects, stock)
    verdicts = []
    for subject in scenario.subjects:
        declared = [cell for cell in scenario.expectations if cell.subject == subject]
        cells = [Cell(scenario.name, subject, question) for question in universe.questions]
        cells = [*declared, *(cell for cell in cells if cell not in scenario.expectations)]
        opinions = policy.opinions(subject, [cell.question for cell in cells])
        for cell, opinion in zip(cells, opinions, strict=True):
            expectation = (
                scenario.expectations.get(cell)
                or baseline.expectation(cell.question)
                or scenario.defaults[subject]
            )
            verdict = judge(cell, expectation, Evidence(opinion))
            if not verdict.as_expected:
                verdict = replace(verdict, nearest=policy.nearest(subject, cell.question))
            verdicts.append(verdict)
    return verdicts
