"""Build programs from a pinned Go module into the cache folder.

A module folder holds `go.mod` (its `tool` lines name the programs), `go.sum`, and `module.json`:

    {"version": "v1.36.3",      shown in progress lines and in the cache folder's name
     "ldflags": "-X ...",       optional, added to `-s -w`
     "tags": ["no_btrfs"],      optional build tags
     "names": {"path": "etcd"}} optional, the program's name where the path's last part is not it

A command too: `python -m rbac_matrix.programs.go_build MODULE_FOLDER [--tool NAME ...]` prints the
path of each program. Only the standard library, filelock and platformdirs are imported, so that
a continuous integration script can run it from a nearly bare virtual environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.programs.cache import cache_folder, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROGRESS_SECONDS = 5.0
LINES_OF_OUTPUT_SHOWN = 12
RECIPE_FILES = ("go.mod", "go.sum", "module.json")
OLDEST_GO_WITH_TOOL_LINES = (1, 24)


class ModuleFolderError(RbacMatrixError):
    """A module folder lacks a file, or its `module.json` is not what it has to be."""


class GoMissingError(RbacMatrixError):
    """There is no `go` on PATH."""


class GoTooOldError(RbacMatrixError):
    """The `go` on PATH is older than the module asks for."""


class ModuleDownloadError(RbacMatrixError):
    """Go could not fetch a module, or what it fetched differs from `go.sum`."""


class BuildError(RbacMatrixError):
    """Go could not compile or link a program."""


@dataclass(frozen=True)
class GoModule:
    """A module folder, read.

    Attributes:
        folder: Where go.mod, go.sum and module.json are.
        version: The version of the programs, as they report it.
        ldflags: Linker flags besides `-s -w`.
        tags: Build tags.
        names: Program names by package path, where the path's last part is not the name.
        recipe: SHA-256 over the three files; a change of any gives another program.
    """

    folder: Path
    version: str
    ldflags: str
    tags: tuple[str, ...]
    names: Mapping[str, str]
    recipe: str

    @property
    def label(self) -> str:
        """The folder's name and version, which begin the name of its cache folder."""
        return f"{self.folder.name}-{self.version}"

    def program_name(self, package: str) -> str:
        """Name of the program of a package: the path's last part that is no major version."""
        parts = package.split("/")
        if len(parts) > 1 and re.fullmatch(r"v\d+", parts[-1]):
            parts.pop()
        return self.names.get(package, parts[-1])


@dataclass(frozen=True)
class Toolchain:
    """The `go` command and what it builds for.

    Attributes:
        command: Absolute path of `go`.
        version: As `go env GOVERSION` says, for example `go1.26.8`.
        system: GOOS.
        architecture: GOARCH.
        environment: Environment variables for every `go` command.
    """

    command: str
    version: str
    system: str
    architecture: str
    environment: Mapping[str, str]


def read_module(folder: Path) -> GoModule:
    """Read a module folder.

    Raises:
        ModuleFolderError: A file is missing, or `module.json` has a wrong key or value.
    """
    folder = folder.absolute()
    digest = hashlib.sha256()
    try:
        for name in RECIPE_FILES:
            content = (folder / name).read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        settings = json.loads((folder / "module.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModuleFolderError(
            f"{folder} is no module folder: {error}. It needs {', '.join(RECIPE_FILES)}."
        ) from error
    except ValueError as error:
        raise ModuleFolderError(f"{folder / 'module.json'} is not JSON: {error}") from error
    _check_settings(settings, folder / "module.json")
    return GoModule(
        folder=folder,
        version=settings["version"],
        ldflags=settings.get("ldflags", ""),
        tags=tuple(settings.get("tags", ())),
        names=settings.get("names", {}),
        recipe=digest.hexdigest(),
    )


def _check_settings(settings: Any, file: Path) -> None:  # noqa: ANN401 - parsed JSON is any value
    kinds = {"version": str, "ldflags": str, "tags": list, "names": dict}
    if not isinstance(settings, dict) or "version" not in settings:
        raise ModuleFolderError(f'{file} has to be an object with a "version".')
    for key, value in settings.items():
        if key not in kinds:
            raise ModuleFolderError(f"{file}: unknown key {key!r}; known are {', '.join(kinds)}.")
        if not isinstance(value, kinds[key]):
            raise ModuleFolderError(f"{file}: {key!r} has to be a {kinds[key].__name__}.")


def find_toolchain(module: GoModule, environment: Mapping[str, str]) -> Toolchain:
    """Find a `go` that can build a module.

    Raises:
        GoMissingError: No `go` on PATH.
        GoTooOldError: It is older than `go.mod` asks for and may not fetch a newer one.
    """
    needed = _needed_go(module)
    command = shutil.which("go", path=environment.get("PATH"))
    if command is None:
        raise GoMissingError(
            f"building {module.label} needs Go >= {needed} on PATH, and there is no go. "
            "Install it from https://go.dev/dl/."
        )
    # Programs without cgo run on any libc; a go.work of a folder above must not change the pins.
    settings = {**environment, "CGO_ENABLED": "0", "GOWORK": "off"}
    asked = subprocess.run(
        [command, "env", "-json", "GOVERSION", "GOOS", "GOARCH"],
        cwd=module.folder,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise GoTooOldError(
            f"{command} cannot build {module.label}, which needs Go >= {needed}. "
            f"It said:\n{asked.stderr.strip()}"
        )
    answer = json.loads(asked.stdout)
    if _numbers(answer["GOVERSION"]) < max(_numbers(needed), OLDEST_GO_WITH_TOOL_LINES):
        raise GoTooOldError(
            f"{command} is {answer['GOVERSION'] or 'older than Go 1.21'}, but {module.label} "
            f"needs Go >= {needed}. Install a newer one from https://go.dev/dl/."
        )
    return Toolchain(command, answer["GOVERSION"], answer["GOOS"], answer["GOARCH"], settings)


def _needed_go(module: GoModule) -> str:
    text = (module.folder / "go.mod").read_text(encoding="utf-8")
    line = re.search(r"^go (\S+)$", text, re.MULTILINE)
    if line is None:
        raise ModuleFolderError(f"{module.folder / 'go.mod'} has no `go` line.")
    return line[1]


def _numbers(version: str) -> tuple[int, ...]:
    """`go1.26.8` as (1, 26, 8), so that versions compare; nothing for a version without numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0])[:3])


def output_folder(module: GoModule, toolchain: Toolchain, cache: Path) -> Path:
    """Where the programs of a module go: another folder for another recipe, Go or system."""
    parts = (module.recipe, toolchain.version, toolchain.system, toolchain.architecture)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return cache / "programs" / f"{module.label}-{key}"


def built_program(module: GoModule, program: str, cache: Path) -> Path | None:
    """A program that an earlier run built from this recipe for this machine, by whatever Go.

    A cache folder is of use where no Go is, for example one that was carried to another host.
    """
    for note in sorted((cache / "programs").glob(f"{module.label}-*/built.json")):
        made = json.loads(note.read_text(encoding="utf-8"))
        here = (made["system"], made["architecture"]) == this_machine()
        if here and made["recipe"] == module.recipe and (note.parent / program).is_file():
            return note.parent / program
    return None


def this_machine() -> tuple[str, str]:
    """Operating system and processor by Go's and Kubernetes' names, as (`linux`, `amd64`)."""
    machine = platform.machine().lower()
    architectures = {"x86_64": "amd64", "aarch64": "arm64"}
    return platform.system().lower(), architectures.get(machine, machine)


def build_programs(
    folder: Path,
    *,
    cache: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    only: Sequence[str] = (),
) -> dict[str, Path]:
    """Build the programs of a module folder, or find them built.

    Args:
        folder: The module folder.
        cache: The cache folder.
        environment: Environment variables; `PATH` finds go, `GOPROXY` and the like reach it.
        say: Takes one line of progress; silent when everything is there.
        only: Names of the programs wanted; empty for every `tool` of the module.

    Returns:
        Absolute paths by program name, in the order asked for.

    Raises:
        ModuleFolderError: The folder is none, or has no such tool.
        GoMissingError: No `go` on PATH.
        GoTooOldError: An old one.
        ModuleDownloadError: Go could not fetch the modules.
        BuildError: Go could not build.
    """
    module = read_module(folder)
    toolchain = find_toolchain(module, environment)
    packages = _packages(module, toolchain)
    unknown = [name for name in only if name not in packages]
    if unknown:
        raise ModuleFolderError(
            f"{module.folder / 'go.mod'} has no tool {', '.join(unknown)}; "
            f"it has {', '.join(packages)}."
        )
    output = output_folder(module, toolchain, cache)
    programs = {name: output / name for name in only or packages}
    if all(path.is_file() for path in programs.values()):
        return programs
    with locked(output, say):
        for leftover in output.glob("*.partial"):
            leftover.unlink()
        for name, path in programs.items():
            if not path.is_file():
                _build(module, toolchain, packages[name], path, say)
        note = {
            "recipe": module.recipe,
            "go": toolchain.version,
            "system": toolchain.system,
            "architecture": toolchain.architecture,
        }
        partial = output / "built.json.partial"
        partial.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        partial.replace(output / "built.json")
    return programs


def _packages(module: GoModule, toolchain: Toolchain) -> dict[str, str]:
    """Package paths of the module's tools by program name, in go.mod's order."""
    read = subprocess.run(
        [toolchain.command, "mod", "edit", "-json"],
        cwd=module.folder,
        env=toolchain.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if read.returncode:
        raise ModuleFolderError(f"{module.folder / 'go.mod'}: {read.stderr.strip()}")
    tools = json.loads(read.stdout)["Tool"] or ()
    return {module.program_name(tool["Path"]): tool["Path"] for tool in tools}


def _build(
    module: GoModule,
    toolchain: Toolchain,
    package: str,
    program: Path,
    say: Callable[[str], None],
) -> None:
    """Build one program and move it into place."""
    title = f"{program.name} {module.version}"
    flags = [
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        f"-ldflags=-s -w {module.ldflags}".rstrip(),
        f"-tags={','.join(module.tags)}",
    ]
    started = time.monotonic()

    def fetching(lines: Sequence[str]) -> str:
        modules = sum(line.startswith("go: downloading") for line in lines)
        return f"fetching the source of {title}: {modules} modules so far"

    listed = _run_go(
        module,
        toolchain,
        ["list", *flags, "-deps", "-f={{if .Stale}}{{.ImportPath}}{{end}}", package],
        fetching,
        say,
    )
    if listed.code:
        raise ModuleDownloadError(
            f"go could not read the source of {title}. It needs the Go module registry "
            f"(GOPROXY), or a filled module cache. It said:\n{listed.last_lines}"
        )
    # Only what is not in Go's own build cache is compiled, and named by -v.
    total = len(listed.output.split())

    def compiling(lines: Sequence[str]) -> str:
        if len(lines) >= total - 1:  # what is left is the program itself
            return f"linking {title}"
        return f"building {title}: {len(lines)} of {total} packages"

    partial = program.with_name(f"{program.name}.partial")
    say(compiling(()))
    built = _run_go(
        module, toolchain, ["build", "-v", *flags, f"-o={partial}", package], compiling, say
    )
    if built.code:
        raise BuildError(f"go could not build {title}. It said:\n{built.last_lines}")
    partial.replace(program)
    say(f"built {title} in {duration(time.monotonic() - started)}")


@dataclass(frozen=True)
class _Finished:
    """What a `go` command left behind."""

    code: int
    output: str
    messages: Sequence[str]

    @property
    def last_lines(self) -> str:
        return "\n".join(f"  {line}" for line in self.messages[-LINES_OF_OUTPUT_SHOWN:])


def _run_go(
    module: GoModule,
    toolchain: Toolchain,
    arguments: Sequence[str],
    progress: Callable[[Sequence[str]], str],
    say: Callable[[str], None],
) -> _Finished:
    """Run `go` and say every few seconds how far it is, by the lines of its standard error."""
    started = time.monotonic()
    said = started
    messages: list[str] = []
    arriving: queue.Queue[str | None] = queue.Queue()

    def read(stream: Any) -> None:  # noqa: ANN401 - a text stream
        for line in stream:
            arriving.put(line.rstrip())
        arriving.put(None)

    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(
            [toolchain.command, *arguments],
            cwd=module.folder,
            env=toolchain.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        reader = threading.Thread(target=read, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            while True:
                try:
                    line = arriving.get(timeout=max(0, said + PROGRESS_SECONDS - time.monotonic()))
                except queue.Empty:
                    line = ""
                if line is None:
                    break
                if line:
                    messages.append(line)
                now = time.monotonic()
                if now >= said + PROGRESS_SECONDS:
                    said = now
                    say(f"{progress(messages)} ({duration(now - started)})")
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        output.seek(0)
        return _Finished(code, output.read(), messages)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `4 s`, `1 min 10 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build from the command line; the exit code is 1 with one sentence when it cannot."""
    parser = argparse.ArgumentParser(
        prog="python -m rbac_matrix.programs.go_build",
        description="Build the tools of a pinned Go module folder into the cache folder "
        "(RBAC_MATRIX_CACHE) and print the path of each, one a line.",
    )
    parser.add_argument("folder", type=Path, metavar="MODULE_FOLDER")
    parser.add_argument(
        "--tool", action="append", default=[], metavar="NAME", help="only this program; repeatable"
    )
    chosen = parser.parse_args(arguments)
    environment = dict(os.environ)
    try:
        programs = build_programs(
            chosen.folder,
            cache=cache_folder(environment),
            environment=environment,
            say=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201 - a command
            only=chosen.tool,
        )
    except RbacMatrixError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    for path in programs.values():
        print(path)  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
