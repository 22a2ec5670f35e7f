"""What cannot be asked as its author meant it is one sentence, and nothing is applied for it."""

from __future__ import annotations

import dataclasses
import shutil
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.admin import Admin
from rbac_matrix.cell import ResourceName
from rbac_matrix.discovery import Discovery, ServedResource, recorded_discovery
from rbac_matrix.errors import InputError, Position
from rbac_matrix.gate import Gate
from rbac_matrix.objects import LABEL, ObjectsError
from rbac_matrix.scenario_file import built_in_samples, load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from conftest import Run
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.clusters.credentials import Credentials
    from rbac_matrix.scenario import Scenario

ROLE: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mistaken, namespace: default}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get]}
"""
BINDING: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mistaken, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mistaken}
subjects: [{kind: ServiceAccount, name: mistaken, namespace: default}]
"""
ACCOUNT: Final = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: mistaken, namespace: default}
"""
EXPECTATIONS: Final = """\
scenario: NAME
title: A scenario with a mistake
manifests: NAME
ask:
  namespaces: [default, bystander]
  resources:
    - pods
subjects:
  - serviceAccount: mistaken
    namespace: default
    allow:
      - verbs: {get: 200}
        resources: [pods]
        namespaces: [default]
        why: Role mistaken grants get on pods.
"""


def scenario_file(
    folder: Path, name: str, changes: Mapping[str, str] | None = None, **manifests: str
) -> Path:
    """Write a scenario; `changes` replaces texts of its expectations, `manifests` whole files."""
    (folder / name).mkdir()
    files = {"account": ACCOUNT, "binding": BINDING, "role": ROLE, **manifests}
    for stem, text in files.items():
        (folder / name / f"{stem}.yaml").write_text(text)
    expectations = EXPECTATIONS.replace("NAME", name)
    for before, after in (changes or {}).items():
        assert expectations.count(before) == 1

        expectations = expectations.replace(before, after)
    file = folder / f"{name}.yaml"
    file.write_text(expectations)
    return file


def loaded(file: Path, discovery: Discovery | None = None) -> Scenario:
    """The scenario of a file."""
    return load_scenario(file, discovery or recorded_discovery(), built_in_samples())


class NotingAdmin(Admin):
    """The admin, noting every request that could change something."""

    def __init__(self, credentials: Credentials) -> None:
        """Begin with none."""
        super().__init__(credentials)
        self.writes: list[str] = []

    def try_request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - passed on as they are
    ) -> tuple[int, dict[str, Any]]:
        """Send it."""
        if method != "GET":
            self.writes.append(f"{method} {path}")
        return super().try_request(method, path, body, **options)


class Asked:
    """Asks scenarios on the running cluster as on one that has to be left as it was."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is asked yet."""
        self._cluster = dataclasses.replace(cluster, disposable=False)
        self.admin = NotingAdmin(cluster.admin)

    def __call__(self, *scenarios: Scenario) -> Gate:
        """Ask every cell; the gate with its verdicts."""
        wanted = {scenario: list(scenario.expectations) for scenario in scenarios}
        with Gate(self._cluster, self.admin, wanted, print) as self.gate:
            for scenario in scenarios:
                self.gate.ask(scenario)
        return self.gate


@pytest.fixture(name="ask")
def _ask(cluster: Cluster) -> Asked:
    return Asked(cluster)


def test_a_resource_that_only_the_recording_knows_is_refused(
    ask: Asked, labelled: Callable[[], list[str]], tmp_path: Path
) -> None:
    """A resource that the running cluster does not serve is an error at the line that asks it."""
    gadgets = ServedResource(
        ResourceName("example.com", "gadgets"),
        "v1",
        "Gadget",
        namespaced=True,
        verbs=frozenset({"get"}),
    )
    recorded = recorded_discovery().with_resources([gadgets])
    file = scenario_file(
        tmp_path, "unserved", {"    - pods": "    - pods\n    - gadgets.example.com"}
    )

    with pytest.raises(
        InputError, match=r"on this cluster no resource 'gadgets\.example\.com' is served"
    ) as e:
        ask(loaded(file, recorded))

    assert e.value.at == Position(file, 8)
    assert ask.admin.writes == []
    assert labelled() == []


def test_a_binding_to_a_role_of_nowhere_is_refused(
    ask: Asked, labelled: Callable[[], list[str]], tmp_path: Path
) -> None:
    """A ClusterRole that neither a manifest nor the cluster defines is an error at its binding."""
    text = BINDING.replace("kind: Role,", "kind: ClusterRole,").replace(
        "name: mistaken}\nsub", "name: vieww}\nsub"
    )
    file = scenario_file(tmp_path, "unbound", binding=text)

    with pytest.raises(InputError, match="refers to ClusterRole 'vieww', which neither") as e:
        ask(loaded(file))

    assert e.value.at == Position(tmp_path / "unbound" / "binding.yaml", 1)
    assert ask.admin.writes == []
    assert labelled() == []


def test_scenarios_that_disagree_about_a_shared_object_are_refused(
    ask: Asked, labelled: Callable[[], list[str]], tmp_path: Path
) -> None:
    """Two scenarios may share a ServiceAccount only if they write it alike."""
    one = scenario_file(tmp_path, "one")
    other = scenario_file(
        tmp_path, "other", account=f"{ACCOUNT}automountServiceAccountToken: false\n"
    )

    with pytest.raises(InputError, match="ServiceAccount default/mistaken differs from") as e:
        ask(loaded(one), loaded(other))

    assert e.value.at == Position(tmp_path / "other" / "account.yaml", 1)
    assert ask.admin.writes == []
    assert labelled() == []


def test_a_selector_that_selects_nothing_is_an_error(
    ask: Asked, labelled: Callable[[], list[str]], tmp_path: Path
) -> None:
    """An allowed request whose selector matches no object is an error, and nothing has a verdict.

    A scenario may create what it selects, so this shows once its objects are applied.
    """
    changes = {"        why: Role": "        select: app=nowhere\n        why: Role"}
    file = scenario_file(tmp_path, "unselected", changes)

    with pytest.raises(InputError, match="no such object with the labels 'app=nowhere'") as e:
        ask(loaded(file))

    assert e.value.at == Position(file, 12)
    assert ask.gate.verdicts == {}
    assert labelled() == []


def test_an_object_of_somebody_else_is_not_overwritten(
    ask: Asked, admin: Admin, labelled: Callable[[], list[str]], tmp_path: Path
) -> None:
    """An object that exists without this suite's label ends the run and stays as it is."""
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    body = {"metadata": {"name": "mistaken"}, "rules": []}
    theirs = admin.request("POST", roles, body)
    try:
        file = scenario_file(tmp_path, "conflict")
        with pytest.raises(ObjectsError, match="Role 'mistaken' exists already") as e:
            ask(loaded(file))

        assert f"{tmp_path}/conflict/role.yaml:1: " in str(e.value)
        assert f"no label {LABEL}=" in str(e.value)
        assert admin.request("GET", f"{roles}/mistaken") == theirs
        assert labelled() == []
    finally:
        admin.request("DELETE", f"{roles}/mistaken")


def test_a_mistake_in_a_file_ends_the_run_before_a_cluster_is_started(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """A misspelt resource is told with file and line at once; no cluster is started for it."""
    file = scenario_file(tmp_path, "misspelt", {"    - pods": "    - pod"})
    run = start_run("--cluster=embedded", f"--expectations={file}")

    assert run.end() == pytest.ExitCode.INTERRUPTED, run.tail
    assert f"{file}:7: no resource 'pod' is served" in run.output
    assert "did you mean pods?" in run.output
    assert "cluster: " not in run.output


@pytest.fixture(name="closed_port")
def _closed_port() -> Iterator[str]:
    """The address of a port that is taken, so that nobody else gets it, and does not listen."""
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{holder.getsockname()[1]}"


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not on PATH")
def test_kind_without_an_engine_says_the_way_out(
    closed_port: str, start_run: Callable[..., Run]
) -> None:
    """--cluster kind ends at once where docker finds no engine, and names the alternative."""
    run = start_run("--cluster=kind", environment={"DOCKER_HOST": closed_port})

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert "--cluster kind cannot run here: docker does not answer (" in run.output
    assert "`--cluster embedded` needs no container engine" in run.output
    assert "Traceback" not in run.output


def test_kind_without_docker_says_the_way_out(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """--cluster kind ends at once where there is no docker, and names the alternative."""
    run = start_run("--cluster=kind", environment={"PATH": str(tmp_path)})

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert "--cluster kind cannot run here: docker is not on PATH" in run.output
    assert "`--cluster embedded` needs no container engine" in run.output
    assert "Traceback" not in run.output


def test_embedded_without_programs_says_the_ways_out(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """Without a cache, a download and Go, --cluster embedded ends with what was tried."""
    environment = {
        "RBAC_MATRIX_CACHE": str(tmp_path / "cache"),
        "RBAC_MATRIX_NO_DOWNLOAD": "1",
        "PATH": str(tmp_path),
        "KUBEBUILDER_ASSETS": None,
        "TEST_ASSET_ETCD": None,
        "TEST_ASSET_KUBE_APISERVER": None,
        "TEST_ASSET_KUBE_CONTROLLER_MANAGER": None,
    }
    run = start_run("--cluster=embedded", environment=environment)

    assert run.end() == pytest.ExitCode.INTERNAL_ERROR, run.tail
    assert "no etcd for the embedded control plane" in run.output
    for way in ("1. set KUBEBUILDER_ASSETS to", "2. a network that reaches", "3. Go >= 1.26 on"):
        assert way in run.output
    assert "Traceback" not in run.output


@pytest.mark.usefixtures("control_plane_programs")
def test_auto_says_first_what_it_chose_and_why(
    start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """The first line of a run on a host without an engine says embedded, and why not kind."""
    run = start_run("--cluster=auto", environment={"PATH": str(tmp_path)})
    run.wait_for("starting etcd")

    first, *_ = run.output.splitlines()
    assert first == "cluster: embedded (kind cannot run here: docker is not on PATH)"
