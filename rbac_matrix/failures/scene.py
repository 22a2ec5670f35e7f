"""What is on the cluster while something is wrong, read through the API as the admin."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rbac_matrix.client import RequestError
from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rbac_matrix.admin import Admin
    from rbac_matrix.clusters.cluster import Cluster

_NAMESPACES = "/api/v1/namespaces/"
_POD_MAKERS_AND_PODS = (
    ("apis/batch/v1", "jobs"),
    ("apis/apps/v1", "replicasets"),
    ("api/v1", "pods"),
)
"""Owners come before what they own."""


class OutOfTimeError(RbacMatrixError):
    """What is left is not looked at: the run has to go on."""


@dataclass
class Scene:
    """A cluster on which something is wrong.

    Attributes:
        cluster: Where.
        admin: Looks around; its requests have short deadlines.
        created: The URL paths of the objects that the trouble is about, in order of creation.
        began: When the run began, in seconds of `time.time`.
        ends: When looking has to end, in seconds of `time.monotonic`.
    """

    cluster: Cluster
    admin: Admin
    created: Sequence[str]
    began: float
    ends: float
    _silent: str = field(default="", init=False)

    @property
    def since(self) -> datetime:
        """When the run began."""
        return datetime.fromtimestamp(self.began, UTC)

    def check_time(self) -> None:
        """Raise where nothing more is to be looked at.

        Raises:
            OutOfTimeError: The time is up.
        """
        if time.monotonic() > self.ends:
            raise OutOfTimeError("there was no time left to look")

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET an object or a list.

        Raises:
            RequestError: The server refused or was silent; after a silence it is asked no more.
            OutOfTimeError: The time is up.
        """
        self._may_ask(path)
        try:
            return self.admin.request("GET", path, query=query)
        except RequestError as error:
            self._note_silence(error)
            raise

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """GET a log; raises as `get`."""
        self._may_ask(path)
        try:
            return self.admin.text(path, query=query)
        except RequestError as error:
            self._note_silence(error)
            raise

    @functools.cached_property
    def objects(self) -> list[tuple[str, dict[str, Any] | RequestError]]:
        """Each object as the server has it now, or why not, with its path."""
        found: list[tuple[str, dict[str, Any] | RequestError]] = []
        for path in self.created:
            try:
                found.append((path, self.get(path)))
            except RequestError as error:
                found.append((path, error))
        return found

    @functools.cached_property
    def own_namespaces(self) -> list[str]:
        """The namespaces that this run has created."""
        names = (path.removeprefix(_NAMESPACES) for path in self.created)
        return [name for name in names if "/" not in name]

    @functools.cached_property
    def namespaces(self) -> list[str]:
        """Every namespace that the trouble may be in: its own, and those of its objects."""
        found = dict.fromkeys(self.own_namespaces)
        for path in self.created:
            _, mark, rest = path.partition("/namespaces/")
            if mark and "/" in rest:
                found[rest.partition("/")[0]] = None
        return list(found)

    @functools.cached_property
    def pods(self) -> list[dict[str, Any]]:
        """The pods that this run has created, and those that its objects have made.

        Raises:
            RequestError: They cannot be listed.
        """
        if not self.cluster.runs_pods:
            return []
        uids = {
            body["metadata"]["uid"] for _, body in self.objects if not isinstance(body, Exception)
        }
        found: list[dict[str, Any]] = []
        for namespace in self.namespaces:
            whole = namespace in self.own_namespaces
            for root, plural in _POD_MAKERS_AND_PODS:
                for item in self.get(f"/{root}/namespaces/{namespace}/{plural}")["items"]:
                    if whole or uids & set(_uids(item)):
                        uids.add(item["metadata"]["uid"])
                        found += [item] if plural == "pods" else []
        return found

    @functools.cached_property
    def secrets(self) -> list[dict[str, Any]]:
        """The Secrets whose values may be found in what is kept.

        Raises:
            RequestError: They cannot be listed.
        """
        found = [
            body
            for _, body in self.objects
            if not isinstance(body, Exception) and body.get("kind") == "Secret"
        ]
        for namespace in self.own_namespaces:
            found += self.get(f"{_NAMESPACES}{namespace}/secrets")["items"]
        return found

    def _may_ask(self, path: str) -> None:
        self.check_time()
        if self._silent:
            raise RequestError(f"GET {path}", None, f"not asked after {self._silent}")

    def _note_silence(self, error: RequestError) -> None:
        if error.status is None:
            self._silent = str(error)


def _uids(item: Mapping[str, Any]) -> Iterator[str]:
    """An object's own uid, and those of its owners."""
    yield item["metadata"]["uid"]
    for owner in item["metadata"].get("ownerReferences") or ():
        yield owner["uid"]
