"""`--cluster none`: the policy judge alone, over files, in well under a second.

It says what the manifests grant on a stock cluster of a recorded Kubernetes version. Whether the
API server agrees is what the other providers find out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.baseline import load_baseline
from rbac_matrix.cell import Cell
from rbac_matrix.discovery import parse_definitions, recorded_discovery
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.recorded import NEWEST, VERSIONS, recording
from rbac_matrix.universe import universe_of
from rbac_matrix.verdict import Evidence, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rbac_matrix.baseline import Baseline
    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.discovery import Discovery
    from rbac_matrix.judges.opinion import Opinion
    from rbac_matrix.scenario import Expectation, Scenario

ALL_VERSIONS: Final = "all"


@dataclass(frozen=True)
class StockCluster:
    """What a Kubernetes version brings.

    Attributes:
        kubernetes: The version, `v1.36`.
        discovery: What it serves.
        policy: Its roles and bindings.
        baseline: What every ServiceAccount may do on it.
    """

    kubernetes: str
    discovery: Discovery
    policy: tuple[Mapping[str, Any], ...]
    baseline: Baseline


@cache
def stock_cluster(kubernetes_version: str) -> StockCluster:
    """The stock cluster of a recorded version, `v1.36`."""
    return StockCluster(
        kubernetes_version,
        recorded_discovery(kubernetes_version),
        tuple(recording(f"policy-{kubernetes_version}")["objects"]),
        load_baseline(kubernetes_version),
    )


def chosen_versions(choice: str) -> tuple[str, ...]:
    """The recorded versions that a choice means: `1.34`, `v1.34`, `all`, or nothing: the newest.

    Raises:
        ValueError: It is not recorded.
    """
    if choice == ALL_VERSIONS:
        return VERSIONS
    version = f"v{choice.removeprefix('v')}" if choice else NEWEST
    if version not in VERSIONS:
        known = ", ".join(each.removeprefix("v") for each in VERSIONS)
        raise ValueError(f"{choice} is not recorded; recorded are {known}, and {ALL_VERSIONS}")
    return (version,)


@dataclass(frozen=True)
class OfflineCase:
    """A scenario on a stock cluster.

    Attributes:
        scenario: Read with what that cluster serves.
        kubernetes: The version, `v1.36`.
        id: The scenario's name, with the version where that was asked for.
    """

    scenario: Scenario
    kubernetes: str
    id: str


@dataclass(frozen=True)
class Judged:
    """What the policy alone says about a scenario.

    Attributes:
        asked: How many cells were judged: the declared ones and the whole universe.
        allowed: The allowed cells, with the grant as the policy judge words it.
        wrong: The verdicts that are not as expected.
    """

    asked: int
    allowed: Mapping[Cell, Opinion]
    wrong: tuple[Verdict, ...]


def judge_offline(scenario: Scenario, stock: StockCluster) -> Judged:
    """Every declared cell and the whole universe of a scenario's subjects, by the policy alone.

    Args:
        scenario: With its manifests; what its own definitions add is served too.
        stock: The cluster that it is on.
    """
    definitions = parse_definitions(found.body for found in scenario.objects)
    served = stock.discovery.with_resources(definitions)
    universe = universe_of(served, scenario.closed_namespaces)
    # The same for each subject, and denied is what next to every question is: asked only once.
    baseline = {
        question: expectation
        for question in universe.questions
        if (expectation := stock.baseline.expectation(question))
    }
    policy = PolicyJudge(scenario.objects, stock.policy)
    asked, allowed, wrong = 0, {}, []
    for subject in scenario.subjects:
        declared = dict(_declared(scenario, subject))
        expected = baseline | declared
        questions = tuple(dict.fromkeys((*declared, *universe.questions)))
        asked += len(questions)
        for question, opinion in zip(questions, policy.opinions(subject, questions), strict=True):
            expectation = expected.get(question)
            if opinion.allowed or (expectation and expectation.status):
                cell = Cell(scenario.name, subject, question)
                verdict = judge(cell, expectation or scenario.defaults[subject], Evidence(opinion))
                if opinion.allowed:
                    allowed[cell] = opinion
                if not verdict.as_expected:
                    nearest = policy.nearest(subject, question)
                    wrong.append(replace(verdict, nearest=nearest))
    return Judged(asked, allowed, tuple(wrong))


def _declared(scenario: Scenario, subject: Subject) -> Iterator[tuple[Question, Expectation]]:
    for cell, expectation in scenario.expectations.items():
        if cell.subject == subject:
            yield cell.question, expectation
