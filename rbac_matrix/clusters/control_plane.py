"""A real Kubernetes control plane as three local processes: no root, no containers, no nodes.

etcd listens on a socket file in the control plane's own folder, which only this user can enter;
kube-controller-manager listens nowhere. The API server's port on 127.0.0.1 is the only one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rbac_matrix.clusters.audit import POLICY_FILE, AuditLog, audit_flags
from rbac_matrix.clusters.certificates import Certificates, write_certificates
from rbac_matrix.clusters.credentials import Credentials
from rbac_matrix.clusters.process import Process, ProcessDiedError, end_all, log_tail, start
from rbac_matrix.deadline import DeadlineError, poll
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.interrupts import interrupts_wait
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.programs.find import ControlPlanePrograms

PORT_ATTEMPTS = 3
REQUEST_SECONDS = 10.0
# While waiting, a port that somebody else has may take connections and never answer.
POLLED_REQUEST_SECONDS = 2.0
# Nothing is worth saving, and an API server whose etcd ended first waits for it for minutes.
END_PATIENCE_SECONDS = 0.5
# sun_path of a socket address; macOS has 104.
LONGEST_SOCKET_PATH = 103
# Announced as the address of the `kubernetes` Service, as on every cluster. Loopback addresses
# are refused there; this one is reserved for documentation (RFC 5737), so nothing can be reached.
ADVERTISED_ADDRESS = "192.0.2.1"
NODE_NAME = "embedded"
API_SERVER = "kube-apiserver"


class ControlPlaneError(RbacMatrixError):
    """The control plane did not start."""


class NotReadyError(ControlPlaneError):
    """The control plane runs, but was not ready within its deadline."""


class PortTakenError(ControlPlaneError):
    """Every port that was tried had been taken by another program in the meantime."""


class RequestRefusedError(ControlPlaneError):
    """The API server did not do what a start needs."""


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that was ready.

    Attributes:
        credentials: The administrator's way in (group `system:masters`).
        version: What the API server says it is, for example `v1.36.3`.
        signing_key: PEM file of the private key that signs ServiceAccount tokens.
        server_log: What the API server writes to its standard streams.
        audit: Its audit log; None where it has none.
    """

    credentials: Credentials
    version: str
    signing_key: Path
    server_log: Path
    audit: AuditLog | None
    _processes: tuple[Process, ...]

    def check(self) -> None:
        """Raise if one of the processes has died.

        Raises:
            ProcessDiedError: With its name, exit code and the last lines of its log.
        """
        for process in self._processes:
            process.check()

    def command_lines(self) -> dict[str, tuple[str, ...]]:
        """What each program runs with, by its name: `kube-apiserver` and its flags."""
        return {process.name: process.command_line() for process in self._processes}


@contextlib.contextmanager
def running_control_plane(
    programs: ControlPlanePrograms,
    *,
    say: Callable[[str], None],
    logs: Path | None,
    audited: bool = False,
    deadline: float = 60.0,
) -> Iterator[ControlPlane]:
    """Run etcd, kube-apiserver and kube-controller-manager until the block is left.

    However the block is left, the processes are ended and their folder is removed. When this
    process is killed, Linux kills them too, and the next call removes the folder. Call it from a
    thread that lives as long as the block (the main thread, in pytest).

    Args:
        programs: The three programs.
        say: Takes one line of progress.
        logs: A folder that gets a copy of each program's log at the end, whatever happened.
        audited: Keep an audit log.
        deadline: Seconds until the control plane has to be ready.

    Yields:
        How to reach it, and a check that it still runs.

    Raises:
        ProcessDiedError: A program ended during the start.
        PortTakenError: Free ports were taken by others before the API server had them.
        NotReadyError: The deadline passed.
        RequestRefusedError: The node could not be registered.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("control-plane"))
        if logs is not None:
            stack.callback(_copy_logs, folder, logs)
        certificates = write_certificates(folder / "pki")
        audit = AuditLog(str(folder / "audit")) if audited else None
        processes: list[Process] = []
        stack.callback(end_all, processes, patience=END_PATIENCE_SECONDS)
        say("starting etcd, kube-apiserver and kube-controller-manager")
        credentials = _start_and_wait(
            programs,
            folder,
            certificates,
            processes,
            audit=audit,
            until=started + deadline,
            say=say,
        )
        register_node(credentials)
        version = json.loads(request(credentials, "GET", "/version").body)["gitVersion"]
        seconds = time.monotonic() - started
        say(f"Kubernetes {version} is ready at {credentials.server} after {seconds:.1f} s")
        yield ControlPlane(
            credentials=credentials,
            version=version,
            signing_key=certificates.service_accounts.key,
            server_log=folder / f"{API_SERVER}.log",
            audit=audit,
            _processes=tuple(processes),
        )


def register_node(credentials: Credentials) -> None:
    """Create a Node without a kubelet, so that requests for nodes have an object to find.

    Its taint keeps pods away, should a scheduler ever come.

    Raises:
        RequestRefusedError: The API server did not create it.
    """
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME}},
        "spec": {"taints": [{"key": "rbac-matrix/no-kubelet", "effect": "NoSchedule"}]},
    }
    answer = request(credentials, "POST", "/api/v1/nodes", node)
    if answer.status != http.HTTPStatus.CREATED:
        raise RequestRefusedError(
            f"the API server did not create Node {NODE_NAME}: {answer.status} {answer.body}"
        )


@dataclass(frozen=True)
class Answer:
    """Status and body of one HTTP answer."""

    status: int
    body: str


def request(
    credentials: Credentials,
    method: str,
    path: str,
    document: dict[str, Any] | None = None,
    *,
    seconds: float = REQUEST_SECONDS,
) -> Answer:
    """Ask the API server one thing on a connection of its own.

    Args:
        credentials: Where, and as whom; without a certificate or token, as anonymous.
        method: HTTP method.
        path: With its leading slash.
        document: A JSON body.
        seconds: How long each step of the exchange may take.

    Raises:
        OSError: Nobody listens, or not the server of these credentials.
        http.client.HTTPException: What came back is not HTTP.
    """
    context = ssl.create_default_context(cafile=credentials.ca_file)
    if credentials.client_certificate is not None:
        context.load_cert_chain(credentials.client_certificate, credentials.client_key)
    server = urlsplit(credentials.server)
    connection = http.client.HTTPSConnection(
        server.hostname or "", server.port, timeout=seconds, context=context
    )
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        if credentials.token_file is not None:
            token = credentials.token_file.read_text(encoding="ascii").strip()
            headers["Authorization"] = f"Bearer {token}"
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _start_and_wait(  # noqa: PLR0913 - the parts of one start
    programs: ControlPlanePrograms,
    folder: Path,
    certificates: Certificates,
    processes: list[Process],
    *,
    audit: AuditLog | None,
    until: float,
    say: Callable[[str], None],
) -> Credentials:
    """Start on a free port; on another one if somebody was faster there."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = free_port()
        credentials = Credentials(
            server=f"https://127.0.0.1:{port}",
            ca_file=certificates.authority,
            client_certificate=certificates.admin.certificate,
            client_key=certificates.admin.key,
        )
        try:
            for name, command in _commands(programs, folder, certificates, port, audit):
                with interrupts_wait() as interrupts:  # until it is noted that it has to be ended
                    processes.append(
                        start(
                            name,
                            command,
                            log=folder / f"{name}.log",
                            folder=folder,
                            # Not the caller's: ETCD_* variables would configure etcd.
                            environment={"HOME": str(folder), "TMPDIR": str(folder)},
                        )
                    )
                if interrupts:
                    raise KeyboardInterrupt
            _wait_until_ready(credentials, processes, until)
        except ProcessDiedError as error:
            if "address already in use" not in error.log_tail:
                raise
            if attempt == PORT_ATTEMPTS:
                raise PortTakenError(
                    f"kube-apiserver found its port taken {attempt} times in a row, "
                    f"lastly 127.0.0.1:{port}. Another program takes ports faster than they can "
                    f"be used; try again when it is done.\n{error}"
                ) from error
            say(f"port {port} was taken in the meantime, trying another one")
            end_all(processes, patience=END_PATIENCE_SECONDS)
            processes.clear()
            shutil.rmtree(folder / "etcd", ignore_errors=True)
            for log in folder.glob("*.log"):
                log.unlink()
        else:
            return credentials
    raise AssertionError  # the last attempt returned or raised


def _commands(
    programs: ControlPlanePrograms,
    folder: Path,
    certificates: Certificates,
    port: int,
    audit: AuditLog | None,
) -> Iterator[tuple[str, Sequence[str]]]:
    """Each program's name and command line, in the order of starting; paths only, no secrets."""
    etcd_socket = folder / "etcd.sock"
    if len(os.fsencode(etcd_socket)) > LONGEST_SOCKET_PATH:
        raise ControlPlaneError(
            f"{etcd_socket} is longer than the {LONGEST_SOCKET_PATH} bytes that a socket's path "
            "may have. Set TMPDIR to a shorter folder."
        )
    yield (
        "etcd",
        [
            str(programs.etcd),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=unix://{etcd_socket}",
            f"--listen-peer-urls=unix://{folder / 'peer.sock'}",
            # Asked for by etcd, used by nobody: there is one member, and its client has the socket.
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--unsafe-no-fsync=true",
        ],
    )
    tokens = certificates.service_accounts
    auditing = audit_flags(POLICY_FILE, audit) if audit else {}
    yield (
        API_SERVER,
        [
            str(programs.kube_apiserver),
            f"--etcd-servers=unix://{etcd_socket}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--advertise-address={ADVERTISED_ADDRESS}",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--cert-dir={folder / 'pki'}",
            f"--tls-cert-file={certificates.server.certificate}",
            f"--tls-private-key-file={certificates.server.key}",
            f"--client-ca-file={certificates.authority}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={tokens.certificate}",
            f"--service-account-signing-key-file={tokens.key}",
            # As kubeadm, and therefore kind, sets them.
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # Priority and fairness stays on, with room for every question at once.
            "--max-requests-inflight=3000",
            "--max-mutating-requests-inflight=1000",
            "--profiling=false",
            *(f"--{name}={value}" for name, value in auditing.items()),
        ],
    )
    kubeconfig = folder / "kube-controller-manager.kubeconfig"
    _write_kubeconfig(kubeconfig, certificates, port)
    yield (
        "kube-controller-manager",
        [
            str(programs.kube_controller_manager),
            f"--kubeconfig={kubeconfig}",
            f"--root-ca-file={certificates.authority}",
            f"--service-account-private-key-file={tokens.key}",
            "--use-service-account-credentials=true",
            # There is no kubelet whose silence the node lifecycle could judge.
            "--controllers=*,-node-lifecycle-controller",
            "--leader-elect=false",
            # Each controller fetches its own token first: at the default rate that takes 5 s.
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
            "--secure-port=0",
            "--profiling=false",
        ],
    )


def _write_kubeconfig(file: Path, certificates: Certificates, port: int) -> None:
    client = certificates.controller_manager
    credentials = Credentials(
        server=f"https://127.0.0.1:{port}",
        ca_file=certificates.authority,
        client_certificate=client.certificate,
        client_key=client.key,
    )
    file.write_text(json.dumps(credentials.kubeconfig("embedded")), encoding="utf-8")  # it is YAML


def _wait_until_ready(credentials: Credentials, processes: Sequence[Process], until: float) -> None:
    def missing() -> str:
        for process in processes:
            process.check()
        return _missing(credentials)

    try:
        poll("the control plane is ready", missing, max(0.0, until - time.monotonic()))
    except DeadlineError as error:
        shown = "\n".join(f"{p.name}'s log:\n{log_tail(p.log)}" for p in processes)
        raise NotReadyError(f"{error}\n{shown}") from error


def _missing(credentials: Credentials) -> str:
    """What a usable cluster has and this one has not yet; empty when nothing is missing.

    The last three are the controller manager's work: without a ServiceAccount and its root
    certificate no pod is admitted, and `view` has no rules before they are aggregated.
    """
    default = "/api/v1/namespaces/default"
    for path in (
        "/readyz",
        f"{default}/serviceaccounts/default",
        f"{default}/configmaps/kube-root-ca.crt",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
    ):
        try:
            answer = request(credentials, "GET", path, seconds=POLLED_REQUEST_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            return f"GET {path}: {type(error).__name__}: {error}"
        if answer.status != http.HTTPStatus.OK:
            return f"GET {path}: {answer.status} {answer.body.strip()[-500:]}"
    # The last answer is the ClusterRole.
    return "" if json.loads(answer.body).get("rules") else "ClusterRole view has no rules"


def _copy_logs(folder: Path, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, logs)
