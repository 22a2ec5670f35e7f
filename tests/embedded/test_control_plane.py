"""The embedded control plane, really started: what it serves, how it fails, how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rbac_matrix.clusters import control_plane as module
from rbac_matrix.clusters.control_plane import (
    NODE_NAME,
    ControlPlane,
    ControlPlaneError,
    NotReadyError,
    PortTakenError,
    request,
    running_control_plane,
)
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.clusters.process import ProcessDiedError
from rbac_matrix.deadline import poll
from rbac_matrix.programs.find import ControlPlanePrograms, find_control_plane
from rbac_matrix.temporary import PREFIX, remove_stale_folders, write_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30.0
# A run of its own: says where and what it started, and stays until it is told to leave.
RUN = """
import json, signal, sys
from pathlib import Path
from rbac_matrix.clusters.control_plane import running_control_plane
from rbac_matrix.programs.find import ControlPlanePrograms

# A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
programs = ControlPlanePrograms(*map(Path, sys.argv[1:4]))
with running_control_plane(programs, say=lambda line: None, logs=Path(sys.argv[4])) as running:
    pids = [process.popen.pid for process in running._processes]
    folder = str(running.credentials.ca_file.parent.parent)
    print(json.dumps({"pids": pids, "folder": folder}), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(name="programs", scope="module")
def _programs() -> ControlPlanePrograms:
    return find_control_plane(os.environ, say=print)


@pytest.fixture(name="running", scope="module")
def _running(programs: ControlPlanePrograms) -> Iterator[ControlPlane]:
    with running_control_plane(programs, say=print, logs=None) as running:
        yield running


@pytest.fixture(name="folders")
def _folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short temporary folder in the place of the system's, apart from other runs."""
    folder = Path(tempfile.mkdtemp(prefix="rm-"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def write_program(file: Path, script: str) -> Path:
    """Write a shell script in the place of a program."""
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def listening(pids: list[int]) -> set[str]:
    """Local addresses, as the kernel writes them, that processes listen on by TCP."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(descriptor.readlink()))
            except FileNotFoundError:  # closed in the meantime
                continue
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                addresses.add(fields[1])
    return addresses


def ask(credentials: Credentials, method: str, path: str, document: Any = None) -> tuple[int, Any]:  # noqa: ANN401 - any JSON
    """Status and document of an answer."""
    answer = request(credentials, method, path, document)
    return answer.status, json.loads(answer.body)


def test_version_is_the_pinned_one(running: ControlPlane) -> None:
    """The API server says the version that documents and reports name."""
    status, version = ask(running.credentials, "GET", "/version")

    assert (status, version["gitVersion"]) == (200, "v1.36.3")
    assert running.version == "v1.36.3"


def test_requested_token_is_its_service_account(running: ControlPlane, tmp_path: Path) -> None:
    """TokenRequest and SelfSubjectReview agree on who the default ServiceAccount is."""
    status, issued = ask(
        running.credentials,
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    assert status == 201
    token = tmp_path / "token"
    token.write_text(issued["status"]["token"], encoding="ascii")
    credentials = dataclasses.replace(
        running.credentials, client_certificate=None, client_key=None, token_file=token
    )

    status, review = ask(
        credentials,
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    )

    assert status == 201
    assert review["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    status, denial = ask(credentials, "GET", "/api/v1/namespaces/default/pods")
    assert (status, denial["reason"]) == (403, "Forbidden")
    assert 'User "system:serviceaccount:default:default" cannot list' in denial["message"]


def test_anonymous_request_is_forbidden(running: ControlPlane) -> None:
    """Without credentials RBAC answers, as on every cluster."""
    anonymous = Credentials(running.credentials.server, running.credentials.ca_file)

    status, denial = ask(anonymous, "GET", "/api/v1/namespaces/default/pods")

    assert status == 403
    assert 'User "system:anonymous" cannot list' in denial["message"]


def test_view_is_aggregated(running: ControlPlane) -> None:
    """`view` has its rules, which only a controller manager gives it."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"
    _, role = ask(running.credentials, "GET", path)

    assert any("pods" in rule.get("resources", ()) for rule in role["rules"])


def test_deleted_namespace_goes_away(running: ControlPlane) -> None:
    """A namespace gets its ServiceAccount, and ends when it is deleted."""
    path = "/api/v1/namespaces/passing"
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "passing"}}
    assert ask(running.credentials, "POST", "/api/v1/namespaces", document)[0] == 201

    def account() -> str:
        status, _ = ask(running.credentials, "GET", f"{path}/serviceaccounts/default")
        return "" if status == 200 else f"{status}"

    def namespace() -> str:
        status, document = ask(running.credentials, "GET", path)
        return "" if status == 404 else json.dumps(document.get("status"))

    poll("the namespace has its ServiceAccount", account, SECONDS)
    assert ask(running.credentials, "DELETE", path)[0] == 200
    poll("the namespace is gone", namespace, SECONDS)


def test_node_is_registered(running: ControlPlane) -> None:
    """Requests for nodes find one, which takes no pods."""
    status, node = ask(running.credentials, "GET", f"/api/v1/nodes/{NODE_NAME}")

    assert status == 200
    assert {"key": "rbac-matrix/no-kubelet", "effect": "NoSchedule"} in node["spec"]["taints"]


def test_many_questions_at_once_are_not_throttled(running: ControlPlane) -> None:
    """Priority and fairness queues at most; nobody is told to come again later."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}},
    }
    with ThreadPoolExecutor(16) as threads:
        asked = [
            threads.submit(request, running.credentials, "POST", path, review) for _ in range(400)
        ]

    assert {future.result().status for future in asked} == {201}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_only_the_api_server_listens_and_only_on_loopback(running: ControlPlane) -> None:
    """Nobody outside this machine reaches any of it, and no other user reaches etcd."""
    port = int(running.credentials.server.rpartition(":")[2])

    pids = [process.popen.pid for process in running._processes]

    assert listening(pids) == {f"0100007F:{port:04X}"}


def test_secrets_are_private_and_on_no_command_line(running: ControlPlane) -> None:
    """Everything lies in a folder of mode 0700, and command lines have paths only."""
    folder = running.credentials.ca_file.parent.parent

    assert folder.stat().st_mode & 0o777 == 0o700
    for process in running._processes:
        assert "PRIVATE KEY" not in " ".join(map(str, process.popen.args))  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["block-left", "ctrl-c", "killed"])
def test_nothing_is_left(
    programs: ControlPlanePrograms, folders: Path, tmp_path: Path, ending: str
) -> None:
    """However a run ends, its processes end; a killed run's folder goes at the next start."""
    arguments = [str(path) for path in dataclasses.astuple(programs)]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments, str(tmp_path / "logs")],
        env={**os.environ, "TMPDIR": str(folders)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        told = json.loads(run.stdout.readline())
        assert len(told["pids"]) == 3
        assert all(is_alive(pid) for pid in told["pids"])
        assert Path(told["folder"]).parent == folders
        if ending == "block-left":
            run.stdin.write(b"\n")
            run.stdin.flush()
        else:
            run.send_signal(signal.SIGINT if ending == "ctrl-c" else signal.SIGKILL)
        run.wait(SECONDS)

    def alive() -> str:
        return ", ".join(str(pid) for pid in told["pids"] if is_alive(pid))

    poll("the processes end", alive, SECONDS)
    if ending == "killed":
        assert Path(told["folder"]).exists()
        remove_stale_folders()
    else:
        assert {log.name for log in (tmp_path / "logs").iterdir()} == {
            "etcd.log",
            "kube-apiserver.log",
            "kube-controller-manager.log",
        }
    assert list(folders.iterdir()) == []


@pytest.mark.parametrize("name", ["etcd", "kube_apiserver", "kube_controller_manager"])
def test_program_that_ends_at_once_is_named(
    programs: ControlPlanePrograms, folders: Path, tmp_path: Path, name: str
) -> None:
    """The error has the program, its exit code and its last words; everything else is ended."""
    broken = write_program(tmp_path / "broken", "echo it does not work >&2; exit 7")
    programs = dataclasses.replace(programs, **{name: broken})
    shown = name.replace("_", "-")

    with (
        pytest.raises(ProcessDiedError, match=rf"{shown} ended with exit code 7[^$]*not work"),
        running_control_plane(programs, say=print, logs=tmp_path / "logs"),
    ):
        pytest.fail("it started")

    assert list(folders.iterdir()) == []
    assert "it does not work" in (tmp_path / "logs" / f"{shown}.log").read_text(encoding="utf-8")


def test_program_that_dies_later_is_reported(programs: ControlPlanePrograms, folders: Path) -> None:
    """The check tells of a process that was there and is gone."""
    with running_control_plane(programs, say=print, logs=None) as running:
        running.check()
        victim = running._processes[1]
        victim.popen.kill()
        victim.popen.wait(SECONDS)

        with pytest.raises(ProcessDiedError, match="kube-apiserver was killed by SIGKILL"):
            running.check()

    assert list(folders.iterdir()) == []


def test_taken_port_is_exchanged(
    programs: ControlPlanePrograms, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who was faster at the first port does no harm."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], module.free_port()])
        monkeypatch.setattr(module, "free_port", lambda: next(ports))

        with running_control_plane(programs, say=said.append, logs=None) as running:
            running.check()

    assert any(re.search(r"port \d+ was taken in the meantime", line) for line in said)
    assert list(folders.iterdir()) == []


def test_ports_that_are_all_taken_are_reported(
    programs: ControlPlanePrograms, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying other ports has an end, with the port in the message."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(module, "free_port", lambda: port)

        with (
            pytest.raises(
                PortTakenError, match=rf"taken 3 times in a row, lastly 127.0.0.1:{port}"
            ),
            running_control_plane(programs, say=print, logs=None),
        ):
            pytest.fail("it started")

    assert list(folders.iterdir()) == []


def test_deadline_says_what_is_missing(
    programs: ControlPlanePrograms, folders: Path, tmp_path: Path
) -> None:
    """Where no controller manager works, the missing ServiceAccount is named in time."""
    idle = write_program(tmp_path / "idle", "echo idle; sleep 60")
    programs = dataclasses.replace(programs, kube_controller_manager=idle)
    before = time.monotonic()

    with (
        pytest.raises(NotReadyError, match=r"serviceaccounts/default: 404[^$]*log:\n  idle"),
        running_control_plane(programs, say=print, logs=None, deadline=12),
    ):
        pytest.fail("it started")

    assert time.monotonic() - before < 20
    assert list(folders.iterdir()) == []


def test_folder_that_is_too_long_for_a_socket_is_named(
    programs: ControlPlanePrograms, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's limit is met with advice, not with etcd's log."""
    deep = folders / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    with (
        pytest.raises(ControlPlaneError, match="Set TMPDIR to a shorter folder"),
        running_control_plane(programs, say=print, logs=None),
    ):
        pytest.fail("it started")

    assert list(deep.iterdir()) == []


def test_folders_of_living_runs_are_kept(folders: Path) -> None:
    """Only what a dead run left is removed; a run that just begins has not signed yet."""
    living, dead, beginning = (folders / f"{PREFIX}{n}" for n in range(3))
    for folder in (living, dead, beginning):
        folder.mkdir()
    write_owner(living)
    owner = json.loads((living / "owner.json").read_text(encoding="utf-8"))
    # The pid lives, but is another process now: it started at another time.
    owner["started"] = "1"
    (dead / "owner.json").write_text(json.dumps(owner), encoding="utf-8")

    remove_stale_folders()

    assert sorted(folders.iterdir()) == [living, beginning]
