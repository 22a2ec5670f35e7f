"""The admin's requests: what the suite itself asks of a cluster to prepare and observe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbac_matrix.client import Client
from rbac_matrix.discovery import AGGREGATED_DISCOVERY, Discovery, parse_discovery
from rbac_matrix.token import Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rbac_matrix.cell import Subject


class Admin(Client):
    """A client with the admin's credentials, and what only an admin asks."""

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
        return self.issue(subject, seconds=seconds).text

    def issue(
        self,
        subject: Subject,
        *,
        seconds: int = 3600,
        audiences: Sequence[str] = (),
        bound_to: Mapping[str, str] | None = None,
    ) -> Token:
        """A new token of a ServiceAccount, by TokenRequest.

        Args:
            subject: The ServiceAccount.
            seconds: How long it is valid; 600 at least.
            audiences: Whom it is for; none for the API server.
            bound_to: The `boundObjectRef`: the token ends with that object.
        """
        spec: dict[str, Any] = {"expirationSeconds": seconds}
        if audiences:
            spec["audiences"] = list(audiences)
        if bound_to is not None:
            spec["boundObjectRef"] = dict(bound_to)
        answer = self.request(
            "POST",
            f"/api/v1/namespaces/{subject.namespace}/serviceaccounts/{subject.name}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return Token(answer["status"]["token"])
