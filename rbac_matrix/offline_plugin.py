"""The pytest side of `--cluster none`: the policy alone, and whether access is as accepted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.errors import InputError, RbacMatrixError
from rbac_matrix.recorded import NEWEST
from rbac_matrix.report.failure import SentenceRepr
from rbac_matrix.report.junit import drift_properties, judged_properties
from rbac_matrix.report.output import annotate, repository_of, show, show_changes, write_summaries
from rbac_matrix.report.terminal import offline_counts, rest_failure
from rbac_matrix.selection import expectation_paths, read_scenarios

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rbac_matrix.offline import Judged, OfflineCase
    from rbac_matrix.report.drift import Drift
    from rbac_matrix.report.run_report import RunReport
    from rbac_matrix.since import Comparison
    from rbac_matrix.verdict import Verdict

TABLE_FILE: Final = "access-changes.md"

_JUDGED: Final = pytest.StashKey[dict["OfflineCase", "Judged"]]()
_CASES: Final = pytest.StashKey[list["OfflineCase"]]()
_WRITTEN: Final = pytest.StashKey[list[str]]()
_DRIFTS: Final = pytest.StashKey[list["Drift"]]()
_COMPARISON: Final = pytest.StashKey["Comparison"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `--cluster none`."""
    group = parser.getgroup("rbac-matrix", "access of Kubernetes ServiceAccounts")
    group.addoption(
        "--kubernetes-version",
        default="",
        metavar="MINOR",
        help="the recorded Kubernetes version that --cluster none judges for, such as 1.34, or all "
        "(default: the newest)",
    )
    group.addoption(
        "--accept",
        action="store_true",
        help="with --cluster none: write the accepted access instead of comparing with it",
    )
    group.addoption(
        "--base",
        default="",
        metavar="REV",
        help="with --cluster none: show what changed in the access since a git revision, as a "
        f"Markdown table unless on a terminal; --report-dir gets the table as {TABLE_FILE}",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what a real cluster would ignore."""
    for option in ("kubernetes_version", "accept", "base"):
        if config.getoption(option) and config.getoption("cluster") != "none":
            raise pytest.UsageError(
                f"--{option.replace('_', '-')} goes with --cluster none: it is about the manifests "
                "alone, and a cluster has a version of its own"
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item for each scenario and Kubernetes version.

    Access is accepted as the newest version has it: stock roles differ from version to version.
    """
    if "offline_case" not in metafunc.fixturenames:
        return
    cases = []
    if metafunc.config.getoption("cluster") == "none":
        try:
            cases = _cases(metafunc.config)
        except RbacMatrixError as error:
            pytest.fail(str(error), pytrace=False)
    if "drift" in metafunc.fixturenames:
        cases = [case for case in cases if case.kubernetes == NEWEST]
    metafunc.parametrize("offline_case", cases, ids=[case.id for case in cases])


@pytest.fixture
def judged(offline_case: OfflineCase, request: pytest.FixtureRequest) -> Judged:
    """What a scenario's manifests grant by the policy judge alone, with no cluster."""
    found = _judged(request.config, offline_case)
    request.node.user_properties += judged_properties(found)
    return found


@pytest.fixture
def drift(offline_case: OfflineCase, judged: Judged, request: pytest.FixtureRequest) -> Drift:
    """How a scenario's access differs from the accepted one; `--accept` accepts it first."""
    from rbac_matrix.accepted import accept  # noqa: PLC0415 - only for `none`
    from rbac_matrix.report.drift import drift_of  # noqa: PLC0415 - the same

    file = offline_case.scenario.file
    accepted = file.parent / "accepted" / f"{file.stem}.txt"
    if request.config.getoption("accept") and (said := accept(judged, accepted)):
        request.config.stash.setdefault(_WRITTEN, []).append(said)
    found = drift_of(judged, accepted)
    request.node.user_properties += drift_properties(found)
    _drifts(request.config).append(found)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what is wrong as sentences instead of the code that asserted it."""
    report: pytest.TestReport = yield  # type: ignore[assignment] # the hook's own protocol
    if report.failed and report.when == "call":
        found = getattr(item, "funcargs", {})
        judged: Judged | None = found.get("judged")
        drift: Drift | None = found.get("drift")
        if drift is not None and drift.lines:
            report.longrepr = SentenceRepr(drift.headline, drift.explanation, drift.at)
        elif judged is not None and judged.wrong:
            at = judged.wrong[0].expectation.at
            report.longrepr = SentenceRepr(*rest_failure(judged.wrong), at)
    return report  # type: ignore[return-value] # the hook's own protocol


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Compare with the revision that `--base` names; write the table and the summaries."""
    config = session.config
    failed = ""
    if config.getoption("base") and _CASES in config.stash:
        try:
            config.stash[_COMPARISON] = _compare_with_base(config)
        except RbacMatrixError as error:
            failed = f"--base: {error}"
    comparison = config.stash.get(_COMPARISON, None)
    reports = _run_reports(config, every_cell=True, exit_code=int(exitstatus))
    write_summaries(reports, config, _drifts(config), comparison)
    if comparison and (folder := config.getoption("report_dir")):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / TABLE_FILE).write_text(_table(comparison, config), encoding="utf-8")
    if failed:
        pytest.exit(failed, returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401 - pytest's class is private
    """Say what is wrong, count the cells, and what was accepted, and what changed since the base.

    A commit hook that finds nothing wrong waits for no grid.
    """
    grids = config.get_verbosity() > 0
    reports = [*_run_reports(config, every_cell=grids)]
    for report in reports:
        show(report, config, grids=grids)
    for line in config.stash.get(_WRITTEN, ()):
        terminalreporter.line(line)
    comparison = config.stash.get(_COMPARISON, None)
    if comparison and terminalreporter.isatty:
        show_changes(comparison, config)
    elif comparison:  # Into a file, or on to a pull request.
        terminalreporter.write(f"\n{_table(comparison, config)}")
    annotate(reports, config, _drifts(config), comparison)


def _cases(config: pytest.Config) -> list[OfflineCase]:
    """Each scenario for each Kubernetes version that is judged; read once."""
    if _CASES in config.stash:
        return config.stash[_CASES]
    from rbac_matrix.offline import OfflineCase, chosen_versions, stock_cluster  # noqa: PLC0415

    choice = config.getoption("kubernetes_version")
    try:
        versions = chosen_versions(choice)
    except ValueError as error:
        raise RbacMatrixError(f"--kubernetes-version: {error}") from None
    cases = []
    for version in versions:
        try:
            scenarios = read_scenarios(config, stock_cluster(version).discovery)
        except InputError as error:
            if not choice:
                raise
            raise RbacMatrixError(f"{error} (in Kubernetes {version})") from error
        for name, scenario in scenarios.items():
            cases.append(OfflineCase(scenario, version, f"{name}:{version}" if choice else name))
    config.stash[_CASES] = cases
    return cases


def _judged(config: pytest.Config, case: OfflineCase) -> Judged:
    """What the policy says of a case; judged once."""
    from rbac_matrix.offline import judge_offline, stock_cluster  # noqa: PLC0415 - only for `none`

    known = config.stash.setdefault(_JUDGED, {})
    if case not in known:
        known[case] = judge_offline(case.scenario, stock_cluster(case.kubernetes))
    return known[case]


def _run_reports(
    config: pytest.Config, *, every_cell: bool, exit_code: int = 0
) -> Iterator[RunReport]:
    """What the policy alone says, for each Kubernetes version; cells only where one is wrong."""
    judged = config.stash.get(_JUDGED, {})
    if not judged:
        return
    from rbac_matrix.offline import stock_cluster, verdicts_of  # noqa: PLC0415 - only for `none`
    from rbac_matrix.report.run_report import RunReport, peak_memory  # noqa: PLC0415 - the same

    for version in dict.fromkeys(case.kubernetes for case in judged):
        own = [case for case in judged if case.kubernetes == version]
        verdicts: list[Verdict] = []
        if every_cell or any(judged[case].wrong for case in own):
            for case in own:
                verdicts += verdicts_of(judged[case], stock_cluster(version))
        yield RunReport(
            where=f"policy alone, Kubernetes {version}",
            counted=offline_counts(judged[case] for case in own),
            scenarios=tuple(case.scenario for case in own),
            verdicts=verdicts,
            peak_memory=peak_memory(),
            exit_code=exit_code,
        )


def _drifts(config: pytest.Config) -> list[Drift]:
    """What was compared with the accepted access."""
    return config.stash.setdefault(_DRIFTS, [])


def _table(comparison: Comparison, config: pytest.Config) -> str:
    from rbac_matrix.report.changes import since_summary  # noqa: PLC0415 - only with --base

    return since_summary(comparison, repository=repository_of(config))


def _compare_with_base(config: pytest.Config) -> Comparison:
    """What changed, on the newest of the versions that are judged."""
    from rbac_matrix.since import changes_since  # noqa: PLC0415 - only with --base

    cases = config.stash[_CASES]
    newest = [case for case in cases if case.kubernetes == cases[0].kubernetes]
    judged = [_judged(config, case) for case in newest]
    paths = expectation_paths(config)
    return changes_since(config.getoption("base"), judged, paths, cases[0].kubernetes)
