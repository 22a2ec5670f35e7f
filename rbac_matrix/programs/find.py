"""Find the three programs of an embedded control plane.

In this order, for each program: the envtest convention's variables (`TEST_ASSET_ETCD`,
`TEST_ASSET_KUBE_APISERVER`, `TEST_ASSET_KUBE_CONTROLLER_MANAGER`, then `KUBEBUILDER_ASSETS`), the
cache folder, a download with a published checksum, a build with Go. `RBAC_MATRIX_NO_DOWNLOAD`,
set to anything, leaves the download out.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.programs.cache import cache_folder
from rbac_matrix.programs.download import DownloadUnavailableError, download, find_source
from rbac_matrix.programs.go_build import build_programs, built_program, read_module, this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODULES = Path(__file__).with_name("modules")
ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
# By program, the module folder that builds it.
BUILT_FROM = {ETCD: "etcd", API_SERVER: "kubernetes", CONTROLLER_MANAGER: "kubernetes"}
VERSION_SECONDS = 30.0


@dataclass(frozen=True)
class ControlPlanePrograms:
    """Absolute paths of programs that exist."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path


class ProgramPathError(RbacMatrixError):
    """An environment variable names a program that is not there or not executable."""


class VersionSkewError(RbacMatrixError):
    """The API server that was given goes with no controller manager that can be had."""


class ProgramsUnavailableError(RbacMatrixError):
    """Every way to the programs failed."""


def find_control_plane(
    environment: Mapping[str, str],
    *,
    say: Callable[[str], None],
    sites: Mapping[str, str] | None = None,
) -> ControlPlanePrograms:
    """Find, download or build what a control plane needs.

    Args:
        environment: The environment variables.
        say: Takes one line of progress; silent when everything is found.
        sites: Other base URLs for downloads, see `download.find_source`.

    Raises:
        ProgramPathError: A variable is set, but not to a program. It is never passed over.
        VersionSkewError: No controller manager goes with the API server that was given.
        ChecksumDiffersError: A download is not what its publisher put there.
        ProgramsUnavailableError: No way led to a program; the message names the ways out.
    """
    cache = cache_folder(environment)
    found = {
        program: path
        for program in BUILT_FROM
        if (path := given_program(program, environment)) is not None
    }
    version = read_module(MODULES / "kubernetes").version
    if API_SERVER in found and CONTROLLER_MANAGER not in found:
        _check_skew(found[API_SERVER], version)
    attempts: list[str] = []
    for program in BUILT_FROM:
        if program not in found and (cached := _cached(program, cache)) is not None:
            found[program] = cached
    _download_missing(
        found, environment=environment, cache=cache, sites=sites, say=say, attempts=attempts
    )
    for folder in dict.fromkeys(BUILT_FROM.values()):
        wanted = [name for name, of in BUILT_FROM.items() if of == folder and name not in found]
        if not wanted:
            continue
        try:
            found |= build_programs(
                MODULES / folder, cache=cache, environment=environment, say=say, only=wanted
            )
        except RbacMatrixError as error:
            raise ProgramsUnavailableError(_ways_out(wanted, [*attempts, f"build: {error}"])) from (
                error
            )
    return ControlPlanePrograms(found[ETCD], found[API_SERVER], found[CONTROLLER_MANAGER])


def asset_variable(program: str) -> str:
    """The envtest convention's variable for one program."""
    return f"TEST_ASSET_{program.upper().replace('-', '_')}"


def given_program(program: str, environment: Mapping[str, str]) -> Path | None:
    """The program that the envtest convention's variables name, or None where they are not set.

    Raises:
        ProgramPathError: They name something that is no executable file.
    """
    variable = asset_variable(program)
    if environment.get(variable):
        return _executable(Path(environment[variable]), f"{variable} is set to")
    folder = environment.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    path = Path(folder) / program
    # envtest's archives hold no controller manager; without one there the search goes on.
    if program == CONTROLLER_MANAGER and Path(folder).is_dir() and not path.exists():
        return None
    return _executable(path, "KUBEBUILDER_ASSETS makes it")


def _executable(path: Path, origin: str) -> Path:
    if path.is_file() and os.access(path, os.X_OK):
        return path.absolute()
    problem = "is not executable" if path.is_file() else "is no file"
    raise ProgramPathError(f"{origin} {path}, which {problem}. Correct the variable or unset it.")


def _check_skew(api_server: Path, version: str) -> None:
    """A controller manager may be as old as the API server or one minor older, never newer.

    https://kubernetes.io/releases/version-skew-policy/
    """
    try:
        said = subprocess.run(
            [api_server, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=VERSION_SECONDS,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramPathError(f"{api_server} does not run: {error}") from error
    given = re.search(r"v(\d+)\.(\d+)\.", said)
    ours = re.match(r"v(\d+)\.(\d+)\.", version)
    if given is None or ours is None:
        raise ProgramPathError(f"{api_server} --version does not name a version: {said!r}")
    if given[1] != ours[1] or int(given[2]) - int(ours[2]) not in {0, 1}:
        raise VersionSkewError(
            f"{api_server} is {said.strip()}, and the controller manager that this suite brings "
            f"along is {version}, which does not go with it. Set "
            "TEST_ASSET_KUBE_CONTROLLER_MANAGER to one of the API server's own version."
        )


def _cached(program: str, cache: Path) -> Path | None:
    module = read_module(MODULES / BUILT_FROM[program])
    built = built_program(module, program, cache)
    if built is not None:
        return built
    source = find_source(program, this_machine())
    if source is None:
        return None
    downloaded = _download_target(program, source.version, cache)
    return downloaded if downloaded.is_file() else None


def _download_target(program: str, version: str, cache: Path) -> Path:
    machine = "-".join(this_machine())
    return cache / "programs" / f"downloaded-{program}-{version}-{machine}" / program


def _download_missing(  # noqa: PLR0913 - the parts of one search
    found: dict[str, Path],
    *,
    environment: Mapping[str, str],
    cache: Path,
    sites: Mapping[str, str] | None,
    say: Callable[[str], None],
    attempts: list[str],
) -> None:
    """Download what is missing, until the first file that cannot be had."""
    missing = [program for program in BUILT_FROM if program not in found]
    if missing and environment.get("RBAC_MATRIX_NO_DOWNLOAD"):
        attempts.append("download: left out, because RBAC_MATRIX_NO_DOWNLOAD is set")
        return
    for program in missing:
        source = find_source(program, this_machine(), sites=sites)
        if source is None:
            machine = "/".join(this_machine())
            attempts.append(f"download: nothing with a known checksum for {program} on {machine}")
            continue
        target = _download_target(program, source.version, cache)
        try:
            download(source, target, say=say)
        except DownloadUnavailableError as error:
            say(f"no download: {error}")
            attempts.append(f"download: {error}")
            return
        found[program] = target


def _ways_out(missing: list[str], attempts: list[str]) -> str:
    tried = "\n".join(f"  {attempt}" for attempt in attempts)
    return (
        f"no {' and no '.join(missing)} for the embedded control plane. What was tried:\n{tried}\n"
        "There are three ways out:\n"
        "  1. set KUBEBUILDER_ASSETS to a folder that has etcd, kube-apiserver and "
        "kube-controller-manager\n"
        "  2. a network that reaches dl.k8s.io and github.com, for the download\n"
        "  3. Go >= 1.26 on PATH and a network that reaches a Go module proxy, for building"
    )
