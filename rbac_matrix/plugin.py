"""The pytest side: options, fixtures, and failures that read as sentences.

Collecting needs no cluster. The cluster starts with the first test that asks for a verdict.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import warnings
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from _pytest.compat import NOTSET

from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.failures.run import wants_audit, watch
from rbac_matrix.progress import Stage
from rbac_matrix.report.failure import SentenceRepr
from rbac_matrix.report.junit import cell_properties, rest_properties
from rbac_matrix.report.output import (
    add_output_options,
    annotate,
    live_line,
    printer,
    show,
    uncaptured,
    write_summaries,
)
from rbac_matrix.report.terminal import counts, rest_failure
from rbac_matrix.scenario import built_in_samples, expectation_files, load_scenario
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_kind import KindCluster

    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Cell, Rest
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.discovery import Discovery
    from rbac_matrix.gate import Gate
    from rbac_matrix.measured import Measured
    from rbac_matrix.report.run_report import RunReport
    from rbac_matrix.scenario import Scenario
    from rbac_matrix.verdict import Verdict

pytest_plugins = ["rbac_matrix.offline_plugin", "rbac_matrix.failures.plugin"]

PROVIDERS: Final = ("auto", "kind", "kubeconfig", "embedded", "none")
PROBE_BASE_VARIABLE: Final = "RBAC_MATRIX_PROBE_BASE"
STORY_BASE_VARIABLE: Final = "RBAC_MATRIX_STORY_BASE"

_SCENARIOS: Final = pytest.StashKey[dict[str, "Scenario"]]()
_GATE: Final = pytest.StashKey["Gate"]()
_REPORTED: Final = pytest.StashKey[tuple[str, str]]()
_MEASURED: Final = pytest.StashKey["Measured"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that choose the cluster, the scenarios and the report."""
    group = parser.getgroup("rbac-matrix", "access of Kubernetes ServiceAccounts")
    group.addoption(
        "--cluster",
        choices=PROVIDERS,
        default="auto",
        help="where to ask: kind, an existing cluster (kubeconfig), local processes (embedded), "
        "auto: kind where a container engine answers and has a node image, else embedded; or none: "
        "judge the manifests alone",
    )
    group.addoption(
        "--kube-context", default="", metavar="NAME", help="the context of --cluster kubeconfig"
    )
    group.addoption(
        "--kind-config",
        metavar="FILE",
        help="kind's configuration; by default manifests/cluster/kind.yaml, or "
        "kind-restricted.yaml on a host with cgroup v1 or missing capabilities",
    )
    group.addoption(
        "--probe-image",
        default="",
        metavar="IMAGE",
        help="the image of probe pods; by default kind builds it from images/probe, starting from "
        f"the image that the environment variable {PROBE_BASE_VARIABLE} names, if any",
    )
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


def pytest_configure(config: pytest.Config) -> None:
    """Treat SIGTERM as Ctrl-C, so that a cancelled CI job cleans up too."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)
        config.add_cleanup(functools.partial(_restore, signal.SIGTERM, before))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item a declared cell, and one for the rest of each subject's cells in each scope."""
    wanted = {"cell", "rest"} & set(metafunc.fixturenames)
    if not wanted:
        return
    params: dict[str, list[Any]] = {"cell": [], "rest": []}
    if metafunc.config.getoption("cluster") != "none":
        try:
            scenarios = _scenarios(metafunc.config).values()
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
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """What an interrupt leaves half done is no failure, which pytest would make of it."""
    warnings.filterwarnings("ignore", category=pytest.PytestUnraisableExceptionWarning)
    # An interrupt may come at an instruction that stands for no line of the source (the end of a
    # `with` block); pytest cannot show such an entry and would end with an error of its own.
    numbered = excinfo.traceback.filter(lambda entry: entry._rawentry.tb_lineno is not None)  # noqa: SLF001 - no public way
    excinfo.traceback = numbered


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The fixtures of the session end with the last test."""
    if nextitem is None:
        _finish_undisturbed(item.config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report before the fixtures end."""
    _finish_undisturbed(session.config)
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
def kind_cluster(request: pytest.FixtureRequest) -> Iterator[KindCluster]:
    """A kind cluster that takes pods; overrides pytest-kind's fixture and keeps its options."""
    from rbac_matrix.clusters.choose import choose_kind_config  # noqa: PLC0415 - see _running
    from rbac_matrix.clusters.kind import (  # noqa: PLC0415 - only where kind runs
        KindSettings,
        check_kind_version,
        find_program,
        running_kind_cluster,
    )

    config, say = request.config, printer(request.config)
    report = config.getoption("report_dir")
    with _ends_run_on_error(), ExitStack() as stack:
        file, restriction = choose_kind_config(
            config.getoption("kind_config"), _cluster_folder(config)
        )
        if restriction:
            say(f"kind uses the restricted configuration {file.name}: this host has {restriction}")
        kind = find_program("kind", "--kind-bin", config.getoption("kind_bin"))
        check_kind_version(kind)
        kubeconfig = config.getoption("kubeconfig")
        settings = KindSettings(
            name=config.getoption("cluster_name"),
            keep=config.getoption("keep_cluster"),
            image=config.getoption("kind_image") or "",
            config=file,
            kind=kind,
            kubectl=find_program(
                "kubectl", "--kind-kubectl-bin", config.getoption("kind_kubectl_bin")
            ),
            kubeconfig=Path(kubeconfig) if kubeconfig else None,
            logs=Path(report) / "kind-logs" if report else None,
            failed=lambda: bool(request.session.testsfailed),
            audited=wants_audit(config),
        )
        # kind shows its own progress, and why it fails.
        with live_line(config).out_of_the_way(), uncaptured(config):
            running = stack.enter_context(running_kind_cluster(settings, say))
        yield running


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster that `--cluster` chooses, running."""
    with _ends_run_on_error(), ExitStack() as stack:
        config, say = request.config, printer(request.config)
        from rbac_matrix.clusters.choose import choose_provider  # noqa: PLC0415 - see _running

        with live_line(config).during(Stage.CLUSTER):
            choice = choose_provider(
                config.getoption("cluster"),
                config.getoption("kind_bin"),
                config.getoption("kind_kubectl_bin"),
                _node_image(config),
            )
            say(f"cluster: {choice.provider} ({choice.reason})")
            running = stack.enter_context(_running(choice.provider, request, say))
            watch(config).begin(running)
        yield running


@pytest.fixture(scope="session")
def scenarios(request: pytest.FixtureRequest) -> list[Scenario]:
    """Every scenario that `--expectations` names."""
    return list(_scenarios(request.config).values())


@pytest.fixture(scope="session")
def admin(cluster: Cluster) -> Admin:
    """A client with the cluster admin's credentials."""
    from rbac_matrix.admin import Admin  # noqa: PLC0415 - see there

    return Admin(cluster.admin)


@pytest.fixture(scope="session")
def story_image(kind_cluster: KindCluster, request: pytest.FixtureRequest) -> str:
    """The image of stories' pods, on kind's node under the name that their manifests give."""
    from rbac_matrix.clusters.kind import load_image  # noqa: PLC0415 - only where kind runs
    from rbac_matrix.stories.image import STORY_IMAGE, story_recipe  # noqa: PLC0415 - the same

    recipe = story_recipe(os.environ.get(STORY_BASE_VARIABLE, ""), _node_image(request.config))
    with _ends_run_on_error():
        return load_image(kind_cluster, recipe, printer(request.config), alias=STORY_IMAGE)


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

    scenarios = _scenarios(request.config)
    wanted: dict[Scenario, list[Cell | Rest]] = {}
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        each: Cell | Rest | None = params.get("cell", params.get("rest"))
        if each is not None:
            wanted.setdefault(scenarios[each.scenario], []).append(each)
    with _ends_run_on_error(), ExitStack() as stack:
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
    scenario = _scenarios(request.config)[cell.scenario]
    with _ends_run_on_error():
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
    scenario = _scenarios(request.config)[rest.scenario]
    with _ends_run_on_error():
        gate.ask(scenario)
    verdicts = gate.rests[rest]
    request.node.user_properties += rest_properties(verdicts)
    wrong = [verdict for verdict in verdicts if not verdict.as_expected]
    if wrong and all(verdict.outcome is Outcome.NOT_ANSWERED for verdict in wrong):
        raise NotAnsweredError(wrong[0])
    return verdicts


@contextmanager
def _running(
    provider: str, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> Iterator[Cluster]:
    """The providers behind their one interface; each is imported only where it is used."""
    config = request.config
    probe_image = config.getoption("probe_image")
    if provider == "kind":
        from rbac_matrix.clusters import kind  # noqa: PLC0415 - see above
        from rbac_matrix.clusters.images import probe_recipe  # noqa: PLC0415 - see above

        running: KindCluster = request.getfixturevalue("kind_cluster")
        recipe = probe_recipe(os.environ.get(PROBE_BASE_VARIABLE, ""))
        image = kind.load_image(running, probe_image or recipe, say)
        with kind.as_cluster(
            running,
            keep=config.getoption("keep_cluster"),
            probe_image=image,
            audited=wants_audit(config),
        ) as cluster:
            yield cluster
    elif provider == "kubeconfig":
        from rbac_matrix.clusters.kubeconfig import existing_cluster  # noqa: PLC0415 - see above

        with existing_cluster(config.getoption("kube_context"), probe_image) as cluster:
            yield cluster
    else:
        from rbac_matrix.clusters.embedded import embedded_cluster  # noqa: PLC0415 - see above

        report = config.getoption("report_dir")
        logs = Path(report) if report else None
        with embedded_cluster(say, logs, audited=wants_audit(config)) as cluster:
            yield cluster


@contextmanager
def _ends_run_on_error() -> Iterator[None]:
    """Without a cluster there is nothing to test: one sentence, not one a test."""
    try:
        yield
    except RbacMatrixError as error:
        pytest.exit(f"{error}", returncode=pytest.ExitCode.INTERNAL_ERROR)


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
            scenarios=tuple(_scenarios(config).values()),
            verdicts=verdicts,
            times=progress.times,
            answers=progress.answers,
            peak_memory=peak_memory(),
            exit_code=exit_code,
        )
    ]


def _scenarios(config: pytest.Config) -> dict[str, Scenario]:
    """The scenarios of this run by name, read once."""
    if _SCENARIOS not in config.stash:
        config.stash[_SCENARIOS] = read_scenarios(config, recorded_discovery())
    return config.stash[_SCENARIOS]


def read_scenarios(config: pytest.Config, discovery: Discovery) -> dict[str, Scenario]:
    """The scenarios of the expectations files, by name, with what a cluster serves."""
    samples = built_in_samples()
    found: dict[str, Scenario] = {}
    for file in _expectation_files(config):
        scenario = load_scenario(file, discovery, samples)
        if scenario.name in found:
            raise RbacMatrixError(
                f"two scenarios are named {scenario.name!r}: {found[scenario.name].file} and {file}"
            )
        found[scenario.name] = scenario
    return found


def expectation_paths(config: pytest.Config) -> list[Path]:
    """The files and folders that `--expectations` names, or `tests/access`."""
    named = config.getoption("expectations") or [config.rootpath / "tests" / "access"]
    return [Path(text).absolute() for text in named]


def _expectation_files(config: pytest.Config) -> list[Path]:
    files: list[Path] = []
    for path in expectation_paths(config):
        if not path.exists():
            raise RbacMatrixError(f"{path} does not exist (--expectations)")
        files += expectation_files(path)
    if not files:
        raise RbacMatrixError("there is no expectations file: nothing would be asked")
    return files


def _cluster_folder(config: pytest.Config) -> Path:
    return config.rootpath / "manifests" / "cluster"


def _node_image(config: pytest.Config) -> str:
    from rbac_matrix.clusters.kind import node_image  # noqa: PLC0415 - only where kind may run

    chosen = config.getoption("kind_config")
    file = Path(chosen) if chosen else _cluster_folder(config) / "kind.yaml"
    return node_image(config.getoption("kind_image"), file) if file.is_file() else ""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _finish_undisturbed(config: pytest.Config) -> None:
    """From here on the cluster is taken down; another Ctrl-C would leave a part of it behind."""
    if threading.current_thread() is not threading.main_thread():
        return

    def hold_on(*_: object) -> None:
        os.write(2, b"\ncleaning up; every step of it has a deadline\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.signal(number, hold_on)
        config.add_cleanup(functools.partial(_restore, number, before))


def _restore(number: int, handler: Any) -> None:  # noqa: ANN401 - signal's own type has no name
    signal.signal(number, handler)
