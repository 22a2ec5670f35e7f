"""The one table between RBAC's verbs and HTTP: which request asks a cell.

Source of every rule: requestinfo.go of k8s.io/apiserver, which turns a request into the attributes
that RBAC decides on. Writes are dry runs, so an allowed one changes nothing.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from rbac_matrix.cell import NAMED_VERBS, SELECTING_VERBS, SUBRESOURCE_VERBS, ResourceName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.cell import PathQuestion, ResourceQuestion
    from rbac_matrix.discovery import ServedResource

METHODS: Final[Mapping[str, str]] = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}

SAMPLE_NAME: Final = "sample"
"""The object that a named request names where its expectation names none."""

ABSENT_NAME: Final = "rbac-matrix-absent"
"""The object that the closed world's named requests name: none has this name, so an allowed request
is answered without touching anything."""

CREATED_NAME: Final = "sample-created"
"""The object that a create would make; different from the sample, which exists."""

_QUERIES: Final[Mapping[str, Mapping[str, str]]] = {
    "get": {},
    "list": {"limit": "1"},
    "watch": {"watch": "true", "timeoutSeconds": "1"},
    "create": {"dryRun": "All"},
    "update": {"dryRun": "All"},
    "patch": {"dryRun": "All"},
    "delete": {"dryRun": "All"},
    # A selector that nothing has, should a server ever ignore the dry run.
    "deletecollection": {"dryRun": "All", "labelSelector": "rbac-matrix/selects=nothing"},
}


_STREAMS: Final[Mapping[ResourceName, tuple[Mapping[str, str], str]]] = {
    ResourceName.parse("pods/exec"): (
        {"command": "true", "stdout": "true"},
        "v5.channel.k8s.io",
    ),
    ResourceName.parse("pods/attach"): ({"stdout": "true"}, "v5.channel.k8s.io"),
    ResourceName.parse("pods/portforward"): ({}, "SPDY/3.1+portforward.k8s.io"),
}
"""What a client asks of the subresources that it opens a WebSocket to: query and subprotocol.

Source: remotecommand/websocket.go and portforward/tunneling_dialer.go of k8s.io/client-go.
"""


@dataclass(frozen=True)
class Request:
    """One HTTP request, without the credentials that it is sent with.

    Attributes:
        method: The HTTP method.
        path: The path and query.
        body: JSON text, or None.
        content_type: Of the body.
        reads_body: Whether a successful answer's body is wanted. It is not for cells: what a
            subject can read must not travel into reports.
        headers: Further headers, each a name and a value.
    """

    method: str
    path: str
    body: str | None = None
    content_type: str = "application/json"
    reads_body: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def line(self) -> str:
        """The request line as people write it: `GET /api/v1/nodes?limit=1`."""
        upgrade = dict(self.headers).get("Upgrade")
        return f"{self.method} {self.path}{f' (Upgrade: {upgrade})' if upgrade else ''}"


def can_be_asked(resource: ServedResource, verb: str, namespace: str | None) -> bool:
    """Whether some request has exactly these attributes.

    A cluster-scoped resource asked inside a namespace is a question that no real request puts (its
    review may still say yes), so it is not a cell. `namespaces` is the exception of requestinfo.go:
    a request that names one carries that name as its namespace too.

    Args:
        resource: What is asked about.
        verb: What is asked.
        namespace: Where; None for the cluster scope.
    """
    if resource.name.subresource and verb not in SUBRESOURCE_VERBS:
        return False
    if _is_namespaces(resource):
        names_one = verb in NAMED_VERBS or bool(resource.name.subresource)
        return names_one == (namespace is not None)
    return resource.namespaced or namespace is None


def request_for(
    question: ResourceQuestion,
    resource: ServedResource,
    *,
    existing: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    absent: str = SAMPLE_NAME,
) -> Request:
    """The request that asks a question about a resource.

    Args:
        question: One that `can_be_asked`.
        resource: How the cluster serves the question's resource.
        existing: The object that named requests name, as the cluster has it; None where none is
            known to exist: then an absent one is named, which RBAC refuses just the same.
        sample: An object of this kind that the server would accept, which a create sends under a
            name of its own, and an update where nothing exists; None where there is none: then what
            is sent is invalid, which RBAC does not look at.
        absent: What a named request names where neither the question nor `existing` says it.
    """
    subresource = question.resource.subresource
    path = resource.root
    name = question.name or (existing or {}).get("metadata", {}).get("name", absent)
    if _is_namespaces(resource):
        name = question.namespace or name
    elif question.namespace is not None:
        path += f"/namespaces/{_segment(question.namespace)}"
    path += f"/{question.resource.plural}"
    if names_one(question):
        path += f"/{_segment(name)}"
    if subresource:
        path += f"/{subresource}"
    if query := _query(question):
        path += f"?{urlencode(query)}"
    method = METHODS[question.verb]
    if question.verb == "patch":
        return Request(method, path, "{}", "application/merge-patch+json")
    if question.verb in ("create", "update"):
        source = sample if question.verb == "create" else existing or sample
        return Request(method, path, json.dumps(_body(question, resource, name, source)))
    return Request(method, path, headers=_upgrade(question))


def request_for_path(question: PathQuestion) -> Request:
    """The request that asks a question about a non-resource path."""
    return Request(question.verb.upper(), quote(question.path))


def names_one(question: ResourceQuestion) -> bool:
    """Whether the question's request has an object's name in its path."""
    return question.verb in NAMED_VERBS or bool(question.resource.subresource)


def can_name_one(question: ResourceQuestion) -> bool:
    """Whether RBAC can be asked the question about one object by its name.

    A create and a deletecollection carry no name, so that no `resourceNames` can allow them.
    """
    return names_one(question) or question.verb not in ("create", "deletecollection")


def _query(question: ResourceQuestion) -> dict[str, str]:
    """The query of a question's request."""
    query = dict(_QUERIES[question.verb])
    if question.verb in SELECTING_VERBS and question.name:
        query["fieldSelector"] = f"metadata.name={_selected(question.name)}"
    if question.verb == "get" and question.resource in _STREAMS:
        query |= _STREAMS[question.resource][0]
    return query


def _upgrade(question: ResourceQuestion) -> tuple[tuple[str, str], ...]:
    """The headers that ask for a WebSocket, where the question's request opens one.

    The key is any 16 bytes (RFC 6455).
    """
    if question.verb != "get" or question.resource not in _STREAMS:
        return ()
    _, protocol = _STREAMS[question.resource]
    return (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(b"rbac-matrix asks").decode()),
        ("Sec-WebSocket-Protocol", protocol),
    )


def _selected(name: str) -> str:
    """A name as a field selector writes it. Source: fields/selector.go of k8s.io/apimachinery."""
    return "".join(f"\\{letter}" if letter in "\\,=" else letter for letter in name)


def _segment(text: str) -> str:
    """One part of a path, whatever the text."""
    return quote(text, safe="")


def _is_namespaces(resource: ServedResource) -> bool:
    return resource.name.plural == "namespaces" and not resource.name.group


def _body(
    question: ResourceQuestion,
    resource: ServedResource,
    name: str,
    source: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The object that a create or an update sends."""
    if question.verb == "create" and not question.resource.subresource:
        name = CREATED_NAME
    metadata: dict[str, Any] = {"name": name}
    if question.namespace is not None and resource.namespaced:
        metadata["namespace"] = question.namespace
    if source is None or source.get("kind") != resource.kind:
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    # What the server sets stays out: without a resourceVersion an update is unconditional.
    old = source.get("metadata", {})
    written = {key: old[key] for key in ("labels", "annotations") if key in old}
    kept = {key: value for key, value in source.items() if key not in ("metadata", "status")}
    return {**kept, "metadata": {**written, **metadata}}
