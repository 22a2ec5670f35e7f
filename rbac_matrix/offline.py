"""`--cluster none`: the policy judge alone, over files, in well under a second.

It says what the manifests grant on a stock cluster of a recorded Kubernetes version. Whether the
API server agrees is what the other providers find out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.baseline import load_baseline
from rbac_matrix.cell import Cell
from rbac_matrix.discovery import parse_definitions, recorded_discovery
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.recorded import NEWEST, VERSIONS, recording
from rbac_matrix.universe import universe_of
from rbac_matrix.verdict import Evidence, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rbac_matrix.baseline import Baseline
    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.discovery import Discovery
    from rbac_matrix.errors import Position
    from rbac_matrix.judges.policy import Grant
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
        scenario: The scenario.
        questions: What was judged of each subject: its declared cells and the whole universe.
        allowed: What is allowed of it.
        wrong: The verdicts that are not as expected.
        policy: The judge, for more about a cell.
    """

    scenario: Scenario
    questions: Mapping[Subject, tuple[Question, ...]]
    allowed: Mapping[Cell, Granted]
    wrong: tuple[Verdict, ...]
    policy: PolicyJudge

    @property
    def asked(self) -> int:
        """How many cells were judged."""
        return sum(map(len, self.questions.values()))


@dataclass(frozen=True)
class Granted:
    """Why a cell is allowed.

    Attributes:
        grant: The first of its grants.
        rule: Where the rule is written; None for what the cluster brought.
        bound: Where the binding names the subject; None for what the cluster brought.
        baseline: Whether it is what every ServiceAccount may do.
    """

    grant: Grant
    rule: Position | None
    bound: Position | None
    baseline: bool


def judge_offline(scenario: Scenario, stock: StockCluster) -> Judged:
    """Every declared cell and the whole universe of a scenario's subjects, by the policy alone.

    Args:
        scenario: With its manifests; what its own definitions add is served too.
        stock: The cluster that it is on.
    """
    definitions = parse_definitions(found.body for found in scenario.objects)
    served = stock.discovery.with_resources(definitions)
    roles = [*(found.body for found in scenario.objects), *stock.policy]
    universe = universe_of(served, scenario.closed_namespaces, roles)
    # The same for each subject, and denied is what next to every question is: asked only once.
    baseline = {
        question: expectation
        for question in universe.questions
        if (expectation := stock.baseline.expectation(question))
    }
    policy = PolicyJudge(scenario.objects, stock.policy)
    questions: dict[Subject, tuple[Question, ...]] = {}
    allowed: dict[Cell, Granted] = {}
    wrong = []
    for subject in scenario.subjects:
        declared = dict(_declared(scenario, subject))
        expected = baseline | declared
        rest = (
            question
            for question in universe.questions
            if not scenario.covers(Cell(scenario.name, subject, question))
        )
        asked = questions[subject] = (*declared, *rest)
        for question, decision in zip(asked, policy.opinions(subject, asked), strict=True):
            expectation = expected.get(question)
            if not decision.allowed and not (expectation and expectation.status):
                continue  # Denied, as all is that nothing speaks of: nearly every cell.
            cell = Cell(scenario.name, subject, question)
            opinion = decision if decision.allowed else policy.denial(subject, question)
            if (grant := policy.grant(subject, question)) is not None:
                rule, bound = policy.rule_line(grant), policy.subject_line(grant)
                in_baseline = question in baseline and bound is None
                allowed[cell] = Granted(grant, rule, bound, in_baseline)
            verdict = judge(cell, expectation or scenario.defaults[subject], Evidence(opinion))
            if not verdict.as_expected:
                wrong.append(verdict)
    return Judged(scenario, questions, allowed, tuple(wrong), policy)


def verdicts_of(judged: Judged, stock: StockCluster) -> Iterator[Verdict]:
    """The verdict of every cell, which `judge_offline` has no need of: most are denied anyway.

    Args:
        judged: What is known.
        stock: The cluster that it was judged for.
    """
    wrong = {verdict.cell: verdict for verdict in judged.wrong}
    baseline = stock.baseline.expectation
    scenario = judged.scenario
    for subject, questions in judged.questions.items():
        for question in questions:
            cell = Cell(scenario.name, subject, question)
            expected = scenario.expectations.get(cell) or baseline(question)
            opinion = Opinion(cell in judged.allowed, "")
            expectation = expected or scenario.defaults[subject]
            yield wrong.get(cell) or judge(cell, expectation, Evidence(opinion))


def _declared(scenario: Scenario, subject: Subject) -> Iterator[tuple[Question, Expectation]]:
    for cell, expectation in scenario.expectations.items():
        if cell.subject == subject:
            yield cell.question, expectation
