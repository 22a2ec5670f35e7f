"""How to look around on a cluster that is up: commands for a shell."""

from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.failures.trouble import Trouble

SHOWN: Final = 5
"""Commands of one sort; more of the same say no more."""
_USERNAME: Final = re.compile(r"system:serviceaccount:([^:]+):(.+)")


@contextmanager
def kubeconfig_of(cluster: Cluster) -> Iterator[Path]:
    """A kubeconfig for as long as the `with` block lasts, whichever kind of cluster it is."""
    with temporary_folder("look-around") as folder:
        file = folder / "kubeconfig"
        # It names the files that have the credentials, and has none itself.
        file.write_text(json.dumps(cluster.admin.kubeconfig(cluster.provider)), encoding="utf-8")
        yield file


def kept_kubeconfig(cluster: Cluster) -> str:
    """The file that reaches a cluster which is left running; empty where there is none."""
    command = cluster.kubectl
    if "--kubeconfig" not in command:
        return ""
    return command[command.index("--kubeconfig") + 1]


def entering(kubeconfig: str) -> str:
    """The command that makes kubectl ask this cluster."""
    return f"export KUBECONFIG={shlex.quote(kubeconfig)}"


def questions(trouble: Trouble) -> list[str]:
    """Commands about what failed: the same questions again, and all that its subjects may do."""
    found = list(trouble.ask_again[:SHOWN])
    for username in trouble.subjects[:SHOWN]:
        namespace = _USERNAME.fullmatch(username)
        where = ["-n", namespace[1]] if namespace else []
        found.append(shlex.join(["kubectl", "auth", "can-i", "--list", f"--as={username}", *where]))
    return found


def surroundings(cluster: Cluster, namespaces: Sequence[str]) -> list[str]:
    """Commands about what is there."""
    found = ["kubectl get rolebindings,clusterrolebindings --all-namespaces --output wide"]
    found += [
        shlex.join(["kubectl", "get", "pods,events", "-n", namespace])
        for namespace in namespaces[:SHOWN]
    ]
    if cluster.server_log is not None:
        found.append(shlex.join(["less", os.fspath(cluster.server_log)]))
    else:
        found.append("kubectl logs -n kube-system -l component=kube-apiserver --tail 100")
    return found


def audit_commands(cluster: Cluster, trouble: Trouble) -> list[str]:
    """Commands that show what the API server noted of the subjects."""
    if cluster.audit is None:
        return []
    return [shlex.join(cluster.audit.command(name)) for name in trouble.subjects[:SHOWN]]
