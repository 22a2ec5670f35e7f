"""Programs of another Kubernetes version than the pinned one, built with Go.

    eval "$(python -m rbac_matrix.programs.other_version v1.34.4)"

builds kube-apiserver and kube-controller-manager into the cache folder and prints the variables
that make `--cluster embedded` use them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.programs.cache import cache_folder, locked
from rbac_matrix.programs.find import API_SERVER, CONTROLLER_MANAGER, asset_variable
from rbac_matrix.programs.go_build import GoMissingError, ModuleDownloadError, build_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROGRAMS: Final = (API_SERVER, CONTROLLER_MANAGER)


class VersionError(RbacMatrixError):
    """What is given is no Kubernetes version."""


def build_version(
    version: str, environment: Mapping[str, str], say: Callable[[str], None]
) -> dict[str, Path]:
    """Build a Kubernetes version's API server and controller manager, or find them built.

    Args:
        version: `v1.34.4`; any release that the Go module proxy has.
        environment: The environment variables.
        say: Takes one line of progress.

    Returns:
        Absolute paths by program name.

    Raises:
        VersionError: It is not written like a release's.
        RbacMatrixError: There is no Go, no such version, or it cannot be built.
    """
    if not re.fullmatch(r"v1\.\d+\.\d+", version):
        raise VersionError(f"{version!r} is no Kubernetes version; write it as v1.34.4")
    cache = cache_folder(environment)
    folder = cache / "modules" / version / "kubernetes"
    with locked(folder, say):
        if not (folder / "module.json").is_file():
            say(f"fetching what Kubernetes {version} is built from")
            _write_module(folder, version, environment)
    return build_programs(folder, cache=cache, environment=environment, say=say, only=PROGRAMS)


def _write_module(folder: Path, version: str, environment: Mapping[str, str]) -> None:
    """Make a module folder as `go_build` reads it; `module.json` comes last."""
    downloaded = json.loads(
        _go(["mod", "download", "-json", f"k8s.io/kubernetes@{version}"], folder, environment)
    )
    source = Path(downloaded["Dir"])
    own = go_mod_of((source / "go.mod").read_text(encoding="utf-8"), version)
    (folder / "go.mod").write_text(own, encoding="utf-8")
    (folder / "go.sum").write_bytes((source / "go.sum").read_bytes())
    _go(["mod", "tidy"], folder, environment)
    variables = {"gitVersion": version, "gitMajor": "1", "gitMinor": version.split(".")[1]}
    flags = [
        f"-X k8s.io/component-base/version.{name}={value}" for name, value in variables.items()
    ]
    settings = {"version": version, "ldflags": " ".join(flags)}
    (folder / "module.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")


def go_mod_of(kubernetes: str, version: str) -> str:
    """The go.mod of a module that builds the programs with the requirements of Kubernetes itself.

    Args:
        kubernetes: The go.mod of k8s.io/kubernetes. Its `replace` lines lead to folders of its own
            repository, which are published as modules with the version v0.X.Y.
        version: Of Kubernetes, v1.X.Y.
    """
    lines = [line for line in kubernetes.splitlines() if not line.startswith(("module ", "//"))]
    text = re.sub(r"=> \./staging/src/(\S+)", rf"=> \1 v0{version[2:]}", "\n".join(lines))
    tools = "".join(f"tool k8s.io/kubernetes/cmd/{name}\n" for name in PROGRAMS)
    head = "module rbac-matrix.example/kubernetes\n"
    return f"{head}{text}\n\nrequire k8s.io/kubernetes {version}\n\n{tools}"


def _go(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    settings = {**environment, "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    try:
        done = subprocess.run(
            ["go", *arguments],
            cwd=folder,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise GoMissingError(
            "building another Kubernetes version needs go on PATH. Install it from "
            "https://go.dev/dl/."
        ) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ModuleDownloadError(f"go {' '.join(arguments)} failed. It said:\n{said}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Print `export` lines for a shell; the exit code is 1 with one sentence when it cannot."""
    try:
        programs = build_version(" ".join(arguments), os.environ, _say)
    except RbacMatrixError as error:
        _say(f"error: {error}")
        return 1
    for name, path in programs.items():
        print(f"export {asset_variable(name)}={shlex.quote(str(path))}")  # noqa: T201 - a command
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
