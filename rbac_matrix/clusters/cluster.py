"""What every kind of cluster offers to the suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rbac_matrix.clusters.audit import AuditLog
    from rbac_matrix.clusters.credentials import Credentials


class ClusterError(RbacMatrixError):
    """A cluster cannot be had, or is not what it has to be; the message names the next step."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        provider: `kind`, `kubeconfig` or `embedded`.
        admin: The credentials that prepare and observe it.
        kubectl: The command, with its kubeconfig, that reaches it; empty where no kubelet runs
            pods, so that there is nothing to exec into.
        probe_image: The image that probe pods run; empty where there are none.
        disposable: Whether it is thrown away afterwards, so that nothing needs to be cleaned.
        check: Raises `RbacMatrixError` when a part of it has died.
        signing_key: Reads the PEM private key that ServiceAccount tokens are signed with; None
            where it is not this suite's to read.
        command_lines: What each program of its control plane runs with, by the program's name;
            None where they are not processes of this run.
        server_log: The API server's log; None where it is not a file here.
        audit: The API server's audit log; None where it has none that can be read.
    """

    provider: str
    admin: Credentials
    kubectl: tuple[str, ...]
    probe_image: str
    disposable: bool
    check: Callable[[], None]
    signing_key: Callable[[], bytes] | None = None
    command_lines: Callable[[], dict[str, tuple[str, ...]]] | None = None
    server_log: Path | None = None
    audit: AuditLog | None = None

    @property
    def runs_pods(self) -> bool:
        """Whether there is a kubelet."""
        return bool(self.kubectl)
