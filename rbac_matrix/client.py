"""Requests to a cluster under one identity, by URL paths and JSON objects.

It uses the official client's connection handling but none of its models: objects pass through
unchanged, whatever version of Kubernetes they are of.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from rbac_matrix.answer import Answer
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.token import Token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.answer import AnswerClass
    from rbac_matrix.clusters.credentials import Credentials

REQUEST_TIMEOUT: Final = (5.0, 30.0)  # seconds to connect, to read
SWITCHING_PROTOCOLS: Final = 101
USER_AGENT: Final = "rbac-matrix"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
"""Content type of a server-side apply; its query names a `fieldManager`."""

# Source: warning.go of k8s.io/apimachinery; the text is quoted as RFC 7234 section 5.5 has it.
_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class RequestError(RbacMatrixError):
    """The cluster refused or did not answer a request that the suite cannot do without."""

    def __init__(self, request: str, status: int | None, message: str) -> None:
        """Keep the status apart.

        Args:
            request: The request line.
            status: The HTTP status; None where there was no answer.
            message: What the server or the connection said.
        """
        super().__init__(f"{request}: {status or 'no answer'}: {message}")
        self.status = status


@dataclass(frozen=True)
class Response:
    """What a request got.

    Attributes:
        request: The request line.
        status: The HTTP status.
        body: The JSON body, a `Status` for a refusal. It may hold a token or what a subject can
            read, so that it is not shown with the rest.
        message: The server's `message`, where the body has one.
        warnings: The texts of its `Warning` headers.
    """

    request: str
    status: int
    body: dict[str, Any] = field(repr=False, compare=False)
    message: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def answer(self) -> Answer:
        """The same, to be classified."""
        return Answer(self.status, self.message)

    @property
    def answer_class(self) -> AnswerClass:
        """Its exact class."""
        return self.answer.answer_class


class Client:
    """A connection to a cluster, with one identity."""

    def __init__(
        self,
        credentials: Credentials,
        token: Token | None = None,
        timeout: tuple[float, float] = REQUEST_TIMEOUT,
    ) -> None:
        """Connect lazily.

        Args:
            credentials: The cluster, and the identity; without a certificate or token anonymous.
            token: The identity, in the place of a `token_file`.
            timeout: Seconds to connect, and to wait for each part of an answer.
        """
        # Imported late: 0.5 s and 60 MB that collecting tests does not need.
        from kubernetes import client  # noqa: PLC0415 - see the line above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the same

        configuration = client.Configuration(host=credentials.server)
        configuration.ssl_ca_cert = str(credentials.ca_file)
        configuration.retries = False  # an answer is an answer; who needs a retry polls
        configuration.proxy = None
        if credentials.client_certificate and credentials.client_key:
            configuration.cert_file = str(credentials.client_certificate)
            configuration.key_file = str(credentials.client_key)
        if token is None and credentials.token_file:
            token = Token(credentials.token_file.read_text(encoding="ascii").strip())
        # The client passes on what its own connection library raises.
        self._no_answer = (client.ApiException, HTTPError)
        self._client = client.ApiClient(configuration)
        self._client.user_agent = USER_AGENT
        self._timeout = timeout
        self._identity = {} if token is None else {"Authorization": token.header}

    def send(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request.

        Args:
            method: The HTTP method.
            path: The path, quoted.
            body: The object to send.
            query: The query, unquoted.
            accept: The media types of the answer.
            content_type: The media type of the body.
            headers: Further headers, which win over this client's own.

        Raises:
            RequestError: There was no answer.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        sent = {"Accept": accept, "Content-Type": content_type, **(headers or {})}
        response = self._exchange(method, target, sent, body)
        try:
            document = json.loads(response.data or b"{}")
        except ValueError:
            document = {"message": (response.data or b"").decode(errors="replace")[:500]}
        message = document.get("message")
        return Response(
            request=f"{method} {target}",
            status=int(response.status),
            body=document,
            message=message if isinstance(message, str) else "",
            warnings=warning_texts((response.headers or {}).get("Warning", "")),
        )

    def text(self, path: str, *, query: Mapping[str, str] | None = None) -> str:
        """GET what is no JSON, such as a container's log.

        Raises:
            RequestError: It was refused, or there was no answer.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        response = self._exchange("GET", target, {"Accept": "*/*"}, None)
        text = str((response.data or b"").decode(errors="replace"))
        if response.status not in (200, 204):
            try:
                said = str(json.loads(text)["message"])
            except (ValueError, LookupError, TypeError):
                said = text.strip()[:500]
            raise RequestError(f"GET {target}", int(response.status), said)
        return text

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Any:  # noqa: ANN401 - the client's own class has no types
        """Send a request and read its answer whole."""
        sent = {**self._identity, **headers}
        call = self._client.param_serialize(method, target, header_params=sent, body=body)
        try:
            response = self._client.call_api(*call, _request_timeout=self._timeout)
            response.read()  # type: ignore[no-untyped-call] # the client has no type for it
        except self._no_answer as error:
            # Not `from error`: a failed test would show the frames that have the token.
            raise RequestError(f"{method} {target}", None, str(error)) from None
        if response.status == SWITCHING_PROTOCOLS:
            # Its connection is no longer one for HTTP; whoever switched wanted to know only that.
            self._client.rest_client.pool_manager.clear()
        return response

    def try_request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request whatever comes.

        Returns:
            The status and the JSON body (a `Status` for a refusal).

        Raises:
            RequestError: There was no answer.
        """
        response = self.send(method, path, body, query=query, accept=accept)
        return response.status, response.body

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """Send a request that has to succeed.

        Raises:
            RequestError: It did not.
        """
        status, document = self.try_request(method, path, body, query=query, accept=accept)
        if not 200 <= status < 300:
            raise RequestError(f"{method} {path}", status, str(document.get("message", document)))
        return document


def warning_texts(header: str) -> tuple[str, ...]:
    """The texts of the warnings in a `Warning` header, several of which arrive joined by commas."""
    return tuple(re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(header))
