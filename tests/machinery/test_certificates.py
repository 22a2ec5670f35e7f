"""The certificates of an embedded control plane, checked by TLS itself where that is possible."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import NameOID

from rbac_matrix.clusters.certificates import Certificates, KeyPair, write_certificates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="certificates")
def _certificates(tmp_path: Path) -> Certificates:
    return write_certificates(tmp_path / "pki")


def subject(pair: KeyPair) -> tuple[list[str], list[str]]:
    """Organizations and common names of a certificate: Kubernetes' groups and user name."""
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    organizations, names = (
        [str(part.value) for part in certificate.subject.get_attributes_for_oid(oid)]
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    )
    return organizations, names


def shake_hands(certificates: Certificates, server: KeyPair, client: KeyPair, name: str) -> None:
    """Connect a client to a server that asks for a client certificate, both verifying."""
    accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    accepting.verify_mode = ssl.CERT_REQUIRED
    accepting.load_cert_chain(server.certificate, server.key)
    connecting = ssl.create_default_context(cafile=certificates.authority)
    connecting.verify_flags |= ssl.VERIFY_X509_STRICT
    connecting.load_cert_chain(client.certificate, client.key)
    refusals: list[ssl.SSLError] = []
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            with accepting.wrap_socket(there, server_side=True) as served:
                served.sendall(b"hello")
        except ssl.SSLError as error:
            refusals.append(error)
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with connecting.wrap_socket(here, server_hostname=name) as connected:
            connected.recv(5)
    finally:
        here.close()
        thread.join()
    if refusals:
        raise refusals[0]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"])
def test_server_and_admin_trust_each_other(certificates: Certificates, name: str) -> None:
    """Both sides verify the other by every name that clients call the server."""
    shake_hands(certificates, certificates.server, certificates.admin, name)


def test_server_is_refused_under_another_name(certificates: Certificates) -> None:
    """The certificate is good for its names only."""
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(certificates, certificates.server, certificates.admin, "example.test")


def test_client_certificate_does_not_serve(certificates: Certificates) -> None:
    """A stolen client certificate cannot pose as the API server."""
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(certificates, certificates.admin, certificates.admin, "localhost")


def test_serving_certificate_is_no_client(certificates: Certificates) -> None:
    """The API server's certificate names nobody who may ask."""
    with pytest.raises(ssl.SSLError):
        shake_hands(certificates, certificates.server, certificates.server, "localhost")


def test_foreign_authority_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    """Two control planes do not take each other's clients."""
    other = write_certificates(tmp_path / "other")

    with pytest.raises(ssl.SSLError):
        shake_hands(certificates, certificates.server, other.admin, "localhost")


def test_identities_are_the_ones_kubernetes_knows(certificates: Certificates) -> None:
    """Groups and names decide what Kubernetes lets the clients do."""
    assert subject(certificates.admin) == (["system:masters"], ["rbac-matrix-admin"])
    assert subject(certificates.controller_manager) == ([], ["system:kube-controller-manager"])


def test_token_keys_belong_together(certificates: Certificates) -> None:
    """What the private key signs, the public key verifies."""
    private = load_pem_private_key(certificates.service_accounts.key.read_bytes(), None)
    public = load_pem_public_key(certificates.service_accounts.certificate.read_bytes())

    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert private.public_key() == public


def test_nobody_else_reads_the_keys(certificates: Certificates) -> None:
    """Files are 0600 in a folder that is 0700."""
    folder = certificates.authority.parent

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_authority_key_is_not_kept(certificates: Certificates) -> None:
    """Nobody can sign another certificate after the start."""
    assert not (certificates.authority.parent / "ca.key").exists()


def test_keys_are_never_overwritten(certificates: Certificates) -> None:
    """A folder that exists is another control plane's."""
    with pytest.raises(FileExistsError):
        write_certificates(certificates.authority.parent)
