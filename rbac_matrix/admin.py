"""The admin's requests: what the suite itself asks of a cluster to prepare and observe it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from rbac_matrix.discovery import AGGREGATED_DISCOVERY, Discovery, parse_discovery
from rbac_matrix.errors import RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.cell import Subject
    from rbac_matrix.clusters.credentials import Credentials

REQUEST_TIMEOUT: Final = (5.0, 30.0)  # seconds to connect, to read
USER_AGENT: Final = "rbac-matrix"


class AdminError(RbacMatrixError):
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


class Admin:
    """A client with the admin's credentials, by URL paths and JSON objects.

    It uses the official client's connection handling but none of its models: objects pass through
    unchanged, whatever version of Kubernetes they are of.
    """

    def __init__(self, credentials: Credentials) -> None:
        """Connect lazily.

        Args:
            credentials: The cluster's admin.
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
        if credentials.token_file:
            token = credentials.token_file.read_text(encoding="ascii").strip()
            configuration.api_key = {"BearerToken": f"Bearer {token}"}
        # The client passes on what its own connection library raises.
        self._no_answer = (client.ApiException, HTTPError)
        self._client = client.ApiClient(configuration)
        self._client.user_agent = USER_AGENT
        self._auth = ["BearerToken"] if credentials.token_file else []

    def try_request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> tuple[int, dict[str, Any]]:
        """Send a request.

        Returns:
            The status and the JSON body (a `Status` for a refusal).

        Raises:
            AdminError: There was no answer.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": accept, "Content-Type": "application/json"}
        call = self._client.param_serialize(
            method, target, header_params=headers, body=body, auth_settings=self._auth
        )
        try:
            response = self._client.call_api(*call, _request_timeout=REQUEST_TIMEOUT)
            response.read()  # type: ignore[no-untyped-call] # the client has no type for it
        except self._no_answer as error:
            raise AdminError(f"{method} {target}", None, str(error)) from error
        try:
            document = json.loads(response.data or b"{}")
        except ValueError:
            document = {"message": (response.data or b"").decode(errors="replace")[:500]}
        return int(response.status), document

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """Send a request that has to succeed.

        Raises:
            AdminError: It did not.
        """
        status, document = self.try_request(method, path, body, query=query, accept=accept)
        if not 200 <= status < 300:
            raise AdminError(f"{method} {path}", status, str(document.get("message", document)))
        return document

    def version(self) -> str:
        """The Kubernetes version, `v1.36.3`."""
        return str(self.request("GET", "/version")["gitVersion"])

    def discovery(self) -> Discovery:
        """What the cluster serves now."""
        documents = [
            self.request("GET", path, accept=AGGREGATED_DISCOVERY) for path in ("/api", "/apis")
        ]
        return parse_discovery(documents, self.request("GET", "/")["paths"])

    def policy_objects(self) -> list[dict[str, Any]]:
        """Every role and binding of the cluster."""
        found = []
        api_version = "rbac.authorization.k8s.io/v1"
        for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            items = self.request("GET", f"/apis/{api_version}/{kind.lower()}s")["items"]
            # A list's items do not repeat what they are.
            found += [item | {"apiVersion": api_version, "kind": kind} for item in items]
        return found

    def may(self, user: str, groups: tuple[str, ...], attributes: Mapping[str, str]) -> bool:
        """Ask a SubjectAccessReview about a resource.

        Args:
            user: The user name.
            groups: Its groups.
            attributes: `resourceAttributes` of the review.
        """
        review = self.request(
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes},
            },
        )
        return bool(review["status"]["allowed"])

    def token(self, subject: Subject, seconds: int) -> str:
        """A new token of a ServiceAccount, valid for `seconds` (600 at least)."""
        path = f"/api/v1/namespaces/{subject.namespace}/serviceaccounts/{subject.name}/token"
        answer = self.request(
            "POST",
            path,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": seconds},
            },
        )
        return str(answer["status"]["token"])
