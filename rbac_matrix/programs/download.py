"""Download programs and check them against their publisher's checksums.

What is downloaded from where is data, `sources.json`. Kubernetes' release site has every server
program as a single file with its SHA-512 beside it, so the API server and the controller manager
come from there in exactly the version that is built elsewhere. It has no etcd: that comes from
the envtest archive, whose checksum is pinned here. The newest archive in envtest's index was
v1.36.2 when it was pinned, one patch behind, which is of no matter to the etcd in it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.programs.cache import locked
from rbac_matrix.programs.go_build import PROGRESS_SECONDS, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SOURCES_FILE = Path(__file__).with_name("sources.json")
# Name look-up, connection, redirects and the first byte together. Without a network the next way
# to a program should begin soon.
ANSWER_SECONDS = 4.0
STALLED_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
LONGEST_CHECKSUM_FILE = 4096
EXECUTABLE = 0o755


class DownloadUnavailableError(RbacMatrixError):
    """A file could not be fetched: no network, not there, or cut short."""


class ChecksumDiffersError(RbacMatrixError):
    """A file is not the one that its publisher put there."""

    def __init__(self, url: str, expected: str, got: str) -> None:
        """Name the file and both checksums.

        Args:
            url: Where the file came from.
            expected: SHA-512 as published or pinned.
            got: SHA-512 of what arrived.
        """
        super().__init__(
            f"{url} is not what its publisher put there; it was thrown away.\n"
            f"  expected SHA-512 {expected}\n"
            f"  got SHA-512      {got}\n"
            "Try again on a network that does not change files. If it stays so, set "
            "RBAC_MATRIX_NO_DOWNLOAD=1 to build with Go instead."
        )


class HostileArchiveError(RbacMatrixError):
    """An archive has no ordinary file where the program should be."""


@dataclass(frozen=True)
class Source:
    """Where one program comes from.

    Attributes:
        url: The program, or an archive with it.
        version: Of what the URL names.
        sha512: Its pinned checksum; None when `checksum_url` has it.
        checksum_url: File whose first word is the SHA-512 of the URL's content.
        member: Path of the program in the archive; None when the URL is the program.
    """

    url: str
    version: str
    sha512: str | None = None
    checksum_url: str | None = None
    member: str | None = None


def find_source(
    program: str,
    machine: tuple[str, str],
    *,
    version: str | None = None,
    sites: Mapping[str, str] | None = None,
) -> Source | None:
    """Look a program up in `sources.json`.

    Args:
        program: For example `etcd`.
        machine: Operating system and processor by Go's names.
        version: Of Kubernetes, instead of the one in the file; etcd is the same for all.
        sites: Other base URLs, by the names `release` and `envtest`.

    Returns:
        Its source, or None where nothing with a checksum is published for this machine.
    """
    data = json.loads(SOURCES_FILE.read_text(encoding="utf-8"))
    system, architecture = machine
    platform = f"{system}/{architecture}"
    names = {"program": program, "system": system, "architecture": architecture}

    release = data["release"]
    if program in release["programs"] and platform in release["platforms"]:
        names["version"] = version or data["kubernetes"]
        site = (sites or {}).get("release", release["site"])
        url = f"{site}/{release['path'].format(**names)}"
        return Source(url, names["version"], checksum_url=f"{url}{release['checksum_suffix']}")
    envtest = data["envtest"]
    if program in envtest["programs"] and platform in envtest["sha512"]:
        names["version"] = envtest["version"]
        site = (sites or {}).get("envtest", envtest["site"])
        return Source(
            f"{site}/{envtest['path'].format(**names)}",
            names["version"],
            sha512=envtest["sha512"][platform],
            member=envtest["member"].format(**names),
        )
    return None


def download(
    source: Source,
    program: Path,
    *,
    say: Callable[[str], None],
    answer_seconds: float = ANSWER_SECONDS,
) -> None:
    """Put a program in its place, unless another run has done so.

    Nothing is unpacked or made executable before its checksum agrees.

    Args:
        source: Where it comes from.
        program: Where it goes; its folder is made, and locked against other runs.
        say: Takes one line of progress.
        answer_seconds: How long a server may take to begin an answer.

    Raises:
        DownloadUnavailableError: It could not be fetched.
        ChecksumDiffersError: It is another file.
        HostileArchiveError: The archive is the right one, but has no such ordinary file.
    """
    with locked(program.parent, say):
        if program.is_file():
            return
        fetched = program.with_name(f"{program.name}.fetched")
        partial = program.with_name(f"{program.name}.partial")
        try:
            expected = source.sha512 or _published_checksum(source, answer_seconds)
            got = _fetch(source, fetched, say, answer_seconds)
            if got != expected:
                raise ChecksumDiffersError(source.url, expected, got)
            if source.member is None:
                fetched.replace(partial)
            else:
                _unpack(fetched, source.member, partial)
            partial.chmod(EXECUTABLE)
            partial.replace(program)
        finally:
            fetched.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)


def _published_checksum(source: Source, answer_seconds: float) -> str:
    url = source.checksum_url or ""
    with _open(url, answer_seconds) as response:
        text = b"".join(_chunks(url, response, LONGEST_CHECKSUM_FILE)).decode(errors="replace")
    found = re.match(r"\s*([0-9a-fA-F]{128})\b", text)
    if found is None:
        raise DownloadUnavailableError(f"{url} does not begin with a SHA-512: {text[:100]!r}")
    return found[1].lower()


def _fetch(source: Source, file: Path, say: Callable[[str], None], answer_seconds: float) -> str:
    """Stream a URL into a file; returns its SHA-512."""
    digest = hashlib.sha512()
    started = said = time.monotonic()
    done = 0
    with _open(source.url, answer_seconds) as response, file.open("wb") as stream:
        length = int(response.headers.get("Content-Length") or 0)
        total = f" of {length / 1e6:.0f}" if length else ""
        say(f"downloading {source.url}")
        for chunk in _chunks(source.url, response):
            stream.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            now = time.monotonic()
            if now >= said + PROGRESS_SECONDS:
                said = now
                took = duration(now - started)
                say(f"downloading {file.stem}: {done / 1e6:.0f}{total} MB ({took})")
    if length and done != length:
        raise DownloadUnavailableError(f"{source.url} ended after {done} of {length} bytes")
    return digest.hexdigest()


def _chunks(url: str, response: Any, size: int = CHUNK_BYTES) -> Iterator[bytes]:  # noqa: ANN401 - urllib promises no type
    try:
        while chunk := response.read(size):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise DownloadUnavailableError(f"{url} broke off: {error}") from error


def _opener(url: str) -> urllib.request.OpenerDirector:
    """An opener for one scheme only: a redirect from https to http finds no handler."""
    opener = urllib.request.OpenerDirector()
    https = url.startswith("https:")
    for handler in (
        urllib.request.HTTPSHandler() if https else urllib.request.HTTPHandler(),
        urllib.request.ProxyHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _open(url: str, answer_seconds: float) -> Any:  # noqa: ANN401 - urllib promises no type
    """Open a URL, with one deadline for everything up to the answer's first line.

    Sockets' own timeouts do not cover the look-up of names, which can take half a minute where
    there is no network, so this waits for a thread instead.
    """
    opened: list[Any] = []
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            opened.append(_opener(url).open(url, timeout=STALLED_SECONDS))
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread
            failed.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(answer_seconds)
    if opened:
        return opened[0]
    if not failed:
        raise DownloadUnavailableError(f"{url}: no answer within {answer_seconds:.0f} s")
    error = failed[0]
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        raise DownloadUnavailableError(f"{url}: {error.code} {error.reason}") from error
    if isinstance(error, urllib.error.URLError):
        raise DownloadUnavailableError(f"{url}: {error.reason}") from error
    if isinstance(error, OSError | http.client.HTTPException):
        raise DownloadUnavailableError(f"{url}: {error}") from error
    raise error


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Copy one ordinary file out of a tar archive; nothing else in it is looked at."""
    try:
        with tarfile.open(archive) as tar:
            entry = tar.getmember(member)
            content = tar.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise HostileArchiveError(f"{member} is no ordinary file in its archive")
            with content, target.open("wb") as stream:
                shutil.copyfileobj(content, stream)
    except KeyError as error:
        raise HostileArchiveError(f"the archive has no {member}") from error
    except tarfile.TarError as error:
        raise HostileArchiveError(f"what should be an archive with {member} is none") from error
