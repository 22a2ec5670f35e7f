"""Forged tokens: what of them is changed, and what is not."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from rbac_matrix.clusters.certificates import write_certificates
from rbac_matrix.signing import Signer, tampered, unsigned
from rbac_matrix.token import Token

if TYPE_CHECKING:
    from pathlib import Path

CLAIMS: Final[dict[str, Any]] = {"iss": "here", "sub": "clerk", "exp": 4102444800}


@functools.cache
def cluster_key(algorithm: str) -> Any:  # noqa: ANN401 - one of two types of keys
    """The private key of a cluster; making an RSA key takes a moment."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def issued(algorithm: str = "ES256") -> Token:
    """A token as an API server issues it."""
    return Token(jwt.encode(CLAIMS, cluster_key(algorithm), algorithm, {"kid": "one"}))


def verified(token: Token) -> dict[str, Any]:
    """The claims of a token that the cluster's key has signed."""
    return jwt.decode(token.text, cluster_key("ES256").public_key(), ["ES256"])


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_changed_copy_is_valid(algorithm: str) -> None:
    """The key of the cluster signs a copy with other claims, which names the same key."""
    key = cluster_key(algorithm)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    copy = Signer.from_pem(pem).sign(issued(algorithm), sub="chief")

    read = jwt.decode_complete(copy.text, key.public_key(), [algorithm])
    assert read["header"] == {"alg": algorithm, "typ": "JWT", "kid": "one"}
    assert read["payload"] == {**CLAIMS, "sub": "chief"}


def test_the_embedded_clusters_key_signs(tmp_path: Path) -> None:
    """The key that the embedded API server signs with is of a kind that can be used here."""
    keys = write_certificates(tmp_path / "pki").service_accounts
    copy = Signer.from_pem(keys.key.read_bytes()).sign(issued())

    public = load_pem_public_key(keys.certificate.read_bytes())
    assert jwt.decode(copy.text, public, ["ES256"]) == CLAIMS


def test_another_key_is_not_the_clusters() -> None:
    """What an unknown key signs does not verify."""
    copy = Signer.unknown().sign(issued("RS256"))

    assert copy.claims == CLAIMS
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(copy.text, cluster_key("RS256").public_key(), ["RS256"])


def test_a_tampered_token_keeps_its_signature() -> None:
    """Other claims under the old signature do not verify."""
    good = issued()
    bad = tampered(good, sub="chief")

    assert bad.claims == {**CLAIMS, "sub": "chief"}
    assert bad.text.split(".")[2] == good.text.split(".")[2]
    with pytest.raises(jwt.InvalidSignatureError):
        verified(bad)


def test_an_unsigned_token_says_so() -> None:
    """It has the claims and no signature."""
    bare = unsigned(issued())

    assert jwt.get_unverified_header(bare.text)["alg"] == "none"
    assert bare.text.endswith(".")
    assert bare.claims == CLAIMS
