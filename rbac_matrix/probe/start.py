"""Starting the agents: in pods where pods run, as local processes elsewhere, and one for the admin.

Either way it is the same program under the subject's own token, asked over a pipe.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from rbac_matrix.probe import agent
from rbac_matrix.probe.pod import exec_command, pod_manifest, wait_until_running
from rbac_matrix.probe.session import ProbeSession
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Subject
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.clusters.credentials import Credentials
    from rbac_matrix.objects import Objects

TOKEN_SECONDS: Final = 7200
"""How long a local probe's token lives: longer than a run may take."""


@contextmanager
def subject_probes(
    cluster: Cluster, admin: Admin, objects: Objects, subjects: Sequence[Subject]
) -> Iterator[dict[Subject, ProbeSession]]:
    """An agent for each subject, until the end of the `with` block.

    Raises:
        ProbeError: One could not be started.
        DeadlineError: One was not there in time.
    """
    with ExitStack() as stack:
        if cluster.runs_pods:
            for subject in subjects:
                objects.create(
                    pod_manifest(subject, cluster.probe_image), f"the probe of {subject}"
                )
            wait_until_running(objects, subjects)
            commands = [exec_command(cluster, subject) for subject in subjects]
        else:
            folder = stack.enter_context(temporary_folder("probes"))
            commands = [local_command(cluster, admin, folder, subject) for subject in subjects]

        def start(command: list[str], subject: Subject) -> ProbeSession:
            return ProbeSession(command, str(subject))

        # Together: each takes a third of a second, most of it waiting.
        with ThreadPoolExecutor(max_workers=max(1, len(subjects))) as pool:
            starting = [pool.submit(start, *pair) for pair in zip(commands, subjects, strict=True)]
        for started in starting:
            if started.exception() is None:
                stack.enter_context(started.result())
        yield {
            subject: started.result() for subject, started in zip(subjects, starting, strict=True)
        }


@contextmanager
def admin_probe(credentials: Credentials) -> Iterator[ProbeSession]:
    """An agent with the admin's credentials, a local process on every kind of cluster."""
    with ProbeSession(agent_command(credentials), "the admin") as session:
        yield session


def agent_command(credentials: Credentials) -> list[str]:
    """The command line of a local agent: paths of secrets, never secrets."""
    command = [sys.executable, "-I", agent.__file__, "ask"]
    command += ["--server", credentials.server, "--ca", str(credentials.ca_file)]
    if credentials.token_file:
        command += ["--token", str(credentials.token_file)]
    elif credentials.client_certificate:
        command += ["--certificate", str(credentials.client_certificate)]
        command += ["--key", str(credentials.client_key)]
    return command


def mounted_folder(cluster: Cluster, admin: Admin, folder: Path, subject: Subject) -> Path:
    """A folder such as a pod would have mounted: `token`, `ca.crt` and `namespace`.

    Args:
        cluster: Whose authority it holds.
        admin: Asks for the token.
        folder: Which only this user can enter.
        subject: The ServiceAccount.
    """
    mounted = folder / subject.namespace / subject.name
    mounted.mkdir(mode=0o700, parents=True)
    token = mounted / "token"
    with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(admin.token(subject, TOKEN_SECONDS))
    (mounted / "ca.crt").write_bytes(cluster.admin.ca_file.read_bytes())
    (mounted / "namespace").write_text(subject.namespace, encoding="ascii")
    return mounted


def local_command(cluster: Cluster, admin: Admin, folder: Path, subject: Subject) -> list[str]:
    """A local agent with a folder such as a pod would have mounted."""
    mounted = mounted_folder(cluster, admin, folder, subject)
    command = [sys.executable, "-I", agent.__file__, "ask"]
    return [
        *command,
        "--server",
        cluster.admin.server,
        "--ca",
        str(mounted / "ca.crt"),
        "--token",
        str(mounted / "token"),
    ]
