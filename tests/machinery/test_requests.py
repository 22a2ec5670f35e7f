"""The table between verbs and HTTP: a request asks exactly the cell that it is made for."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from rbac_matrix.cell import VERBS, PathQuestion, ResourceName, ResourceQuestion
from rbac_matrix.requests import (
    ABSENT_NAME,
    METHODS,
    Request,
    can_be_asked,
    request_for,
    request_for_path,
)
from rbac_matrix.universe import universe_of

if TYPE_CHECKING:
    from rbac_matrix.cell import Verb
    from rbac_matrix.discovery import Discovery

SCOPES: Final = ("team-a", None)


def ask(verb: Verb, resource: str, namespace: str | None, name: str = "") -> ResourceQuestion:
    """A question about a resource, written as in expectations."""
    return ResourceQuestion(verb, ResourceName.parse(resource), namespace, name)


NOTHING: Final = "labelSelector=rbac-matrix%2Fselects%3Dnothing"
LINES: Final[dict[tuple[Verb, str, str | None], str]] = {
    ("get", "pods", "a"): "GET /api/v1/namespaces/a/pods/sample",
    ("list", "pods", "a"): "GET /api/v1/namespaces/a/pods?limit=1",
    ("watch", "pods", "a"): "GET /api/v1/namespaces/a/pods?watch=true&timeoutSeconds=1",
    ("create", "pods", "a"): "POST /api/v1/namespaces/a/pods?dryRun=All",
    ("update", "pods", "a"): "PUT /api/v1/namespaces/a/pods/sample?dryRun=All",
    ("patch", "pods", "a"): "PATCH /api/v1/namespaces/a/pods/sample?dryRun=All",
    ("delete", "pods", "a"): "DELETE /api/v1/namespaces/a/pods/sample?dryRun=All",
    ("deletecollection", "pods", "a"): f"DELETE /api/v1/namespaces/a/pods?dryRun=All&{NOTHING}",
    # All namespaces.
    ("list", "pods", None): "GET /api/v1/pods?limit=1",
    ("get", "pods", None): "GET /api/v1/pods/sample",
    ("create", "pods", None): "POST /api/v1/pods?dryRun=All",
    # Another group.
    ("get", "jobs.batch", "a"): "GET /apis/batch/v1/namespaces/a/jobs/sample",
    ("create", "jobs.batch", "a"): "POST /apis/batch/v1/namespaces/a/jobs?dryRun=All",
    ("list", "endpointslices.discovery.k8s.io", "a"): (
        "GET /apis/discovery.k8s.io/v1/namespaces/a/endpointslices?limit=1"
    ),
    # No namespace.
    ("get", "nodes", None): "GET /api/v1/nodes/sample",
    ("deletecollection", "nodes", None): f"DELETE /api/v1/nodes?dryRun=All&{NOTHING}",
    ("patch", "clusterroles.rbac.authorization.k8s.io", None): (
        "PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/sample?dryRun=All"
    ),
    # A subresource is below its parent object, never an object named `log`.
    ("get", "pods/log", "a"): "GET /api/v1/namespaces/a/pods/sample/log",
    ("get", "pods/exec", "a"): (
        "GET /api/v1/namespaces/a/pods/sample/exec?command=true&stdout=true (Upgrade: websocket)"
    ),
    ("get", "pods/attach", "a"): (
        "GET /api/v1/namespaces/a/pods/sample/attach?stdout=true (Upgrade: websocket)"
    ),
    ("get", "pods/portforward", "a"): (
        "GET /api/v1/namespaces/a/pods/sample/portforward (Upgrade: websocket)"
    ),
    ("create", "pods/exec", "a"): "POST /api/v1/namespaces/a/pods/sample/exec?dryRun=All",
    ("update", "jobs.batch/status", "a"): (
        "PUT /apis/batch/v1/namespaces/a/jobs/sample/status?dryRun=All"
    ),
    ("patch", "nodes/status", None): "PATCH /api/v1/nodes/sample/status?dryRun=All",
    # A namespace counts as being within itself.
    ("get", "namespaces", "a"): "GET /api/v1/namespaces/a",
    ("delete", "namespaces", "a"): "DELETE /api/v1/namespaces/a?dryRun=All",
    ("update", "namespaces/finalize", "a"): "PUT /api/v1/namespaces/a/finalize?dryRun=All",
    ("list", "namespaces", None): "GET /api/v1/namespaces?limit=1",
    ("create", "namespaces", None): "POST /api/v1/namespaces?dryRun=All",
}


@pytest.mark.parametrize(
    ("question", "line"), LINES.items(), ids=[":".join(map(str, key)) for key in LINES]
)
def test_a_cell_is_asked_by_its_request(
    discovery: Discovery, question: tuple[Verb, str, str | None], line: str
) -> None:
    """The method, path and query of each verb in each kind of place."""
    asked = ask(*question)

    assert line == request_for(asked, discovery.find(asked.resource)).line


PROTOCOLS: Final = {
    "pods/exec": "v5.channel.k8s.io",
    "pods/attach": "v5.channel.k8s.io",
    "pods/portforward": "SPDY/3.1+portforward.k8s.io",
}


@pytest.mark.parametrize(("resource", "protocol"), PROTOCOLS.items())
def test_a_stream_is_asked_for_as_clients_do(
    discovery: Discovery, resource: str, protocol: str
) -> None:
    """A get is the beginning of a WebSocket, by RFC 6455; no other verb is."""
    asked = ask("get", resource, "a")
    headers = dict(request_for(asked, discovery.find(asked.resource)).headers)

    assert len(base64.b64decode(headers.pop("Sec-WebSocket-Key"))) == 16
    assert headers == {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocol,
    }
    for other in (ask("create", resource, "a"), ask("get", "pods/proxy", "a")):
        assert request_for(other, discovery.find(other.resource)).headers == ()


NO_REQUESTS: Final[list[tuple[Verb, str, str | None]]] = [
    ("list", "pods/log", "a"),
    ("watch", "pods/log", "a"),
    ("deletecollection", "pods/log", "a"),
    ("get", "nodes", "a"),
    ("list", "nodes", "a"),
    ("create", "clusterroles.rbac.authorization.k8s.io", "a"),
    ("list", "namespaces", "a"),
    ("create", "namespaces", "a"),
    ("get", "namespaces", None),
    ("update", "namespaces/finalize", None),
]


@pytest.mark.parametrize(("verb", "resource", "namespace"), NO_REQUESTS)
def test_what_no_request_asks_is_no_ask(
    discovery: Discovery, verb: Verb, resource: str, namespace: str | None
) -> None:
    """A question that only a review could put is not among the cells."""
    assert not can_be_asked(discovery.find(ResourceName.parse(resource)), verb, namespace)


NAMES: Final = {
    "web": "web",
    "system:node": "system%3Anode",
    "kubernetes.io?a=b&c#d": "kubernetes.io%3Fa%3Db%26c%23d",
    "50% off": "50%25%20off",
    "café": "caf%C3%A9",
    "web/log": "web%2Flog",
}


@pytest.mark.parametrize(("name", "quoted"), NAMES.items(), ids=NAMES)
def test_a_name_is_one_part_of_the_path(discovery: Discovery, name: str, quoted: str) -> None:
    """Whatever is in a name, it neither ends the path nor adds a part to it."""
    asked = ask("get", "pods", "a", name)

    request = request_for(asked, discovery.find(asked.resource))

    assert request.path == f"/api/v1/namespaces/a/pods/{quoted}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_write_is_a_dry_run(discovery: Discovery, verb: Verb) -> None:
    """Nothing that is asked changes the cluster; what cannot write asks for no dry run."""
    requests = [
        request_for(ask(verb, str(served.name), scope), served)
        for served in discovery.served.values()
        for scope in SCOPES
        if can_be_asked(served, verb, scope)
    ]

    writes = METHODS[verb] != "GET"
    assert requests
    for request in requests:
        query = parse_qs(urlsplit(request.path).query)
        assert (query.get("dryRun") == ["All"]) is writes, request.line


@dataclass(frozen=True)
class Attributes:
    """What RBAC is asked about a request."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str


def request_info(method: str, target: str) -> Attributes:
    """The attributes that the API server reads from a request.

    Written anew from the rules of pkg/endpoints/request/requestinfo.go of k8s.io/apiserver,
    v1.36, so that it shares nothing with the code under test.
    """
    url = urlsplit(target)
    query = parse_qs(url.query)
    parts = [unquote(part) for part in url.path.strip("/").split("/")]
    prefix = parts.pop(0)
    assert prefix in ("api", "apis")
    group = parts.pop(0) if prefix == "apis" else ""
    parts.pop(0)  # the version
    assert parts[0] not in ("watch", "proxy")  # deprecated: a verb in the path
    verb = {
        "POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch",
        "DELETE": "delete",
    }[method]  # fmt: skip
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in ("status", "finalize"):
            parts = parts[2:]
    resource, name, subresource = (*parts, "", "")[:3]
    if not name and verb == "get":
        watch = query.get("watch", ["false"])[0].lower() not in ("false", "0")
        verb = "watch" if watch else "list"
        selector = query.get("fieldSelector", [""])[0]
        name = selector.removeprefix("metadata.name=") if "metadata.name=" in selector else ""
        name = re.sub(r"\\(.)", r"\1", name)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(verb, group, resource, subresource, namespace, name)


def test_the_server_reads_back_the_very_question(discovery: Discovery) -> None:
    """For all that is served, the request of a cell has that cell's attributes and no others."""
    asked = 0
    for served in discovery.served.values():
        for verb in VERBS:
            for scope in SCOPES:
                if not can_be_asked(served, verb, scope):
                    continue
                question = ask(verb, str(served.name), scope, "some:object")
                request = request_for(question, served)
                found = request_info(request.method, request.path)
                name = found.name
                assert found == Attributes(
                    verb,
                    served.name.group,
                    served.name.plural,
                    served.name.subresource,
                    scope or "",
                    name,
                ), request.line
                if str(served.name.parent) == "namespaces" and scope:
                    assert name == scope
                else:
                    named = verb not in {"create", "deletecollection"} or served.name.subresource
                    assert name == ("some:object" if named else "")
                asked += 1
    # 16 for each namespaced resource, 8 for each cluster-scoped one, fewer for subresources.
    assert asked > 8 * sum(not name.subresource for name in discovery.served)


def test_the_universe_is_asked_by_requests_that_touch_nothing(discovery: Discovery) -> None:
    """Each question has a request with its very attributes; no write names a thing that exists.

    But for a namespace, which is named by where it is asked: there the dry run alone protects it.
    """
    named_by_rules = {"web", "a,b=c\\d", "kube-system"}
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "named"},
        "rules": [{**rule, "resourceNames": sorted(named_by_rules)}],
    }
    universe = universe_of(discovery, ("team-a",), [role])
    asked = [question for question in universe.questions if question not in universe.not_requested]
    assert len(asked) > 1000
    for question in asked:
        if isinstance(question, PathQuestion):
            request = request_for_path(question)
            assert request.line == f"{question.verb.upper()} {question.path}"
            assert request.body is None
            continue
        request = request_for(question, discovery.find(question.resource), absent=ABSENT_NAME)
        found = request_info(request.method, request.path)
        resource, scope = question.resource, question.namespace or ""
        assert found == Attributes(
            question.verb, resource.group, resource.plural, resource.subresource, scope, found.name
        ), request.line
        named = question.verb in {"get", "update", "patch", "delete"} or resource.subresource
        if resource.plural == "namespaces" and scope:
            assert found.name == scope
        elif question.name:
            assert found.name == question.name in named_by_rules, request.line
            assert resource.subresource in {"", "log", "scale", "status"}, request.line
        else:
            assert found.name == (ABSENT_NAME if named else ""), request.line
        if request.method != "GET":
            assert parse_qs(urlsplit(request.path).query)["dryRun"] == ["All"], request.line
        if request.body and request.method != "PATCH":
            name = {"POST": found.name if named else "sample-created", "PUT": found.name}
            assert body_of(request)["metadata"]["name"] == name[request.method], request.line


def test_what_cannot_be_asked_could_not_be_written_as_a_request() -> None:
    """The mirror image: no path that names a node in a namespace is about the nodes."""
    assert request_info("GET", "/api/v1/nodes/a").namespace == ""
    assert request_info("GET", "/api/v1/namespaces/a/nodes/b").namespace == "a"
    assert request_info("GET", "/api/v1/namespaces/a").namespace == "a"
    assert request_info("GET", "/api/v1/namespaces/a/pods/log").name == "log"


POD: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web-1",
        "namespace": "team-a",
        "uid": "1",
        "resourceVersion": "7",
        "managedFields": [],
        "labels": {"app": "web"},
        "annotations": {"note": "kept"},
    },
    "spec": {"containers": []},
    "status": {"phase": "Running"},
}


def body_of(request: Request) -> dict[str, Any]:
    """What a request sends."""
    body: dict[str, Any] = json.loads(request.body or "null")
    return body


def test_a_create_sends_the_sample_under_a_name_of_its_own(discovery: Discovery) -> None:
    """An allowed create is answered 201, not 409 for an object that exists or 422 for no object."""
    asked = ask("create", "pods", "team-b")

    request = request_for(asked, discovery.find(asked.resource), existing=POD, sample=POD)

    assert request.content_type == "application/json"
    assert body_of(request) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "sample-created",
            "namespace": "team-b",
            "labels": {"app": "web"},
            "annotations": {"note": "kept"},
        },
        "spec": {"containers": []},
    }


def test_an_update_sends_the_existing_object_back(discovery: Discovery) -> None:
    """Without a resourceVersion the update is unconditional; status is not its to write."""
    asked = ask("update", "pods", "team-a")

    request = request_for(asked, discovery.find(asked.resource), existing=POD)

    assert request.line == "PUT /api/v1/namespaces/team-a/pods/web-1?dryRun=All"
    assert set(body_of(request)) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(body_of(request)["metadata"]) == {"name", "namespace", "labels", "annotations"}


def test_the_name_of_the_expectation_wins(discovery: Discovery) -> None:
    """A cell that names an object is asked about that object, whatever else exists."""
    asked = ask("patch", "pods", "team-a", "blog")

    request = request_for(asked, discovery.find(asked.resource), existing=POD)

    assert request.line == "PATCH /api/v1/namespaces/team-a/pods/blog?dryRun=All"
    assert (request.content_type, request.body) == ("application/merge-patch+json", "{}")


def test_a_body_is_for_the_place_that_the_path_names(discovery: Discovery) -> None:
    """Where body and URL differ the server answers 400 and says nothing about access."""
    for resource, namespace in (("nodes", None), ("namespaces", "a"), ("pods", "a")):
        asked = ask("update", resource, namespace)
        served = discovery.find(asked.resource)
        metadata = body_of(request_for(asked, served))["metadata"]
        assert metadata.get("namespace") == (namespace if served.namespaced else None)
        assert metadata["name"] == ("a" if resource == "namespaces" else "sample")


def test_reads_send_nothing_and_want_nothing_back(discovery: Discovery) -> None:
    """What a subject can read never travels into a report."""
    for verb in VERBS:
        asked = ask(verb, "secrets", "a")
        request = request_for(asked, discovery.find(asked.resource), existing=None)
        assert request.reads_body is False
        assert (request.body is None) is (verb not in {"create", "update", "patch"})
