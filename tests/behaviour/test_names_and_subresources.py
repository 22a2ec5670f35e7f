"""Which requests a rule covers that names objects, or subresources."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.casebook import load_casebook

if TYPE_CHECKING:
    from rbac_matrix.admin import Admin
    from rbac_matrix.casebook import Case, Stage
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.workspace import Workspace

COMMAND_DEADLINE: Final = 30  # seconds
BOOK: Final = load_casebook(Path(__file__).with_name("names_and_subresources.yaml"))


@pytest.mark.parametrize("case", BOOK.cases, ids=[case.id for case in BOOK.cases])
def test_names_and_subresources(case: Case, stage: Stage) -> None:
    """The request of the case gets exactly the answer that its rule gives."""
    if problem := stage.problem(case):
        pytest.fail(problem, pytrace=False)


def test_a_command_runs(space: Workspace, cluster: Cluster, admin: Admin) -> None:
    """With get and create on pods/exec a command really runs, and its output comes back."""
    if not space.runs_pods:
        pytest.skip("without a kubelet no container runs a command")
    from kubernetes import client, stream  # noqa: PLC0415 - 0.5 s that collecting does not need

    operator = space.subject("operator")
    verbs = ["get", "create"]
    space.grant(operator, [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}])
    container = {"name": "web", "image": space.image, "imagePullPolicy": "IfNotPresent"}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    space.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec})
    space.wait_for_pod("web")
    space.settle()

    configuration = client.Configuration(host=cluster.admin.server)
    configuration.ssl_ca_cert = str(cluster.admin.ca_file)
    configuration.api_key = {"BearerToken": admin.issue(operator).header}
    running = stream.stream(
        client.CoreV1Api(client.ApiClient(configuration)).connect_get_namespaced_pod_exec,
        "web",
        space.namespace,
        command=["python3", "-c", "print(6 * 7)"],
        stdout=True,
        _preload_content=False,
    )
    # Not its own close(), which leaves the socket open where the server has closed first.
    with contextlib.closing(running.sock.sock):
        running.run_forever(timeout=COMMAND_DEADLINE)
        assert running.read_stdout().strip() == "42"
