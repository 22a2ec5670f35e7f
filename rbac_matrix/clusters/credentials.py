"""How a cluster is reached and as whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """An API server and an identity on it; secrets stay in the files.

    Attributes:
        server: URL of the API server, without a path.
        ca_file: PEM file with the authority that signed the server's certificate.
        client_certificate: PEM file, with `client_key`, for an identity by certificate.
        client_key: PEM file of its private key.
        token_file: File that holds a bearer token, for an identity by token.
    """

    server: str
    ca_file: Path
    client_certificate: Path | None = None
    client_key: Path | None = None
    token_file: Path | None = None

    def kubeconfig(self, name: str) -> dict[str, Any]:
        """A kubeconfig document that names the files.

        Args:
            name: What its cluster, user and context are called.
        """
        files = {
            "client-certificate": self.client_certificate,
            "client-key": self.client_key,
            "tokenFile": self.token_file,
        }
        user = {key: str(file) for key, file in files.items() if file is not None}
        cluster = {"server": self.server, "certificate-authority": str(self.ca_file)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
