"""What tests of the machinery share, and the guard that keeps them to this machine."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.discovery import Discovery, recorded_discovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLUSTER_PROGRAMS: Final = frozenset(
    {"docker", "podman", "nerdctl", "kind", "kubectl", "kubelet", "etcd", "kube-apiserver"}
)
_PLACES: Final = (
    "tests/machinery needs no cluster and no network. A test that asks a cluster belongs in "
    "tests/access (its expectations are data) or tests/honesty, a test of the embedded control "
    "plane in tests/embedded"
)


class _Guard:
    """Refuses what a test of the machinery may not do, for as long as it is armed.

    An audit hook sees every connection, name lookup and program start of this process, whichever
    library asks for it. It cannot be taken away again, so it is switched on and off.
    """

    def __init__(self) -> None:
        self.armed = False
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in ("socket.connect", "socket.sendto"):
            self._check_address(arguments[1])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            self._check_host(arguments[0])
        elif event == "subprocess.Popen":
            # The program is the argument list's first; `executable` is it too unless it is given.
            self._check_program(arguments[0] or arguments[1][0])
        elif event in ("os.posix_spawn", "os.exec"):
            self._check_program(arguments[0])
        elif event == "os.system":
            self._check_program(os.fsdecode(arguments[0]).split()[0])

    def _check_address(self, address: object) -> None:
        if isinstance(address, tuple):  # Other families, such as Unix sockets, stay on the machine.
            self._check_host(address[0])

    def _check_host(self, host: object) -> None:
        name = os.fsdecode(host) if isinstance(host, (str, bytes)) else ""
        if name in ("", "localhost"):
            return
        try:
            local = ipaddress.ip_address(name).is_loopback
        except ValueError:
            local = False
        if not local:
            self._refuse(f"this test reaches for {name}")

    def _check_program(self, program: str | bytes | os.PathLike[str]) -> None:
        name = Path(os.fsdecode(program)).name
        if name in _CLUSTER_PROGRAMS:
            self._refuse(f"this test starts {name}")

    @staticmethod
    def _refuse(what: str) -> None:
        # Not an Exception: code that copes with a failed connection must not cope with this.
        pytest.fail(f"{what}. {_PLACES}.", pytrace=True)


_GUARD: Final = _Guard()


@pytest.fixture(autouse=True)
def _no_cluster_and_no_network() -> Iterator[None]:
    """Without it, a test that asks a real cluster passes on its author's machine only."""
    _GUARD.armed = True
    yield
    _GUARD.armed = False


@pytest.fixture
def write_scenario() -> Callable[..., Path]:
    """Write a scenario whose one subject, `default/default`, may get pods; gives its file.

    By another name, with another manifest, or with its manifests in another folder.
    """
    small = Path(__file__).parent / "small"

    def write(
        folder: Path, name: str = "shop", manifest: str = "", manifests: str = "manifests"
    ) -> Path:
        role, file = folder / manifests / "role.yaml", folder / f"{name}.yaml"
        for path in (role, file):
            path.parent.mkdir(parents=True, exist_ok=True)
        grant = (small / "manifests" / "role.yaml").read_text(encoding="utf-8")
        role.write_text(manifest or grant, encoding="utf-8")
        text = (small / "shop.yaml").read_text(encoding="utf-8")
        text = text.replace("scenario: shop", f"scenario: {name}")
        text = text.replace("manifests: manifests", f"manifests: {manifests}")
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def small_project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, write_scenario: Callable[..., Path]
) -> pytest.Pytester:
    """A project of its own with this plugin and the scenarios `shop` and `yard`, but no tests."""
    monkeypatch.setenv("COLUMNS", "250")
    for name in ("ACTIONS", "STEP_SUMMARY", "WORKSPACE", "REPOSITORY"):
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    # Neither seconds for, nor surprises from, what else is installed.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_kind.plugin")
    pytester.makeconftest('pytest_plugins = ["rbac_matrix.plugin"]\n')
    for scenario in ("shop", "yard"):
        write_scenario(pytester.path / "expected", scenario)
    return pytester


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str, str], None]:
    """Compare a text with a golden file; what came is kept, to be taken over where it is right."""

    def check(name: str, text: str) -> None:
        came, wanted = tmp_path / f"came-{name}", Path(__file__).parent / "golden" / name
        came.write_text(text, encoding="utf-8")

        assert text == wanted.read_text(encoding="utf-8"), f"if this is right: cp {came} {wanted}"

    return check


@pytest.fixture(scope="session")
def discovery() -> Discovery:
    """What the recorded Kubernetes version serves."""
    return recorded_discovery()
