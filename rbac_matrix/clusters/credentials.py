"""How a cluster is reached and as whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
