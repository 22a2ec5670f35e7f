"""The keys and certificates of an embedded control plane.

Everything is ECDSA over P-256, which every Kubernetes component takes (ServiceAccount tokens are
then signed with ES256) and which is made in milliseconds. The authority's private key is never
written: nothing signs with it after the start.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

VALID_FOR = timedelta(days=30)
SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
# The second is the first address of the service range, which the `kubernetes` Service gets.
SERVER_ADDRESSES = (IPv4Address("127.0.0.1"), IPv4Address("10.0.0.1"))
# Members of this group are bound to cluster-admin, and pass even without RBAC.
ADMIN_GROUP = "system:masters"
ADMIN_NAME = "rbac-matrix-admin"
CONTROLLER_MANAGER_NAME = "system:kube-controller-manager"


@dataclass(frozen=True)
class KeyPair:
    """A certificate (or public key) and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """What a control plane and its clients need.

    Attributes:
        authority: Certificate of the authority that signed all others.
        server: The API server's serving certificate.
        admin: Client certificate of an administrator.
        controller_manager: Client certificate of kube-controller-manager.
        service_accounts: Key pair for ServiceAccount tokens; its `certificate` is a public key.
    """

    authority: Path
    server: KeyPair
    admin: KeyPair
    controller_manager: KeyPair
    service_accounts: KeyPair


class _Authority:
    """Signs certificates that expire together."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rbac-matrix")])
        self._start = datetime.now(UTC) - timedelta(minutes=5)
        self.certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self,
        subject: list[x509.NameAttribute[str]],
        key: ec.EllipticCurvePrivateKey,
        purpose: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None = None,
    ) -> x509.Certificate:
        """Sign a certificate for one purpose, serving or being a client."""
        builder = (
            self._builder(x509.Name(subject), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        # Python's strict verification (the default since 3.13) asks for both key identifiers.
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._start + VALID_FOR)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def write_certificates(folder: Path) -> Certificates:
    """Make an authority, its certificates and a token key.

    Args:
        folder: A new folder, made with mode 0700; every file in it has mode 0600.

    Returns:
        Where each file is.

    Raises:
        FileExistsError: The folder exists; keys are never overwritten.
    """
    folder.mkdir(mode=0o700)
    authority = _Authority()

    def client(file: str, name: str, group: str | None = None) -> KeyPair:
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if group is not None:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority.issue(subject, key, ExtendedKeyUsageOID.CLIENT_AUTH)
        return _write_pair(folder, file, _pem(certificate), key)

    server_key = ec.generate_private_key(ec.SECP256R1())
    server_certificate = authority.issue(
        [x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")],
        server_key,
        ExtendedKeyUsageOID.SERVER_AUTH,
        x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in SERVER_NAMES),
                *(x509.IPAddress(address) for address in SERVER_ADDRESSES),
            ]
        ),
    )
    token_key = ec.generate_private_key(ec.SECP256R1())
    token_public_key = token_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Certificates(
        authority=_write(folder / "ca.crt", _pem(authority.certificate)),
        server=_write_pair(folder, "kube-apiserver", _pem(server_certificate), server_key),
        admin=client("admin", ADMIN_NAME, ADMIN_GROUP),
        controller_manager=client("kube-controller-manager", CONTROLLER_MANAGER_NAME),
        service_accounts=_write_pair(folder, "service-accounts", token_public_key, token_key),
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_pair(folder: Path, name: str, public: bytes, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return KeyPair(
        certificate=_write(folder / f"{name}.crt", public),
        key=_write(folder / f"{name}.key", private),
    )


def _write(file: Path, content: bytes) -> Path:
    """Write a file that is private from its first moment."""
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(content)
    return file
