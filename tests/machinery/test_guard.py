"""The guard of this folder: what it lets through and what it refuses."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def reach(address: tuple[str, int], family: socket.AddressFamily = socket.AF_INET) -> None:
    """Open a connection."""
    with socket.socket(family) as opened:
        opened.settimeout(0.1)
        opened.connect_ex(address)


def send(address: tuple[str, int]) -> None:
    """Send a datagram."""
    with socket.socket(type=socket.SOCK_DGRAM) as opened:
        opened.sendto(b"", address)


REFUSED: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "connection-by-address": (lambda: reach(("192.0.2.1", 443)), "reaches for 192.0.2.1"),
    "connection-by-ipv6-address": (
        lambda: reach(("2001:db8::1", 443), socket.AF_INET6),
        "reaches for 2001:db8::1",
    ),
    "datagram": (lambda: send(("192.0.2.1", 53)), "reaches for 192.0.2.1"),
    "name-lookup": (
        lambda: socket.getaddrinfo("api.example.com", 443),
        "reaches for api.example.com",
    ),
    "docker-from-path": (lambda: subprocess.run(["docker", "ps"], check=True), "starts docker"),
    "kubectl-by-path": (
        lambda: subprocess.Popen(["/usr/local/bin/kubectl", "get", "pods"]),
        "starts kubectl",
    ),
}


@pytest.mark.parametrize(("act", "says"), REFUSED.values(), ids=REFUSED)
def test_leaving_the_machine_is_refused(act: Callable[[], object], says: str) -> None:
    """A cluster program or a foreign address fails the test, with the folder it belongs to."""
    with pytest.raises(pytest.fail.Exception, match=says) as caught:
        act()

    assert "A test that asks a cluster belongs in tests/access" in str(caught.value)


def test_code_that_copes_with_failed_connections_does_not_hide_it() -> None:
    """The guard's refusal is no `Exception`."""
    assert not issubclass(pytest.fail.Exception, Exception)


def test_this_machine_may_be_reached() -> None:
    """Servers on loopback and child processes are what many of these tests are about."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    child = subprocess.run([sys.executable, "-c", "print(42)"], capture_output=True, check=True)

    assert child.stdout.strip() == b"42"
