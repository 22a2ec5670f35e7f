"""The flags that the programs of a running control plane were started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster

_MIRRORED: Final = "kubernetes.io/config.mirror"
"""The kubelet's annotation on what it shows of a static pod."""


@dataclass(frozen=True)
class Program:
    """A running program of the control plane.

    Attributes:
        command: The program and its arguments.
        pod: Its pod in kube-system; empty where it is a process of this run.
    """

    command: tuple[str, ...]
    pod: str = ""

    @property
    def flags(self) -> Mapping[str, str]:
        """Its flags without the dashes; `true` for one without a value, the last of several."""
        written = (word[2:].partition("=") for word in self.command[1:] if word.startswith("--"))
        return {name: value if equals else "true" for name, equals, value in written}

    def without(self, flags: Iterable[str]) -> list[str]:
        """Its command without some flags, to try another one."""
        dropped = {f"--{flag}" for flag in flags}
        return [word for word in self.command if word.partition("=")[0] not in dropped]


def control_plane(cluster: Cluster, admin: Admin) -> dict[str, Program]:
    """The programs of the control plane by name, `kube-apiserver`.

    Their own processes tell it where they are this run's; elsewhere the pods of kube-system that
    mirror the static pods of a node.

    Returns:
        Nothing where the cluster shows neither, as a managed one does not.
    """
    if cluster.command_lines:
        return {name: Program(line) for name, line in cluster.command_lines().items()}
    query = {"labelSelector": "tier=control-plane"}
    pods = admin.request("GET", "/api/v1/namespaces/kube-system/pods", query=query)["items"]
    found = {}
    for pod in pods:
        if _MIRRORED in (pod["metadata"].get("annotations") or {}):
            container = pod["spec"]["containers"][0]
            command = (*container.get("command", ()), *container.get("args", ()))
            found[PurePath(command[0]).name] = Program(command, pod["metadata"]["name"])
    return found
