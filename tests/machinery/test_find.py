"""The order in which the control plane's programs are looked for."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from rbac_matrix.programs import find
from rbac_matrix.programs.download import SOURCES_FILE, ChecksumDiffersError, find_source
from rbac_matrix.programs.find import (
    BUILT_FROM,
    MODULES,
    ProgramPathError,
    ProgramsUnavailableError,
    VersionSkewError,
    find_control_plane,
)
from rbac_matrix.programs.go_build import read_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = "http://127.0.0.1:1"
VARIABLES = {
    "etcd": "TEST_ASSET_ETCD",
    "kube-apiserver": "TEST_ASSET_KUBE_APISERVER",
    "kube-controller-manager": "TEST_ASSET_KUBE_CONTROLLER_MANAGER",
}


@pytest.fixture(name="environment")
def _environment(tmp_path: Path) -> dict[str, str]:
    """No Go on PATH, and an empty cache."""
    return {"PATH": str(tmp_path / "no-bin"), "RBAC_MATRIX_CACHE": str(tmp_path / "cache")}


@pytest.fixture(name="site")
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served in the place of both release sites, for a linux/amd64 machine."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
            """Keep the test's output clean."""

    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    data = json.loads(SOURCES_FILE.read_text(encoding="utf-8"))
    url = f"http://127.0.0.1:{server.server_port}"
    data["release"]["site"] = data["envtest"]["site"] = url
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        entry = tarfile.TarInfo("controller-tools/envtest/etcd")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"etcd"))
    archive = stream.getvalue()
    data["envtest"]["sha512"] = {"linux/amd64": hashlib.sha512(archive).hexdigest()}
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps(data), encoding="utf-8")
    monkeypatch.setattr("rbac_matrix.programs.download.SOURCES_FILE", sources)
    monkeypatch.setattr(find, "this_machine", lambda: ("linux", "amd64"))
    for program in BUILT_FROM:
        source = find_source(program, ("linux", "amd64"))
        assert source is not None
        file = folder / source.url.removeprefix(f"{url}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(archive if source.member else program.encode())
        checksum = hashlib.sha512(file.read_bytes()).hexdigest()
        file.with_name(f"{file.name}.sha512").write_text(checksum, encoding="utf-8")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def program_in(folder: Path, name: str, says: str = "") -> Path:
    """An executable file."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def quiet(line: str) -> None:
    """Take progress lines and drop them."""


def test_programs_named_one_by_one_come_first(environment: dict[str, str], tmp_path: Path) -> None:
    """TEST_ASSET_* wins over KUBEBUILDER_ASSETS, and nothing is said."""
    for program, variable in VARIABLES.items():
        environment[variable] = str(program_in(tmp_path / "mine", f"my-{program}"))
        program_in(tmp_path / "assets", program)
    environment["KUBEBUILDER_ASSETS"] = str(tmp_path / "assets")
    said: list[str] = []

    found = find_control_plane(environment, say=said.append)

    assert found.etcd == tmp_path / "mine" / "my-etcd"
    assert found.kube_apiserver == tmp_path / "mine" / "my-kube-apiserver"
    assert found.kube_controller_manager == tmp_path / "mine" / "my-kube-controller-manager"
    assert said == []


def test_assets_folder_is_used(environment: dict[str, str], tmp_path: Path) -> None:
    """KUBEBUILDER_ASSETS is a folder with the programs under their own names."""
    for program in VARIABLES:
        program_in(tmp_path / "assets", program)
    environment["KUBEBUILDER_ASSETS"] = str(tmp_path / "assets")

    found = find_control_plane(environment, say=quiet)

    assert found.etcd == tmp_path / "assets" / "etcd"


@pytest.mark.parametrize("variable", [*VARIABLES.values(), "KUBEBUILDER_ASSETS"])
def test_wrong_path_is_an_error_and_not_passed_over(
    environment: dict[str, str], tmp_path: Path, variable: str
) -> None:
    """A variable that is set decides; where it is wrong, its name and value are in the message."""
    environment[variable] = str(tmp_path / "absent")

    with pytest.raises(ProgramPathError, match=rf"{variable}.*{tmp_path}/absent.*is no file"):
        find_control_plane(environment, say=quiet)


def test_file_that_is_not_executable_is_an_error(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The message says what is the matter with the file."""
    program_in(tmp_path, "my-etcd").chmod(0o644)
    environment["TEST_ASSET_ETCD"] = str(tmp_path / "my-etcd")

    with pytest.raises(ProgramPathError, match="my-etcd, which is not executable"):
        find_control_plane(environment, say=quiet)


@pytest.mark.usefixtures("site")
def test_controller_manager_missing_from_an_envtest_folder_is_downloaded(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """An envtest archive has none, so an assets folder without it is not wrong."""
    environment["KUBEBUILDER_ASSETS"] = str(tmp_path / "assets")
    program_in(tmp_path / "assets", "etcd")
    server = program_in(tmp_path / "mine", "my-server", says="Kubernetes v1.36.0")
    environment["TEST_ASSET_KUBE_APISERVER"] = str(server)

    found = find_control_plane(environment, say=quiet)

    assert found.etcd == tmp_path / "assets" / "etcd"
    assert found.kube_controller_manager.read_text(encoding="utf-8") == "kube-controller-manager"


@pytest.mark.parametrize("version", ["v1.35.4", "v1.38.0", "v2.36.0"])
def test_server_that_no_controller_manager_goes_with_is_refused(
    environment: dict[str, str], tmp_path: Path, version: str
) -> None:
    """A controller manager is never newer than its API server and at most one minor older."""
    server = program_in(tmp_path, "my-server", says=f"Kubernetes {version}")
    environment["TEST_ASSET_KUBE_APISERVER"] = str(server)

    with pytest.raises(VersionSkewError, match="TEST_ASSET_KUBE_CONTROLLER_MANAGER"):
        find_control_plane(environment, say=quiet)


def test_missing_programs_are_downloaded_and_then_cached(
    environment: dict[str, str], site: Path
) -> None:
    """A second search is silent and asks no site."""
    first = find_control_plane(environment, say=quiet)
    assert first.etcd.read_bytes() == b"etcd"
    assert first.kube_apiserver.read_bytes() == b"kube-apiserver"
    for file in site.rglob("*"):
        if file.is_file():
            file.unlink()
    said: list[str] = []

    assert find_control_plane(environment, say=said.append) == first
    assert said == []


def test_changed_download_stops_the_search(environment: dict[str, str], site: Path) -> None:
    """A file that is not what its publisher put there is not papered over by building."""
    for file in site.rglob("kube-apiserver"):
        file.write_bytes(b"changed")

    with pytest.raises(ChecksumDiffersError):
        find_control_plane(environment, say=quiet)


def test_without_any_way_the_ways_out_are_listed(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network and no Go: the message has what was tried, and three ways out."""
    monkeypatch.setattr(find, "this_machine", lambda: ("linux", "amd64"))

    with pytest.raises(ProgramsUnavailableError) as error:
        find_control_plane(environment, say=quiet, sites={"release": NOWHERE, "envtest": NOWHERE})

    for part in (
        "no etcd for the embedded control plane",
        "download: http://127.0.0.1:1/",
        "refused",
        "build: building etcd-v3.6.8 needs Go >= 1.26.0 on PATH",
        "1. set KUBEBUILDER_ASSETS",
        "2. a network",
        "3. Go >= 1.26",
    ):
        assert part in str(error.value)


@pytest.mark.usefixtures("site")
def test_download_can_be_left_out(environment: dict[str, str]) -> None:
    """RBAC_MATRIX_NO_DOWNLOAD goes straight to building, and the message says so."""
    environment["RBAC_MATRIX_NO_DOWNLOAD"] = "1"

    with pytest.raises(ProgramsUnavailableError, match="RBAC_MATRIX_NO_DOWNLOAD is set"):
        find_control_plane(environment, say=quiet)


def test_missing_programs_are_built_by_module(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network each module is built once, for the programs that are missing."""
    asked: list[tuple[str, list[str]]] = []

    def build(folder: Path, *, only: list[str], **_: object) -> dict[str, Path]:
        asked.append((folder.name, only))
        return {name: program_in(tmp_path / "built", name) for name in only}

    monkeypatch.setattr(find, "build_programs", build)
    monkeypatch.setattr(find, "this_machine", lambda: ("linux", "amd64"))
    environment["TEST_ASSET_ETCD"] = str(program_in(tmp_path, "my-etcd"))

    found = find_control_plane(environment, say=quiet, sites={"release": NOWHERE})

    assert asked == [("kubernetes", ["kube-apiserver", "kube-controller-manager"])]
    assert found.kube_apiserver == tmp_path / "built" / "kube-apiserver"


def test_pins_agree() -> None:
    """The version that is downloaded is the one that is built and that the binary reports."""
    module = read_module(MODULES / "kubernetes")
    source = find_source("kube-controller-manager", ("linux", "amd64"))

    assert source is not None
    assert source.version == module.version
    assert f"gitVersion={module.version} " in module.ldflags
    go_mod = (MODULES / "kubernetes" / "go.mod").read_text(encoding="utf-8")
    assert f"k8s.io/kubernetes {module.version}\n" in go_mod.replace(" // indirect", "")
