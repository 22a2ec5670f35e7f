"""Downloads against a server on this machine that serves good and bad files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import filelock
import pytest

from rbac_matrix.programs import download as download_module
from rbac_matrix.programs.download import (
    ChecksumDiffersError,
    DownloadUnavailableError,
    HostileArchiveError,
    Source,
    download,
    find_source,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM = b"#!/bin/sh\necho program\n"
MEMBER = "controller-tools/envtest/etcd"


class Site:
    """A release site on this machine.

    Attributes:
        files: What it serves, by path.
        cut: Paths whose answers end half-way.
        silent: Set to make it take requests and not answer them.
        asked: Paths that were asked for.
    """

    def __init__(self) -> None:
        """Listen on a free port; the fixture serves."""
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.silent = False
        self.asked: list[str] = []
        self.over = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            timeout: ClassVar[float] = 10

            def do_GET(self) -> None:
                site.asked.append(self.path)
                if site.silent:
                    site.over.wait(10)
                    return
                content = site.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in site.cut else content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def publish(self, path: str, content: bytes) -> Source:
        """Serve a program with its checksum beside it."""
        self.files[path] = content
        self.files[f"{path}.sha512"] = hashlib.sha512(content).hexdigest().encode() + b"  name\n"
        return Source(f"{self.url}{path}", "v1", checksum_url=f"{self.url}{path}.sha512")

    def publish_archive(self, fill: Callable[[tarfile.TarFile], None]) -> Source:
        """Serve an archive whose checksum is pinned."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            fill(tar)
        content = stream.getvalue()
        self.files["/archive.tar.gz"] = content
        return Source(
            f"{self.url}/archive.tar.gz",
            "v1",
            sha512=hashlib.sha512(content).hexdigest(),
            member=MEMBER,
        )


@pytest.fixture(name="site")
def _site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.over.set()
    site.server.shutdown()
    site.server.server_close()
    thread.join()


@pytest.fixture(name="target")
def _target(tmp_path: Path) -> Path:
    return tmp_path / "programs" / "downloaded" / "program"


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add an ordinary file to an archive."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def assert_nothing_is_left(target: Path) -> None:
    """Neither the program nor a part of it is there."""
    assert list(target.parent.iterdir()) == []


def test_program_with_its_published_checksum_is_kept(site: Site, target: Path) -> None:
    """A single file is there whole, executable, and said."""
    said: list[str] = []

    source = site.publish("/v1/program", PROGRAM)
    download(source, target, say=said.append)

    assert target.read_bytes() == PROGRAM
    assert target.stat().st_mode & 0o111
    assert [file.name for file in target.parent.iterdir()] == ["program"]
    assert said == [f"downloading {source.url}"]


def test_program_is_downloaded_once(site: Site, target: Path) -> None:
    """A program that is there is asked for no more."""
    source = site.publish("/program", PROGRAM)
    download(source, target, say=lambda _: None)
    site.asked.clear()

    download(source, target, say=lambda _: None)

    assert site.asked == []


def test_differing_checksum_names_file_expected_and_got(site: Site, target: Path) -> None:
    """A changed file is an error with both checksums, and is thrown away."""
    source = site.publish("/program", PROGRAM)
    site.files["/program"] = PROGRAM + b"changed"

    with pytest.raises(ChecksumDiffersError) as error:
        download(source, target, say=lambda _: None)

    for part in (
        source.url,
        f"expected SHA-512 {hashlib.sha512(PROGRAM).hexdigest()}",
        f"got SHA-512      {hashlib.sha512(PROGRAM + b'changed').hexdigest()}",
    ):
        assert part in str(error.value)
    assert_nothing_is_left(target)


def test_differing_archive_is_not_unpacked(site: Site, target: Path) -> None:
    """The pinned checksum is compared before the archive is opened."""
    source = site.publish_archive(lambda tar: add(tar, MEMBER, PROGRAM))
    source = dataclasses.replace(source, sha512="0" * 128)

    with pytest.raises(ChecksumDiffersError, match="expected SHA-512 0000"):
        download(source, target, say=lambda _: None)

    assert_nothing_is_left(target)


def test_truncated_file_is_unavailable(site: Site, target: Path) -> None:
    """A connection that ends too early is told apart from a changed file."""
    source = site.publish("/program", PROGRAM)
    site.cut.add("/program")

    with pytest.raises(DownloadUnavailableError, match="ended after 11 of 23 bytes"):
        download(source, target, say=lambda _: None)

    assert_nothing_is_left(target)


@pytest.mark.parametrize("absent", ["/program", "/program.sha512"])
def test_absent_file_is_unavailable(site: Site, target: Path, absent: str) -> None:
    """A 404 for the program or for its checksum names the URL."""
    source = site.publish("/program", PROGRAM)
    del site.files[absent]

    with pytest.raises(DownloadUnavailableError, match=f"{absent}: 404"):
        download(source, target, say=lambda _: None)

    assert_nothing_is_left(target)


def test_page_in_the_place_of_a_checksum_is_unavailable(site: Site, target: Path) -> None:
    """A portal's page is not taken for a checksum."""
    source = site.publish("/program", PROGRAM)
    site.files["/program.sha512"] = b"<html>please log in</html>"

    with pytest.raises(DownloadUnavailableError, match="does not begin with a SHA-512"):
        download(source, target, say=lambda _: None)


def test_refused_connection_is_unavailable_at_once(site: Site, target: Path) -> None:
    """Where nobody listens, the next way to a program begins at once."""
    source = site.publish("/program", PROGRAM)
    refused = dataclasses.replace(source, checksum_url="http://127.0.0.1:1/program.sha512")
    before = time.monotonic()

    with pytest.raises(DownloadUnavailableError, match="refused"):
        download(refused, target, say=lambda _: None)

    assert time.monotonic() - before < 2


def test_silent_server_is_given_up(site: Site, target: Path) -> None:
    """A server that takes the request and says nothing is left after the answer's deadline."""
    source = site.publish("/program", PROGRAM)
    site.silent = True

    with pytest.raises(DownloadUnavailableError, match="no answer within"):
        download(source, target, say=lambda _: None, answer_seconds=0.2)


def test_redirect_without_tls_is_not_followed() -> None:
    """An opener for https has no way to http, wherever a redirect points."""
    opener = download_module._opener("https://example.test/program")

    with pytest.raises(OSError, match="unknown url type: http"):
        opener.open("http://127.0.0.1/program")


def test_archive_gives_its_program_and_nothing_else(
    site: Site, target: Path, tmp_path: Path
) -> None:
    """Members with paths that lead out of the folder are not written anywhere."""

    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "../../escaped", b"hostile")
        add(tar, str(tmp_path / "absolute"), b"hostile")
        add(tar, MEMBER, PROGRAM)
        add(tar, "controller-tools/envtest/kubectl", b"not wanted")

    download(site.publish_archive(fill), target, say=lambda _: None)

    assert target.read_bytes() == PROGRAM
    files = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {"program", "downloaded.lock"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_program_that_is_a_link_is_refused(
    site: Site, target: Path, tmp_path: Path, kind: bytes
) -> None:
    """A member that points at a file of this machine does not become the program."""
    (tmp_path / "secret").write_text("secret", encoding="utf-8")

    def fill(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(MEMBER)
        entry.type = kind
        entry.linkname = str(tmp_path / "secret")
        tar.addfile(entry)

    with pytest.raises(HostileArchiveError, match="no ordinary file"):
        download(site.publish_archive(fill), target, say=lambda _: None)

    assert_nothing_is_left(target)


def test_archive_without_the_program_is_refused(site: Site, target: Path) -> None:
    """The message names the member that is missing."""
    source = site.publish_archive(lambda tar: add(tar, "other", PROGRAM))

    with pytest.raises(HostileArchiveError, match=f"has no {MEMBER}"):
        download(source, target, say=lambda _: None)


def test_waiting_run_uses_what_the_other_run_fetched(site: Site, target: Path) -> None:
    """Two runs fetch a program once."""
    source = site.publish("/program", PROGRAM)
    target.parent.mkdir(parents=True)
    other_run = filelock.FileLock(target.parent.with_name("downloaded.lock"))
    other_run.acquire()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        target.write_bytes(PROGRAM)
        other_run.release()

    download(source, target, say=say)

    assert said == [f"waiting for another run that is filling {target.parent}"]
    assert site.asked == []


def test_long_download_says_how_far_it_is(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress has megabytes done, the total and the time."""
    monkeypatch.setattr(download_module, "PROGRESS_SECONDS", 0)
    said: list[str] = []

    download(site.publish("/program", b"x" * 3_000_000), target, say=said.append)

    assert said[-1] == "downloading program: 3 of 3 MB (0 s)"


def test_sources_name_the_version_that_is_built() -> None:
    """Downloaded and built programs are the same version of Kubernetes."""
    source = find_source("kube-apiserver", ("linux", "amd64"))

    assert source is not None
    assert source.url == f"https://dl.k8s.io/{source.version}/bin/linux/amd64/kube-apiserver"
    assert source.checksum_url == f"{source.url}.sha512"


def test_etcd_comes_from_an_archive_with_a_pinned_checksum() -> None:
    """No checksum is fetched for it."""
    source = find_source("etcd", ("linux", "amd64"), sites={"envtest": "http://mirror.test"})

    assert source is not None
    assert source.url.startswith("http://mirror.test/envtest-v1.36.2/")
    assert source.member == MEMBER
    assert len(source.sha512 or "") == 128


@pytest.mark.parametrize(
    ("program", "machine"),
    [("etcd", ("linux", "arm64")), ("kube-controller-manager", ("darwin", "arm64"))],
)
def test_machines_without_a_checksum_have_no_source(program: str, machine: tuple[str, str]) -> None:
    """What nobody published for a machine, or nobody pinned, is not downloaded."""
    assert find_source(program, machine) is None
