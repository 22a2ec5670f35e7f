"""A run that is interrupted or damaged is never green, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.deadline import poll
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.scenario_file import built_in_samples, load_scenario
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Run
    from rbac_matrix.clusters.cluster import Cluster

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="these tests read /proc"),
    pytest.mark.usefixtures("control_plane_programs"),
]

ACCESS: Final = Path(__file__).parents[1] / "access"
FIRST, SECOND = "quick-introduction", "job-robot"
OPTIONS: Final = (
    "--cluster=embedded",
    f"--expectations={ACCESS / FIRST}.yaml",
    f"--expectations={ACCESS / SECOND}.yaml",
)
"""Two scenarios of one subject each, asked in this order: time to act between them."""

INTERRUPTED: Final = 2  # pytest's exit code
KIND_NAME: Final = "interrupted"
KIND_DEADLINE: Final = 300.0  # seconds for a run that makes a kind cluster
MOMENT_DEADLINE: Final = 60.0  # seconds until the run has come to what is waited for
PREPARED: Final = "probes ask as who they should be"
AS_EXPECTED, NOT_ANSWERED = str(Outcome.AS_EXPECTED), str(Outcome.NOT_ANSWERED)


def assert_nothing_is_left(run: Run) -> None:
    """No program of the run is alive, and its temporary folder is empty."""
    run.wait_until_gone()

    assert run.left() == []


def cells(report: Path, scenario: str) -> list[dict[str, Any]]:
    """The records of a scenario in a run's verdicts."""
    document = json.loads((report / "verdicts.json").read_text())
    return [record for record in document["cells"] if record["scenario"] == scenario]


def outcomes(report: Path, scenario: str) -> set[str]:
    """How the cells of a scenario came out, as far as there are verdicts of them."""
    return {record["outcome"] for record in cells(report, scenario)}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("starting etcd", id="while-the-control-plane-starts"),
        pytest.param("is ready at", id="while-probes-start"),
        pytest.param("cells asked", id="between-scenarios"),
    ],
)
def test_ctrl_c_leaves_nothing_behind(moment: str, start_run: Callable[..., Run]) -> None:
    """Ctrl-C ends the run as interrupted, without a process or a file left."""
    run = start_run(*OPTIONS)
    run.wait_for(moment)
    run.press_ctrl_c()

    assert run.end() == INTERRUPTED, run.tail
    assert "Traceback" not in run.output
    assert_nothing_is_left(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_run_that_is_asking_can_be_interrupted(
    number: signal.Signals, start_run: Callable[..., Run]
) -> None:
    """Ctrl-C and the SIGTERM of a cancelled CI job end a run that waits for answers."""
    run = start_run(*OPTIONS)
    run.wait_for(PREPARED)
    run.hold_probe(SECOND)
    run.send(number)

    assert run.end() == INTERRUPTED, run.tail
    assert "Traceback" not in run.output
    assert_nothing_is_left(run)


def test_a_second_ctrl_c_does_not_stop_the_cleaning_up(start_run: Callable[..., Run]) -> None:
    """Whoever presses Ctrl-C again while the first one is obeyed leaves nothing behind either."""
    run = start_run(*OPTIONS)
    run.wait_for(f"{SECOND}: ")
    os.kill(run.process("/kube-apiserver "), signal.SIGSTOP)  # so that ending it takes a while
    run.press_ctrl_c()
    poll("waiting for the probes to be ended", lambda: run.lines_of("agent.py"), MOMENT_DEADLINE)
    run.press_ctrl_c()

    assert run.end() == INTERRUPTED, run.tail
    assert "Traceback" not in run.output
    assert_nothing_is_left(run)


def test_the_run_after_a_killed_one_removes_what_it_left(start_run: Callable[..., Run]) -> None:
    """A killed run takes its programs with it; its files go with the next run, which passes."""
    killed = start_run(*OPTIONS)
    killed.wait_for("cells asked")
    killed.send(signal.SIGKILL)

    assert killed.end() == -signal.SIGKILL
    killed.wait_until_gone()
    assert killed.left() != [], "the next run would have nothing to remove"

    following = start_run(*OPTIONS, temporary=killed.temporary)

    assert following.end() == 0, following.tail
    assert_nothing_is_left(following)


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kube-controller-manager"])
def test_a_dead_control_plane_ends_the_run(
    name: str, start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """When a program of the control plane dies between scenarios, the run ends and names it."""
    run = start_run(*OPTIONS, f"--report-dir={tmp_path}")
    run.wait_for(f"{FIRST}: ")
    os.kill(run.process(f"/{name} "), signal.SIGKILL)

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert f"{name} was killed by SIGKILL" in run.output
    assert "Traceback" not in run.output
    assert AS_EXPECTED not in outcomes(tmp_path, SECOND)
    assert_nothing_is_left(run)


def test_an_api_server_that_dies_while_asked_is_never_a_pass(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """When the API server dies while it is asked, the run names it and the cells do not pass."""
    run = start_run(*OPTIONS, f"--report-dir={tmp_path}")
    run.wait_for(PREPARED)
    agent = run.hold_probe(SECOND)
    os.kill(run.process("/kube-apiserver "), signal.SIGKILL)
    os.kill(agent, signal.SIGCONT)

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert "kube-apiserver was killed by SIGKILL" in run.output
    assert "Traceback" not in run.output
    assert outcomes(tmp_path, FIRST) == {AS_EXPECTED}
    # A review may have been answered before: of a question that nobody requests, it is enough.
    requested = [record for record in cells(tmp_path, SECOND) if record["request"]]
    assert {record["outcome"] for record in requested} == {NOT_ANSWERED}
    assert_nothing_is_left(run)


def test_cells_of_a_dead_probe_are_errors(start_run: Callable[..., Run], tmp_path: Path) -> None:
    """When a probe dies, its unanswered cells are errors that say so, and the others pass."""
    run = start_run(*OPTIONS, f"--report-dir={tmp_path}")
    run.wait_for(PREPARED)
    os.kill(run.hold_probe(SECOND), signal.SIGKILL)

    assert run.end() == pytest.ExitCode.TESTS_FAILED, run.tail
    assert outcomes(tmp_path, FIRST) == {AS_EXPECTED}
    requested = [record for record in cells(tmp_path, SECOND) if record["request"]]
    assert {record["outcome"] for record in requested} == {NOT_ANSWERED}
    assert all("the probe ended with code -9" in record["sentence"] for record in requested)
    scenario = load_scenario(ACCESS / f"{SECOND}.yaml", recorded_discovery(), built_in_samples())
    items = len(scenario.expectations) + len(scenario.rests)
    assert f"{items} errors" in run.output
    assert " failed" not in run.output
    assert_nothing_is_left(run)


@pytest.fixture(name="kind_options")
def _kind_options(cluster: Cluster, pytestconfig: pytest.Config) -> tuple[str, ...]:
    """The options of a run that makes a second kind cluster like this session's."""
    if cluster.provider != "kind":
        pytest.skip(f"--cluster chose {cluster.provider}, not kind")
    image = pytestconfig.getoption("kind_image")
    return (
        "--cluster=kind",
        f"--cluster-name={KIND_NAME}",
        f"--expectations={ACCESS / FIRST}.yaml",
        *([f"--kind-image={image}"] if image else []),
    )


def containers() -> str:
    """The names of the second kind cluster's containers, running or not."""
    label = f"label=io.x-k8s.kind.cluster={KIND_NAME}"
    command = ["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "moment",
    ["Preparing nodes", "Starting control-plane", "cells asked"],
    ids=lambda m: m.split()[0],
)
def test_ctrl_c_leaves_no_container(
    moment: str, kind_options: tuple[str, ...], start_run: Callable[..., Run]
) -> None:
    """Ctrl-C while kind makes a cluster, or while it is asked, removes the cluster."""
    run = start_run(*kind_options)
    run.wait_for(moment, KIND_DEADLINE)
    run.press_ctrl_c()

    assert run.end() == INTERRUPTED, run.tail
    assert containers() == ""
    assert_nothing_is_left(run)


@pytest.mark.parametrize("ending", ["interrupted", "finished"])
def test_ctrl_c_does_not_stop_the_deletion_of_a_kind_cluster(
    ending: str, kind_options: tuple[str, ...], start_run: Callable[..., Run]
) -> None:
    """Ctrl-C while kind deletes the cluster of a run that ends leaves no container either."""
    run = start_run(*kind_options)
    if ending == "interrupted":
        run.wait_for("Starting control-plane", KIND_DEADLINE)
        run.press_ctrl_c()
    else:
        run.wait_for("cells asked", KIND_DEADLINE)
    poll("waiting for the deletion", lambda: run.missing("delete cluster"), MOMENT_DEADLINE)
    run.press_ctrl_c()

    # A run that had all its answers may say so.
    assert run.end() in (0, INTERRUPTED), run.tail
    assert containers() == ""
    assert_nothing_is_left(run)


@pytest.mark.parametrize(
    "moment", ["Starting control-plane", "cells asked"], ids=lambda m: m.split()[0]
)
def test_a_cluster_that_a_killed_run_left_is_no_obstacle(
    moment: str, kind_options: tuple[str, ...], start_run: Callable[..., Run]
) -> None:
    """The run after a killed one passes, whatever state the cluster was left in, and removes it."""
    killed = start_run(*kind_options)
    killed.wait_for(moment, KIND_DEADLINE)
    killed.send_to_group(signal.SIGKILL)

    assert killed.end() == -signal.SIGKILL
    killed.wait_until_gone()
    assert containers() != "", "the next run would have nothing to remove"

    following = start_run(*kind_options, temporary=killed.temporary)

    assert following.end(KIND_DEADLINE) == 0, following.tail
    assert containers() == ""
    assert_nothing_is_left(following)
