"""Tokens that no API server would issue, signed with the cluster's key or with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rbac_matrix.token import Token

if TYPE_CHECKING:
    from typing import Self

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


class Signer:
    """A private key that signs tokens as a ServiceAccount issuer does."""

    def __init__(self, key: PrivateKeyTypes) -> None:
        """Take a key, RSA or elliptic over P-256: what kubeadm and this suite make."""
        self._key: Any = key
        self._algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """A key that is stored somewhere."""
        return cls(load_pem_private_key(pem, password=None))

    @classmethod
    def unknown(cls) -> Self:
        """A key that no cluster knows."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def sign(self, like: Token, **claims: Any) -> Token:  # noqa: ANN401 - JSON values of any kind
        """A token like another one, with some claims changed.

        Its header names the same key, so that nothing but the signature and the claims differ.

        Args:
            like: A token of the cluster.
            claims: Those that differ.
        """
        key_id = jwt.get_unverified_header(like.text).get("kid")
        headers = {"kid": key_id} if key_id else None
        changed = {**like.claims, **claims}
        return Token(jwt.encode(changed, self._key, self._algorithm, headers))


def unsigned(like: Token, **claims: Any) -> Token:  # noqa: ANN401 - JSON values of any kind
    """A token like another one that says of itself that it needs no signature."""
    return Token(jwt.encode({**like.claims, **claims}, "", "none"))


def tampered(like: Token, **claims: Any) -> Token:  # noqa: ANN401 - JSON values of any kind
    """A token like another one with some claims changed, under the signature of the other one."""
    header, _, signature = like.text.split(".")
    payload = unsigned(like, **claims).text.split(".")[1]
    return Token(f"{header}.{payload}.{signature}")
