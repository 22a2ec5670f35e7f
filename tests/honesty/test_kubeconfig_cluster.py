"""On a cluster that exists already, a run touches nothing that it did not create."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Run
    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster

SCENARIO: Final = Path(__file__).parents[1] / "access" / "job-robot.yaml"
ROLES: Final = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
RESTLESS: Final = frozenset({"events", "leases"})
"""Resources that the control plane itself writes all the time."""


@dataclass(frozen=True)
class Existing:
    """The cluster of this session as somebody who only has its kubeconfig sees it."""

    options: tuple[str, ...]
    environment: dict[str, str]


@pytest.fixture(scope="module", name="existing")
def _existing(cluster: Cluster) -> Existing:
    if cluster.provider != "kind":
        pytest.skip("a cluster to be reached by kubeconfig has to run pods: choose --cluster kind")
    said = subprocess.run(
        [*cluster.kubectl, "config", "view", "-o", "json"], capture_output=True, check=True
    )
    kubeconfig = cluster.kubectl[cluster.kubectl.index("--kubeconfig") + 1]
    return Existing(
        options=(
            "--cluster=kubeconfig",
            f"--kube-context={json.loads(said.stdout)['current-context']}",
            f"--probe-image={cluster.probe_image}",
            f"--expectations={SCENARIO}",
        ),
        environment={"KUBECONFIG": kubeconfig},
    )


def stored(admin: Admin) -> set[tuple[str, str, str, str]]:
    """Every object on the cluster: resource, namespace, name and uid."""
    found = set()
    for resource in admin.discovery().served.values():
        name = resource.name
        if name.subresource or not {"get", "list"} <= resource.verbs or name.plural in RESTLESS:
            continue
        status, body = admin.try_request("GET", f"{resource.root}/{name.plural}")
        for item in body.get("items") or () if status == 200 else ():
            metadata = item["metadata"]
            identity = (metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))
            found.add((str(name), *identity))
    return found


def test_a_cluster_is_never_chosen_by_default(start_run: Callable[..., Run]) -> None:
    """--cluster kubeconfig without a context does not take the current one."""
    run = start_run("--cluster=kubeconfig")

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert "--cluster kubeconfig needs --kube-context NAME" in run.output
    assert "Traceback" not in run.output


def test_a_context_that_does_not_exist_is_named(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """A context that the kubeconfig lacks is one sentence that names it."""
    (tmp_path / "kubectl").touch(mode=0o755)  # looked for on PATH, never run
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {"apiVersion": "v1", "kind": "Config", "contexts": [], "clusters": [], "users": []}
        )
    )
    run = start_run(
        "--cluster=kubeconfig",
        "--kube-context=elsewhere",
        "--probe-image=probe",
        environment={"KUBECONFIG": str(kubeconfig), "PATH": str(tmp_path)},
    )

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert "kubeconfig context elsewhere: " in run.output
    assert str(kubeconfig) in run.output
    assert "Traceback" not in run.output


def test_everything_is_there_afterwards_that_was_there_before(
    existing: Existing,
    admin: Admin,
    labelled: Callable[[], list[str]],
    start_run: Callable[..., Run],
) -> None:
    """A run on an existing cluster passes, and takes away exactly what it brought."""
    before = stored(admin)
    run = start_run(*existing.options, environment=existing.environment)

    assert run.end() == 0, run.tail
    assert "cluster: kubeconfig (as asked)" in run.output
    assert labelled() == []
    assert stored(admin) == before
    assert run.left() == []


def test_an_object_of_somebody_else_is_left_alone(
    existing: Existing,
    admin: Admin,
    labelled: Callable[[], list[str]],
    start_run: Callable[..., Run],
) -> None:
    """A Role that exists without this suite's label ends the run, and stays as it is."""
    theirs = admin.request("POST", ROLES, {"metadata": {"name": "job-robot"}, "rules": []})
    try:
        before = stored(admin)
        run = start_run(*existing.options, environment=existing.environment)

        assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
        assert "Role 'job-robot' exists already and was not created by this suite" in run.output
        assert "Traceback" not in run.output
        assert admin.request("GET", f"{ROLES}/job-robot") == theirs
        assert labelled() == []
        assert stored(admin) == before
    finally:
        admin.request("DELETE", f"{ROLES}/job-robot")


def test_an_interrupted_run_takes_away_what_it_brought(
    existing: Existing,
    admin: Admin,
    labelled: Callable[[], list[str]],
    start_run: Callable[..., Run],
) -> None:
    """Ctrl-C while an existing cluster is asked leaves no object of the run on it."""
    before = stored(admin)
    run = start_run(*existing.options, environment=existing.environment)
    run.wait_for("probes ask as who they should be")
    run.press_ctrl_c()

    assert run.end() == pytest.ExitCode.INTERRUPTED, run.tail
    assert labelled() == []
    assert stored(admin) == before
    run.wait_until_gone()
    assert run.left() == []


def test_the_run_after_a_killed_one_removes_what_it_left(
    existing: Existing,
    admin: Admin,
    labelled: Callable[[], list[str]],
    start_run: Callable[..., Run],
) -> None:
    """What a killed run left on an existing cluster, and its secrets here, go with the next."""
    before = stored(admin)
    killed = start_run(*existing.options, environment=existing.environment)
    killed.wait_for("probes ask as who they should be")
    killed.send(signal.SIGKILL)

    assert killed.end() == -signal.SIGKILL
    killed.wait_until_gone()
    assert labelled() != [], "the next run would have nothing to remove"

    following = start_run(
        *existing.options, temporary=killed.temporary, environment=existing.environment
    )

    assert following.end() == 0, following.tail
    assert "objects that an earlier run left behind" in following.output
    assert labelled() == []
    assert stored(admin) == before
    assert following.left() == []
