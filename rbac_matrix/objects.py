"""Creating objects on a cluster, and leaving it as it was found.

Every object that is created carries one label; only objects that carry it are ever deleted, and an
object that exists without it is never overwritten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from rbac_matrix.client import RequestError
from rbac_matrix.deadline import poll
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.interrupts import interrupts_wait

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rbac_matrix.admin import Admin
    from rbac_matrix.discovery import Discovery, ServedResource

LABEL: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "rbac-matrix"
SELECTOR: Final = f"{LABEL}={MANAGER}"

SERVED_DEADLINE: Final = 30.0  # seconds until a new CustomResourceDefinition is served
GONE_DEADLINE: Final = 60.0  # seconds until deleted objects are gone, namespaces included
NOT_FOUND, CONFLICT = 404, 409
_MAKES_PODS: Final = ("/apis/apps/", "/apis/batch/")


class ObjectsError(RbacMatrixError):
    """An object cannot be created without touching what this run did not create."""


class Objects:
    """The objects that this run has created on one cluster."""

    def __init__(self, admin: Admin, discovery: Discovery) -> None:
        """Begin with none.

        Args:
            admin: May create and delete them.
            discovery: What the cluster serves; read again when a definition adds to it.
        """
        self._admin = admin
        self.discovery = discovery
        self._created: list[str] = []
        self._leaving: list[str] = []

    @property
    def created(self) -> tuple[str, ...]:
        """The URL paths of what is there by this run, in the order of creation."""
        return tuple(self._created)

    def create(self, body: Mapping[str, Any], source: str) -> None:
        """Create an object with this suite's label, strictly: an unknown field is refused.

        Args:
            body: The object.
            source: Where it is written, for messages.

        Raises:
            ObjectsError: It exists and is not this suite's, its kind is not served, or the server
                refuses it.
        """
        metadata = body["metadata"]
        labels = {**(metadata.get("labels") or {}), LABEL: MANAGER}
        labelled = {**body, "metadata": {**metadata, "labels": labels}}
        resource = self._resource_of(body, source)
        collection = _collection(resource, metadata.get("namespace"))
        # Whether an interrupt comes while the server answers or after: what is created is noted.
        interrupts: list[int] = []
        try:
            with interrupts_wait() as interrupts:
                self._post(collection, labelled, source)
                self._created.append(f"{collection}/{quote(metadata['name'], safe='')}")
        finally:
            if interrupts:
                raise KeyboardInterrupt

    def get(
        self, resource: ServedResource, namespace: str | None, name: str
    ) -> dict[str, Any] | None:
        """An object as the cluster has it; None where there is none."""
        path = f"{_collection(resource, namespace)}/{quote(name, safe='')}"
        status, body = self._admin.try_request("GET", path)
        if status == NOT_FOUND:
            return None
        if status != 200:
            raise RequestError(f"GET {path}", status, str(body.get("message")))
        return body

    def first(
        self, resource: ServedResource, namespace: str | None, selector: str
    ) -> dict[str, Any] | None:
        """The first object by name that a label selector selects; None where there is none."""
        path = _collection(resource, namespace)
        items = self._admin.request("GET", path, query={"labelSelector": selector})["items"]
        return min(items, key=lambda item: str(item["metadata"]["name"]), default=None)

    def mark(self) -> int:
        """A point to come back to with `remove_since`."""
        return len(self._created)

    def remove(self, body: Mapping[str, Any], source: str) -> None:
        """Delete one object that was created here, and wait until it is gone.

        Args:
            body: The object, as it was given to `create`.
            source: Where it is written, for messages.

        Raises:
            ObjectsError: It was not created here, or is removed already.
        """
        metadata = body["metadata"]
        collection = _collection(self._resource_of(body, source), metadata.get("namespace"))
        path = f"{collection}/{quote(metadata['name'], safe='')}"
        if path not in self._created:
            raise ObjectsError(f"{source}: {path} is not among what this run has created")
        self._created.remove(path)
        self._delete([path])

    def remove_since(self, mark: int) -> None:
        """Delete what was created since `mark`, last first, and wait until it is gone."""
        paths = self._created[mark:][::-1]
        del self._created[mark:]
        self._delete(paths)

    def begin_removal(self, mark: int) -> None:
        """Delete what was created since `mark`, last first; `wait_until_gone` waits for all of it.

        A namespace takes 5 s to go, during which other tests can run.
        """
        paths = self._created[mark:][::-1]
        del self._created[mark:]
        self._leaving += paths
        self._send_deletes(paths)

    def wait_until_gone(self) -> None:
        """Wait for what `begin_removal` has begun.

        Raises:
            DeadlineError: Some of it stays.
        """
        paths, self._leaving = self._leaving, []
        self._wait_until_gone(paths)

    def remove_leftovers(self) -> list[str]:
        """Delete every object with this suite's label: what a run that was killed left behind.

        Returns:
            The URL paths of what was there.
        """
        found: list[str] = []
        for resource in self.discovery.served.values():
            if resource.name.subresource or not {"list", "delete"} <= resource.verbs:
                continue
            status, body = self._admin.try_request(
                "GET", _collection(resource, None), query={"labelSelector": SELECTOR}
            )
            if status != 200:
                continue
            found += [
                f"{_collection(resource, item['metadata'].get('namespace'))}"
                f"/{quote(item['metadata']['name'], safe='')}"
                for item in body.get("items") or ()
                # What a controller made of an object of ours goes with that object.
                if not item["metadata"].get("ownerReferences")
            ]
        self._delete(found)
        return found

    def _post(self, collection: str, body: Mapping[str, Any], source: str) -> None:
        try:
            self._admin.request("POST", collection, body, query={"fieldValidation": "Strict"})
        except RequestError as error:
            if error.status == CONFLICT:
                raise ObjectsError(
                    f"{source}: {body['kind']} {body['metadata']['name']!r} exists already and was "
                    f"not created by this suite (it has no label {SELECTOR}); it is left alone: "
                    "rename yours, or use a cluster of your own"
                ) from None
            raise ObjectsError(f"{source}: the server refuses it: {error}") from error

    def _delete(self, paths: Sequence[str]) -> None:
        self._send_deletes(paths)
        self._wait_until_gone(paths)

    def _send_deletes(self, paths: Sequence[str]) -> None:
        for path in paths:
            # What makes pods goes after its pods; nothing else has to wait for anything.
            policy = "Foreground" if path.startswith(_MAKES_PODS) else "Background"
            options = {"propagationPolicy": policy}
            status, body = self._admin.try_request("DELETE", path, query=options)
            if status not in (200, 202, NOT_FOUND, CONFLICT):
                raise RequestError(f"DELETE {path}", status, str(body.get("message")))

    def _wait_until_gone(self, paths: Sequence[str]) -> None:
        left = list(paths)

        def missing() -> str:
            nonlocal left
            left = [path for path in left if self._admin.try_request("GET", path)[0] != NOT_FOUND]
            return ", ".join(left)

        poll("waiting for deleted objects to be gone", missing, GONE_DEADLINE)

    def _resource_of(self, body: Mapping[str, Any], source: str) -> ServedResource:
        api_version, kind = body["apiVersion"], body["kind"]
        if self.discovery.of_kind(api_version, kind) is None and any(
            "customresourcedefinitions" in path for path in self._created
        ):

            def missing() -> str:
                self.discovery = self._admin.discovery()
                found = self.discovery.of_kind(api_version, kind)
                return "" if found else f"{kind} of {api_version} is not served yet"

            poll(f"{source}: waiting for its definition", missing, SERVED_DEADLINE)
        resource = self.discovery.of_kind(api_version, kind)
        if resource is None:
            raise ObjectsError(f"{source}: the cluster serves no {kind} of {api_version}")
        return resource


def _collection(resource: ServedResource, namespace: str | None) -> str:
    scope = f"/namespaces/{quote(namespace)}" if namespace and resource.namespaced else ""
    return f"{resource.root}{scope}/{resource.name.plural}"
