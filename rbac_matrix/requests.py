"""The one table between RBAC's verbs and HTTP: which request asks a cell.

Source of every rule: requestinfo.go of k8s.io/apiserver, which turns a request into the attributes
that RBAC decides on. Writes are dry runs, so an allowed one changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from rbac_matrix.cell import NAMED_VERBS, SUBRESOURCE_VERBS

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
    """

    method: str
    path: str
    body: str | None = None
    content_type: str = "application/json"
    reads_body: bool = False

    @property
    def line(self) -> str:
        """The request line as people write it: `GET /api/v1/nodes?limit=1`."""
        return f"{self.method} {self.path}"


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
    if query := _QUERIES[question.verb]:
        path += f"?{urlencode(query)}"
    method = METHODS[question.verb]
    if question.verb == "patch":
        return Request(method, path, "{}", "application/merge-patch+json")
    if question.verb in ("create", "update"):
        source = sample if question.verb == "create" else existing or sample
        return Request(method, path, json.dumps(_body(question, resource, name, source)))
    return Request(method, path)


def request_for_path(question: PathQuestion) -> Request:
    """The request that asks a question about a non-resource path; only `get` is without effect."""
    return Request("GET", quote(question.path))


def names_one(question: ResourceQuestion) -> bool:
    """Whether the question's request names an object."""
    return question.verb in NAMED_VERBS or bool(question.resource.subresource)


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
