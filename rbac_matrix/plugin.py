"""The pytest side of the gate: items, fixtures, and failures that read as sentences.

Collecting needs no cluster. The cluster starts with the first test that asks for a verdict.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from _pytest.compat import NOTSET

from rbac_matrix.end_of_run import ends_run_on_error
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.failures.run import watch
from rbac_matrix.progress import Stage
from rbac_matrix.report.failure import SentenceRepr
from rbac_matrix.report.junit import cell_properties, rest_properties
from rbac_matrix.report.output import (
    add_output_options,
    annotate,
    live_line,
    printer,
    show,
    write_summaries,
)
from rbac_matrix.report.terminal import counts, rest_failure
from rbac_matrix.selection import scenarios_of
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Cell, Rest
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.gate import Gate
    from rbac_matrix.measured import Measured
    from rbac_matrix.report.run_report import RunReport
    from rbac_matrix.scenario import Scenario
    from rbac_matrix.verdict import Verdict

pytest_plugins = [
    "rbac_matrix.interrupts_plugin",
    "rbac_matrix.clusters.plugin",
    "rbac_matrix.offline_plugin",
    "rbac_matrix.failures.plugin",
]

_GATE: Final = pytest.StashKey["Gate"]()
_REPORTED: Final = pytest.StashKey[tuple[str, str]]()
_MEASURED: Final = pytest.StashKey["Measured"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that choose the scenarios and the report."""
    group = parser.getgroup("rbac-matrix", "access of Kubernetes ServiceAccounts")
    group.addoption(
        "--expectations",
        action="append",
        metavar="PATH",
        help="an expectations file or a folder of them; may be repeated (default: tests/access)",
    )
    group.addoption(
        "--report-dir",
        metavar="DIR",
        help="write verdicts.json, report.html, summary.md and logs there",
    )
    add_output_options(group)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item a declared cell, and one for the rest of each subject's cells in each scope."""
    wanted = {"cell", "rest"} & set(metafunc.fixturenames)
    if not wanted:
        return
    params: dict[str, list[Any]] = {"cell": [], "rest": []}
    if metafunc.config.getoption("cluster") != "none":
        try:
            scenarios = scenarios_of(metafunc.config).values()
        except RbacMatrixError as error:
            pytest.fail(str(error), pytrace=False)
        params["cell"] = [cell for scenario in scenarios for cell in scenario.expectations]
        params["rest"] = [rest for scenario in scenarios for rest in scenario.rests]
    for name in wanted:
        metafunc.parametrize(name, params[name], ids=[param.id for param in params[name]])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that this kind of cluster has no items for."""
    empty = [item for item in items if _is_empty(item)]
    if empty:
        items[:] = [item for item in items if item not in empty]
        config.hook.pytest_deselected(items=empty)


def _is_empty(item: pytest.Item) -> bool:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return any(params.get(name) is NOTSET for name in ("cell", "rest", "offline_case"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the sentence of a failed verdict instead of the code that asserted it."""
    report: pytest.TestReport = yield  # type: ignore[assignment] # the hook's own protocol
    found = getattr(item, "funcargs", {})
    verdict: Verdict | None = found.get("verdict")
    wrong = [each for each in found.get("rest_verdicts", ()) if not each.as_expected]
    if call.excinfo is not None and isinstance(call.excinfo.value, NotAnsweredError):
        verdict = call.excinfo.value.verdict
    if report.failed and verdict is not None and not verdict.as_expected:
        report.longrepr = SentenceRepr(
            verdict.sentence, verdict.explanation, verdict.expectation.at
        )
    elif report.failed and wrong:
        report.longrepr = SentenceRepr(*rest_failure(wrong), wrong[0].expectation.at)
    return report  # type: ignore[return-value] # the hook's own protocol


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401 - pytest's class is private
    """Show what took time, what is not as declared, and the grid of each scenario."""
    if measured := config.stash.get(_MEASURED, None):
        provider, version = config.stash[_REPORTED]
        terminalreporter.section(f"measured on {provider} {version}")
        for line in measured.lines():
            terminalreporter.line(line)
    reports = _run_reports(config)
    for report in reports:
        show(report, config, grids=True)
    annotate(reports, config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report before the fixtures end."""
    folder, gate = session.config.getoption("report_dir"), session.config.stash.get(_GATE, None)
    if folder and gate is not None:
        from rbac_matrix.report.html import write_html  # noqa: PLC0415 - only here
        from rbac_matrix.report.verdicts_file import (  # noqa: PLC0415 - only here
            verdicts_document,
            write_verdicts,
        )

        provider, version = session.config.stash[_REPORTED]
        verdicts = gate.verdicts.values()
        document = verdicts_document(provider, version, verdicts, datetime.now(UTC))
        file = write_verdicts(Path(folder), document)
        page = write_html(file.with_name("report.html"), document)
        printer(session.config)(
            f"{len(verdicts)} verdicts are in {file}, to be looked at in {page}"
        )
    write_summaries(_run_reports(session.config, int(exitstatus)), session.config)
    if folder and (measured := session.config.stash.get(_MEASURED, None)):
        measured.write(Path(folder), *session.config.stash[_REPORTED])


class NotAnsweredError(RbacMatrixError):
    """A cell has no verdict: that is an error, neither a pass nor a failure."""

    def __init__(self, verdict: Verdict) -> None:
        """Carry what is known."""
        super().__init__(verdict.sentence)
        self.verdict = verdict


@pytest.fixture(scope="session")
def scenarios(request: pytest.FixtureRequest) -> list[Scenario]:
    """Every scenario that `--expectations` names."""
    return list(scenarios_of(request.config).values())


@pytest.fixture(scope="session")
def measured(cluster: Cluster, admin: Admin, request: pytest.FixtureRequest) -> Measured:
    """How long the cluster took to follow; shown at the end of the run, and in `measured.json`."""
    from rbac_matrix.measured import Measured  # noqa: PLC0415 - only where a cluster runs

    request.config.stash[_REPORTED] = (cluster.provider, admin.version())
    request.config.stash[_MEASURED] = found = Measured()
    return found


@pytest.fixture(scope="session")
def gate(cluster: Cluster, admin: Admin, request: pytest.FixtureRequest) -> Iterator[Gate]:
    """The selected cells of all scenarios, with their probes started."""
    from rbac_matrix.gate import Gate  # noqa: PLC0415 - only where a cluster runs

    scenarios = scenarios_of(request.config)
    wanted: dict[Scenario, list[Cell | Rest]] = {}
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        each: Cell | Rest | None = params.get("cell", params.get("rest"))
        if each is not None:
            wanted.setdefault(scenarios[each.scenario], []).append(each)
    with ends_run_on_error(), ExitStack() as stack:
        progress = live_line(request.config)
        with progress.during(Stage.PREPARE):
            request.config.stash[_REPORTED] = (cluster.provider, admin.version())
            told = watch(request.config).went_wrong
            say = printer(request.config)
            running = Gate(cluster, admin, wanted, say, progress, went_wrong=told)
            request.config.stash[_GATE] = running
            stack.enter_context(running)
        yield running


@pytest.fixture
def verdict(cell: Cell, gate: Gate, request: pytest.FixtureRequest) -> Verdict:
    """The verdict of a cell; a skip where it could not be asked, an error where none came."""
    scenario = scenarios_of(request.config)[cell.scenario]
    with ends_run_on_error():
        gate.ask(scenario)
    found = gate.verdicts[cell]
    request.node.user_properties += cell_properties(found)
    if found.outcome is Outcome.NOT_ASKED:
        pytest.skip(found.reason)
    if found.outcome is Outcome.NOT_ANSWERED:
        raise NotAnsweredError(found)
    return found


@pytest.fixture
def rest_verdicts(rest: Rest, gate: Gate, request: pytest.FixtureRequest) -> list[Verdict]:
    """The verdicts of everything else that a subject can be asked in a scope."""
    scenario = scenarios_of(request.config)[rest.scenario]
    with ends_run_on_error():
        gate.ask(scenario)
    verdicts = gate.rests[rest]
    request.node.user_properties += rest_properties(verdicts)
    wrong = [verdict for verdict in verdicts if not verdict.as_expected]
    if wrong and all(verdict.outcome is Outcome.NOT_ANSWERED for verdict in wrong):
        raise NotAnsweredError(wrong[0])
    return verdicts


def _run_reports(config: pytest.Config, exit_code: int = 0) -> list[RunReport]:
    """What this run found out; nothing where it asked nothing."""
    from rbac_matrix.report.run_report import RunReport, peak_memory  # noqa: PLC0415 - only here

    gate = config.stash.get(_GATE, None)
    if gate is None:
        return []
    provider, version = config.stash[_REPORTED]
    verdicts, progress = [*gate.verdicts.values()], live_line(config)
    return [
        RunReport(
            where=f"{provider} {version}",
            counted=counts(verdicts),
            scenarios=tuple(scenarios_of(config).values()),
            verdicts=verdicts,
            times=progress.times,
            answers=progress.answers,
            peak_memory=peak_memory(),
            exit_code=exit_code,
        )
    ]
