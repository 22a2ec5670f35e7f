"""A namespace of one test's own: who is in it, what they may do, and requests as them."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import Subject
from rbac_matrix.client import Client
from rbac_matrix.deadline import poll
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.pods import is_hopeless, is_ready, waiting_for
from rbac_matrix.settle import settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster
    from rbac_matrix.objects import Objects
    from rbac_matrix.token import Token

PREFIX: Final = "behaviour-"
"""How the names of all workspaces, and of their objects at cluster scope, begin."""

POD_DEADLINE: Final = 90.0  # seconds
RBAC: Final = "rbac.authorization.k8s.io"


class WorkspaceError(RbacMatrixError):
    """What a test needs cannot be in its namespace."""


class Workspace:
    """One namespace with what a test puts there."""

    def __init__(self, cluster: Cluster, admin: Admin, objects: Objects, namespace: str) -> None:
        """Take a namespace that exists.

        Args:
            cluster: Where.
            admin: Who prepares it.
            objects: What creates and removes.
            namespace: Its name.
        """
        self.namespace = namespace
        self.runs_pods = cluster.runs_pods
        self.image = cluster.probe_image or "no-kubelet-pulls-this"
        self._cluster = cluster
        self._admin = admin
        self._objects = objects
        self._grants = 0
        self._settled = True

    @property
    def core(self) -> str:
        """The URL path of the namespace in the core API group."""
        return f"/api/v1/namespaces/{self.namespace}"

    @property
    def rbac(self) -> str:
        """The URL path of the namespace in RBAC's API group."""
        return f"/apis/{RBAC}/v1/namespaces/{self.namespace}"

    def create(self, body: Mapping[str, Any]) -> None:
        """Create an object, in the workspace where its kind has namespaces."""
        served = self._objects.discovery.of_kind(body["apiVersion"], body["kind"])
        if served is not None and served.namespaced:
            body = {**body, "metadata": {**body["metadata"], "namespace": self.namespace}}
        self._objects.create(body, f"an object of {self.namespace}")

    def wait_for_pod(self, name: str) -> None:
        """Return once a pod is ready; at once where no kubelet makes it so.

        Raises:
            WorkspaceError: It never will be; the message says what it waits for.
            DeadlineError: It was not in time.
        """
        if not self.runs_pods:
            return

        def missing() -> str:
            status = self._admin.request("GET", f"{self.core}/pods/{name}")["status"]
            state = waiting_for(status) or status.get("phase", "new")
            if is_hopeless(status):
                raise WorkspaceError(f"pod {self.namespace}/{name} cannot run: {state}")
            return "" if is_ready(status) else state

        poll(f"waiting for pod {self.namespace}/{name}", missing, POD_DEADLINE)

    def subject(self, name: str) -> Subject:
        """A new ServiceAccount."""
        self.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        return Subject(self.namespace, name)

    def grant(
        self, to: Subject | str, rules: Sequence[Mapping[str, Any]], *, everywhere: bool = False
    ) -> str:
        """Let somebody do what rules say.

        Args:
            to: A subject, or the name of a group.
            rules: As a Role has them.
            everywhere: At cluster scope rather than in the workspace.

        Returns:
            The name of the role and of its binding.
        """
        name = self._new_name()
        kind = "ClusterRole" if everywhere else "Role"
        self.create({**_rbac(kind, name), "rules": [dict(rule) for rule in rules]})
        self._bind(to, kind, name, name, everywhere=everywhere)
        return name

    def bind(self, to: Subject | str, cluster_role: str, *, everywhere: bool = False) -> str:
        """Bind a ClusterRole that exists.

        Args:
            to: A subject, or the name of a group.
            cluster_role: Its name.
            everywhere: By a ClusterRoleBinding rather than by a RoleBinding in the workspace.

        Returns:
            The name of the binding.
        """
        name = self._new_name()
        self._bind(to, "ClusterRole", cluster_role, name, everywhere=everywhere)
        return name

    def settle(self) -> None:
        """Return once every grant is in force."""
        if not self._settled:
            settle(self._admin, self._objects)
            self._settled = True

    def client(self, subject: Subject) -> Client:
        """Requests as a subject, once every grant so far is in force."""
        self.settle()
        return self.connect(self._admin.issue(subject))

    def connect(self, token: Token | None = None) -> Client:
        """Requests with a token, or without any."""
        nobody = replace(
            self._cluster.admin, client_certificate=None, client_key=None, token_file=None
        )
        return Client(nobody, token)

    def _bind(
        self, to: Subject | str, kind: str, role: str, name: str, *, everywhere: bool
    ) -> None:
        subject = (
            {"kind": "Group", "name": to, "apiGroup": RBAC}
            if isinstance(to, str)
            else {"kind": "ServiceAccount", "name": to.name, "namespace": to.namespace}
        )
        self.create(
            {
                **_rbac("ClusterRoleBinding" if everywhere else "RoleBinding", name),
                "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
                "subjects": [subject],
            }
        )
        self._settled = False

    def _new_name(self) -> str:
        self._grants += 1
        return f"{self.namespace}-{self._grants}"


@contextmanager
def workspace(
    cluster: Cluster, admin: Admin, objects: Objects, labels: Mapping[str, str] | None = None
) -> Iterator[Workspace]:
    """A new namespace; when the block is left, everything in it begins to go.

    `Objects.wait_until_gone` waits for that.

    Args:
        cluster: Where.
        admin: Who prepares it.
        objects: What creates and removes.
        labels: Of the namespace.
    """
    name = f"{PREFIX}{secrets.token_hex(4)}"
    mark = objects.mark()
    try:
        metadata = {"name": name, "labels": dict(labels or {})}
        objects.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, "a workspace"
        )
        yield Workspace(cluster, admin, objects, name)
    finally:
        objects.begin_removal(mark)


def _rbac(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}}
