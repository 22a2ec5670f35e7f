"""Running commands in containers, as a person does with `kubectl exec`."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rbac_matrix.clusters.cluster import Cluster

EXEC_DEADLINE: Final = 60.0  # seconds for one command


class PodExecError(RbacMatrixError):
    """A command in a container did not end in time."""


@dataclass(frozen=True)
class Container:
    """Where commands run.

    Attributes:
        pod: The pod's name.
        namespace: Its namespace.
        name: The container's name; empty for the pod's first.
    """

    pod: str
    namespace: str = "default"
    name: str = ""

    def command(self, cluster: Cluster, *command: str) -> list[str]:
        """The command line that runs a command in it, with its standard input."""
        chosen = ["-c", self.name] if self.name else []
        where = ["exec", "-i", "-n", self.namespace, self.pod, *chosen]
        return [*cluster.kubectl, *where, "--", *command]


@dataclass(frozen=True)
class Ran:
    """A command that has ended.

    Attributes:
        command: What ran.
        code: Its exit code.
        out: Its standard output.
        err: Its standard error, and kubectl's own words.
    """

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        """All of it, for the message of a failed test."""
        return (
            f"$ {shlex.join(self.command)}\n"
            f"exit code {self.code}\nstdout: {self.out}\nstderr: {self.err}"
        )


def run_in(cluster: Cluster, container: Container, *command: str, stdin: str = "") -> Ran:
    """Run a command in a container.

    Args:
        cluster: The cluster.
        container: Where.
        command: Program and arguments; never a secret, because command lines are public.
        stdin: What it reads.

    Raises:
        PodExecError: It did not end in time.
    """
    where = f"{container.namespace}/{container.pod}"
    return _run(command, container.command(cluster, *command), where, stdin=stdin)


def run_here(command: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Run a command on this host, where there is no container to run it in.

    Args:
        command: Program and arguments; never a secret.
        environment: All of its environment variables.

    Raises:
        PodExecError: It did not end in time.
    """
    return _run(command, command, "a process here", environment=environment)


def _run(
    shown: Sequence[str],
    command: Sequence[str],
    where: str,
    *,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
) -> Ran:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=EXEC_DEADLINE,
        )
    except subprocess.TimeoutExpired:
        raise PodExecError(
            f"{shlex.join(shown)} in {where}: not within {EXEC_DEADLINE:.0f} s"
        ) from None
    return Ran(tuple(shown), done.returncode, done.stdout, done.stderr.strip())
