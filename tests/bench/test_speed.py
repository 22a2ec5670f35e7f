"""How fast the judges are, beside a load generator and kubectl on the same API server."""

from __future__ import annotations

import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from rbac_matrix.bench.references import references
from rbac_matrix.bench.table import Table
from rbac_matrix.cell import ResourceName, ResourceQuestion
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.gate import Gate
from rbac_matrix.judges.review import review_request
from rbac_matrix.probe.reviewer import REVIEWER
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.settle import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.cases import Case
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.scenario import Scenario

ROUNDS: Final = 5
TIMES: Final = 10  # as many subjects
REFUSED: Final = ResourceQuestion("list", ResourceName("", "secrets"), "default")

WRK_REFUSED: Final = "wrk, a refused request"
WRK_REVIEW: Final = "wrk, a SubjectAccessReview"
WRK_BOTH: Final = "wrk, one of each"
CAN_I: Final = "`kubectl auth can-i`"
REQUEST: Final = "the request judge's cells"
REVIEW: Final = "the review judge's cells"
ALL: Final = "all three judges' cells, from applying to verdicts"
REFERENCES: Final = {
    CAN_I: WRK_REVIEW,
    REQUEST: WRK_REFUSED,
    REVIEW: WRK_REVIEW,
    ALL: WRK_BOTH,
}


@pytest.fixture(name="say", scope="module")
def _say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return say


def test_the_judges_beside_the_references(
    cluster: Cluster, admin: Admin, scenarios: list[Scenario], say: Callable[[str], None]
) -> None:
    """Every cell of every scenario is asked in each round, and the medians are printed."""
    table = Table(REFERENCES)
    wanted = {one: [*one.expectations, *one.rests] for one in scenarios}
    for number in range(ROUNDS):
        with Gate(cluster, admin, wanted, lambda _: None) as gate:
            settle(admin, gate.objects)
            measure_references(table, cluster, admin)
            cases = {one: gate.cases.rest(one, one.rests, gate.stock) for one in scenarios}
            table.add(REQUEST, rate(ask_requests(gate, own) for own in cases.values()))
            table.add(REVIEW, rate(ask_reviews(gate, own) for own in cases.values()))
            table.add(ALL, rate(ask_all(gate, one) for one in scenarios))
            wrong = [each.sentence for each in gate.verdicts.values() if not each.as_expected]
            say(f"round {number + 1} of {ROUNDS}: {len(gate.verdicts)} cells, {len(wrong)} wrong")
            asked = len(gate.verdicts)
    for line in table.markdown():
        say(line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = asked / statistics.median(table.rates[ALL])
    say(f"{asked} cells on {cluster.provider} {admin.version()} in {seconds:.1f} s; {peak} MB")


def test_the_cost_grows_with_the_cells(
    cluster: Cluster, admin: Admin, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Ten times the subjects take ten times the time, not more for each cell."""
    per_cell: dict[int, list[float]] = {1: [], TIMES: []}
    for _ in range(ROUNDS):
        for subjects, seconds in per_cell.items():
            folder = tmp_path / str(subjects)
            scenario = scenario_with(subjects, folder)
            wanted = {scenario: [*scenario.expectations, *scenario.rests]}
            with Gate(cluster, admin, wanted, lambda _: None) as gate:
                seconds.append(1 / rate(ask_all(gate, one) for one in wanted))
    one, ten = (statistics.median(seconds) for seconds in per_cell.values())
    say(
        f"a cell takes {one * 1e3:.2f} ms with one subject, {ten * 1e3:.2f} ms with {TIMES} "
        f"(medians of {ROUNDS} rounds)"
    )


def measure_references(table: Table, cluster: Cluster, admin: Admin) -> None:
    """One round of what the judges are compared with."""
    review = review_request(REVIEWER, REFUSED)
    with references(cluster, admin) as found:
        refused = found.requests_per_second("/api/v1/namespaces/default/secrets")
        reviews = found.requests_per_second(review.path, review.body or "")
        table.add(WRK_REFUSED, refused)
        table.add(WRK_REVIEW, reviews)
        table.add(WRK_BOTH, 1 / (1 / refused + 1 / reviews))
        began = time.perf_counter()
        for _ in range(ROUNDS):
            assert found.can_i(["list", "secrets", "-n", "default"]) == "no"
        table.add(CAN_I, ROUNDS / (time.perf_counter() - began))


def rate(asked: Iterable[int]) -> float:
    """Cells per second of what asks them, which is done here."""
    began = time.perf_counter()
    cells = sum(asked)
    return cells / (time.perf_counter() - began)


def ask_requests(gate: Gate, cases: list[Case]) -> int:
    """Send the requests of cases, the subjects at the same time; how many."""
    subjects = {case.cell.subject: [] for case in cases}
    for case in cases:
        if case.request is not None:
            subjects[case.cell.subject].append(case.request)
    with ThreadPoolExecutor(max_workers=len(subjects)) as pool:
        answers = list(pool.map(gate.request.answers, subjects, subjects.values()))
    assert all(answer.status for found in answers for answer in found.values())
    return sum(len(requests) for requests in subjects.values())


def ask_reviews(gate: Gate, cases: list[Case]) -> int:
    """Have the cases reviewed; how many."""
    for subject in {case.cell.subject for case in cases}:
        questions = [case.cell.question for case in cases if case.cell.subject == subject]
        opinions = gate.review.opinions(subject, questions)
        assert all(opinion.allowed is not None for opinion in opinions)
    return len(cases)


def ask_all(gate: Gate, scenario: Scenario) -> int:
    """Apply a scenario and have the three judges decide it; how many cells."""
    before = len(gate.verdicts)
    gate.ask(scenario)
    return len(gate.verdicts) - before


def scenario_with(subjects: int, folder: Path) -> Scenario:
    """A scenario with a Role that is bound to so many ServiceAccounts."""
    folder.mkdir(exist_ok=True)
    names = [f"reader-{number}" for number in range(subjects)]
    rbac = "rbac.authorization.k8s.io"

    def described(kind: str, name: str, **rest: object) -> dict[str, object]:
        version = "v1" if kind == "ServiceAccount" else f"{rbac}/v1"
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    bound = [{"kind": "ServiceAccount", "name": name, "namespace": "default"} for name in names]
    role = {"apiGroup": rbac, "kind": "Role", "name": "reader"}
    objects = [
        *(described("ServiceAccount", name) for name in names),
        described("Role", "reader", rules=[rule]),
        described("RoleBinding", "readers", roleRef=role, subjects=bound),
    ]
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    allowed = {
        "verbs": {"get": 200, "list": 200},
        "resources": ["pods"],
        "namespaces": ["default"],
        "why": "Role reader grants it.",
    }
    expectations = {
        "scenario": f"{subjects}-readers",
        "title": f"{subjects} readers",
        "manifests": str(folder),
        "ask": {"namespaces": ["default"], "resources": ["pods"]},
        "subjects": [
            {"serviceAccount": name, "namespace": "default", "allow": [allowed]} for name in names
        ],
    }
    file = folder.with_name(f"{subjects}-readers.yaml")
    file.write_text(yaml.safe_dump(expectations), encoding="utf-8")
    return load_scenario(file, recorded_discovery(), built_in_samples())
