"""What a failed run leaves behind, and a run that pauses, on a real cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.failures.folder import INDEX, NAME, FailureFolder
from rbac_matrix.failures.watch import Watch
from rbac_matrix.gate import Gate
from rbac_matrix.scenario_file import built_in_samples, load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Run
    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster

REPOSITORY: Final = Path(__file__).parents[2]
SCENARIO: Final = "job-robot"
USER: Final = f"system:serviceaccount:default:{SCENARIO}"
PASSWORD: Final = "correct-horse-battery-staple"  # noqa: S105 - it is there to be found
LIST: Final = "/api/v1/namespaces/default/secrets?limit=1"
SECRET: Final = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: keys, namespace: default}}
stringData: {{password: {PASSWORD}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: default}}
data: {{told: "the password is {PASSWORD}"}}
"""


def widened(folder: Path) -> Path:
    """A copy of a scenario whose Role also allows to read Secrets; its expectations."""
    manifests = folder / "manifests" / SCENARIO
    shutil.copytree(REPOSITORY / "manifests" / SCENARIO, manifests)
    role = manifests / "role.yaml"
    text = role.read_text()
    assert text.count("resources: [pods]") == 1, "role.yaml has changed: mend this test"
    role.write_text(text.replace("resources: [pods]", "resources: [pods, secrets]"))
    (manifests / "secret.yaml").write_text(SECRET)
    file = folder / f"{SCENARIO}.yaml"
    told = (REPOSITORY / "tests" / "access" / f"{SCENARIO}.yaml").read_text()
    file.write_text(told.replace("../../manifests", "manifests"))
    return file


def everything_in(folder: Path) -> dict[str, str]:
    """The text of each file, by its path within the folder."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_text() for file in files}


@pytest.fixture(scope="module", name="kept")
def _kept(
    cluster: Cluster, admin: Admin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What is kept of a widened Role, by file; the probes ask what the scenario declares."""
    folder = tmp_path_factory.mktemp("widened")
    scenario = load_scenario(widened(folder), recorded_discovery(), built_in_samples())
    report = FailureFolder(folder / "report")
    seen = Watch(report, None, print, time.time())
    seen.begin(cluster)
    borrowed = dataclasses.replace(cluster, disposable=False)
    wanted = {scenario: list(scenario.expectations)}
    with Gate(borrowed, admin, wanted, print, went_wrong=seen.went_wrong) as gate:
        gate.ask(scenario)
    return everything_in(folder / "report" / NAME)


def test_the_objects_are_kept_as_the_server_had_them(kept: dict[str, str]) -> None:
    """The Role that was too wide is among them, and the scenario's objects are gone by now."""
    found = [*yaml.safe_load_all(kept[f"{SCENARIO}/objects.yaml"])]

    roles = [each for each in found if each["kind"] == "Role"]
    assert [role["rules"][0]["resources"] for role in roles] == [["pods", "secrets"]]
    assert {"Namespace", "ServiceAccount", "RoleBinding", "Secret"} <= {
        each["kind"] for each in found
    }
    assert not any("managedFields" in each["metadata"] for each in found)


def test_no_secret_is_kept(kept: dict[str, str]) -> None:
    """Neither the Secret's value nor a token is in any file; what was put around it is."""
    assert len(kept) == 6
    assert all(PASSWORD not in text and "eyJ" not in text for text in kept.values())
    assert "the password is <redacted>" in kept[f"{SCENARIO}/objects.yaml"]


def test_events_and_logs_are_kept(kept: dict[str, str], cluster: Cluster) -> None:
    """Of the scenario's own time and namespaces; the API server says something in each minute."""
    assert "this run began" in kept[f"{SCENARIO}/events.txt"]
    assert f"the probe of default/{SCENARIO}" in kept[f"{SCENARIO}/probes.log"]
    assert (f"pod default/rbac-matrix-probe-{SCENARIO}" in kept[f"{SCENARIO}/probes.log"]) == (
        cluster.runs_pods
    )
    assert "nothing here" not in kept[f"{SCENARIO}/api-server.log"]


def test_audit_lines_name_the_binding(kept: dict[str, str], cluster: Cluster) -> None:
    """The API server's own record says why it let the request through, for this subject alone."""
    if cluster.audit is None:
        pytest.skip("the API server keeps an audit log only where there is a --report-dir")
    lines = [json.loads(line) for line in kept[f"{SCENARIO}/audit.jsonl"].splitlines()]
    asked = [line for line in lines if "cut" not in line]
    listed = [line for line in asked if line["requestURI"] == LIST]

    assert {line["user"]["username"] for line in asked} == {USER}
    assert {line["responseStatus"]["code"] for line in listed} == {200}
    reason = listed[0]["annotations"]["authorization.k8s.io/reason"]
    assert 'RoleBinding "job-robot/default" of Role "job-robot"' in reason


def test_the_index_says_where_to_look(kept: dict[str, str]) -> None:
    """What is wrong, each file with what it is, and how to ask again."""
    index = kept[INDEX]

    assert "job-robot may not list secrets in default, but could (200)" in index
    for name in ("objects.yaml", "events.txt", "probes.log", "audit.jsonl", "api-server.log"):
        assert f"  {name}" in index
    assert f"kubectl auth can-i list secrets --as={USER} -n default" in index


@pytest.mark.usefixtures("control_plane_programs")
def test_a_paused_run_waits_for_enter_and_ends_with_ctrl_c(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """It waits while the objects are there, goes on with Enter, and is interrupted like any run."""
    terminal, other_end = pty.openpty()
    first, second = widened(tmp_path), tmp_path / "second.yaml"
    second.write_text(first.read_text().replace(f"scenario: {SCENARIO}", "scenario: second"))
    try:
        run = start_run(
            "--cluster=embedded",
            "--pause-on-failure",
            f"--expectations={first}",
            f"--expectations={second}",
            "-k=list:secrets",
            environment={"CI": None},
            stdin=other_end,
        )
        run.wait_for("Enter goes on")
        named = next(line for line in run.output.splitlines() if "export KUBECONFIG=" in line)
        kubeconfig = json.loads(Path(named.partition("=")[2]).read_text())
        roles = asked(kubeconfig, "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles")

        assert [role["metadata"]["name"] for role in roles["items"]] == [SCENARIO]
        os.write(terminal, b"\n")
        run.wait_for(f"{SCENARIO}: ")
        run.wait_for("paused: second went wrong")
        run.wait_for("Enter goes on")
        run.press_ctrl_c()

        assert run.end() == pytest.ExitCode.INTERRUPTED, run.tail
        assert "Traceback" not in run.output
        run.wait_until_gone()
        assert run.left() == []
    finally:
        os.close(terminal)
        os.close(other_end)


def asked(kubeconfig: dict[str, Any], path: str) -> dict[str, Any]:
    """What a cluster answers to whoever uses the kubeconfig that a paused run names."""
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    command = ["curl", "--silent", "--fail", "--cacert", cluster["certificate-authority"]]
    command += ["--cert", user["client-certificate"], "--key", user["client-key"]]
    done = subprocess.run(
        [*command, cluster["server"] + path], capture_output=True, check=True, timeout=30
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document
