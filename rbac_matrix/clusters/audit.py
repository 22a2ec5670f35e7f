"""The API server's audit log: who asked for what, and by which binding it was let through.

It is kept where a report folder may get lines of it, or somebody may look around, and nowhere
else: 46 rounds of 2,545 refused requests took 3.5 % longer with it and cost the API server 9 % more
CPU (medians of pairs on two API servers in turn). In a gate a third of the requests are noted.
Starting it after a failure instead would mean another API server, which is no record of this one.

Source of the policy's fields and of the flags:
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY_FILE: Final = Path(__file__).with_name("audit-policy.yaml")
READ_DEADLINE: Final = 15.0  # seconds
_NODE_POLICY: Final = "/etc/rbac-matrix/audit-policy.yaml"
_NODE_FOLDER: Final = "/var/lib/rbac-matrix/audit"
"""Not below /var/log, all of which `kind export logs` copies."""


class AuditError(RbacMatrixError):
    """The audit log cannot be read."""


@dataclass(frozen=True)
class AuditLog:
    """Where an audit log is.

    Attributes:
        folder: Its folder, which also has what was rotated.
        prefix: What runs a command where the folder is; empty for here.
    """

    folder: str
    prefix: tuple[str, ...] = ()

    def command(self, username: str) -> tuple[str, ...]:
        """The command that prints the lines of a user, whose name has nothing to escape."""
        pattern = f'"username":"{username}"'
        return (*self.prefix, "grep", "-rhF", pattern, self.folder)

    def lines(self, username: str) -> list[str]:
        """The lines of a user, oldest first within each file.

        Raises:
            AuditError: The log cannot be read.
        """
        command = self.command(username)
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=READ_DEADLINE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuditError(f"{shlex.join(command)}: {error}") from None
        if done.returncode > 1:  # 1: there is none
            said = done.stderr.decode(errors="replace").strip()
            raise AuditError(f"{shlex.join(command)}: {said}")
        return done.stdout.decode(errors="replace").splitlines()


def audit_flags(policy: Path | str, log: AuditLog) -> dict[str, str]:
    """The API server's flags for an audit log.

    Args:
        policy: The policy's file, as the API server sees it.
        log: The log, likewise.
    """
    return {
        "audit-policy-file": str(policy),
        "audit-log-path": f"{log.folder}/audit.log",
        # No request waits for the disk; `blocking` took 16 % longer.
        "audit-log-mode": "batch",
        "audit-log-maxsize": "100",  # MiB
        "audit-log-maxbackup": "1",
    }


def on_node(node: str) -> AuditLog:
    """The audit log within a kind node's container."""
    return AuditLog(_NODE_FOLDER, ("docker", "exec", node))


def with_audit(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """A kind configuration whose API server keeps an audit log.

    Args:
        config: The configuration.

    Returns:
        The same with the audit log; None where it says something about the API server itself,
        because kind lets the last of several patches win, and an API server that is told half of
        it does not start.
    """
    nodes = config.get("nodes") or [{"role": "control-plane"}]
    patches = [config, *nodes]
    texts = [str(text) for each in patches for text in each.get("kubeadmConfigPatches") or ()]
    if any("apiServer" in text for text in texts) or any(
        each.get("kubeadmConfigPatchesJSON6902") for each in patches
    ):
        return None
    mount = {"hostPath": str(POLICY_FILE), "containerPath": _NODE_POLICY, "readOnly": True}
    volumes = [
        {
            "name": "audit-policy",
            "hostPath": _NODE_POLICY,
            "mountPath": _NODE_POLICY,
            "readOnly": True,
            "pathType": "File",
        },
        {
            "name": "audit-log",
            "hostPath": _NODE_FOLDER,
            "mountPath": _NODE_FOLDER,
            "pathType": "DirectoryOrCreate",
        },
    ]
    flags = audit_flags(_NODE_POLICY, AuditLog(_NODE_FOLDER))
    # No apiVersion: kind then applies it to whichever version of kubeadm's configuration it writes.
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": flags, "extraVolumes": volumes},
    }
    control_plane = [
        node
        if node.get("role", "control-plane") != "control-plane"
        else {**node, "extraMounts": [*(node.get("extraMounts") or ()), mount]}
        for node in nodes
    ]
    own = config.get("kubeadmConfigPatches") or ()
    return {**config, "nodes": control_plane, "kubeadmConfigPatches": [*own, yaml.safe_dump(patch)]}
