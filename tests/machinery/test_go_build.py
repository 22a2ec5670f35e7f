"""Building from module folders, with a stand-in for `go` that does what a test tells it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from rbac_matrix.programs import go_build
from rbac_matrix.programs.go_build import (
    BuildError,
    GoMissingError,
    GoTooOldError,
    ModuleDownloadError,
    ModuleFolderError,
    build_programs,
    built_program,
    duration,
    output_folder,
    read_module,
)

GO = """#!/bin/sh
echo "$*" >> "$GO_CALLS"
case "$1" in
env) printf '{"GOVERSION": "%s", "GOOS": "linux", "GOARCH": "amd64"}' "$GO_VERSION" ;;
mod) echo '{"Tool": [{"Path": "example.test/server/v3"}, {"Path": "example.test/cmd/ctl"}]}' ;;
list)
    [ -z "$GO_REFUSES" ] || { echo "go: example.test: dial tcp: lookup refused" >&2; exit 1; }
    echo example.test/a; echo example.test/b ;;
build)
    echo example.test/a >&2
    [ -z "$GO_FAILS" ] || { echo "a.go:1:1: undefined: b" >&2; exit 1; }
    for argument; do case "$argument" in -o=*) echo built > "${argument#-o=}" ;; esac; done ;;
esac
"""


@pytest.fixture(name="module")
def _module(tmp_path: Path) -> Path:
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.test\n\ngo 1.26.0\n", encoding="utf-8")
    (folder / "go.sum").write_text("", encoding="utf-8")
    write_settings(
        folder,
        version="v1.2.3",
        ldflags="-X a.b=c",
        tags=["no_x", "no_y"],
        names={"example.test/server/v3": "serverd"},
    )
    return folder


@pytest.fixture(name="environment")
def _environment(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "go").write_text(GO, encoding="utf-8")
    (folder / "go").chmod(0o755)
    return {
        "PATH": f"{folder}:/usr/bin:/bin",
        "GO_CALLS": str(tmp_path / "calls"),
        "GO_VERSION": "go1.26.8",
    }


def write_settings(folder: Path, **settings: object) -> None:
    """Write a module.json."""
    (folder / "module.json").write_text(json.dumps(settings), encoding="utf-8")


def calls(environment: dict[str, str]) -> list[str]:
    """Arguments of every call of the stand-in."""
    return Path(environment["GO_CALLS"]).read_text(encoding="utf-8").splitlines()


def test_programs_are_built_with_pinned_and_static_flags(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A build keeps to go.sum, strips paths and symbols, and passes the folder's flags and tags."""
    programs = build_programs(
        module, cache=tmp_path / "cache", environment=environment, say=lambda _: None
    )

    assert list(programs) == ["serverd", "ctl"]
    assert all(path.read_text(encoding="utf-8") == "built\n" for path in programs.values())
    build = next(call for call in calls(environment) if call.startswith("build"))
    for flag in (
        "-mod=readonly",
        "-trimpath",
        "-ldflags=-s -w -X a.b=c",
        "-tags=no_x,no_y",
        "example.test/server/v3",
    ):
        assert flag in build


def test_second_build_is_silent_and_compiles_nothing(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Programs in the cache are used without a word and without `go build`."""
    cache = tmp_path / "cache"
    first = build_programs(module, cache=cache, environment=environment, say=lambda _: None)
    Path(environment["GO_CALLS"]).unlink()
    said: list[str] = []

    second = build_programs(module, cache=cache, environment=environment, say=said.append)

    assert second == first
    assert said == []
    assert {call.split()[0] for call in calls(environment)} == {"env", "mod"}


def test_only_the_programs_asked_for_are_built(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """`only` names programs, not packages."""
    programs = build_programs(
        module, cache=tmp_path, environment=environment, say=lambda _: None, only=["ctl"]
    )

    assert list(programs) == ["ctl"]
    assert not (programs["ctl"].parent / "serverd").exists()


@pytest.mark.parametrize("changed", ["go.mod", "go.sum", "module.json", "go"])
def test_changed_recipe_gets_its_own_folder(
    module: Path, environment: dict[str, str], tmp_path: Path, changed: str
) -> None:
    """Another go.mod, go.sum, module.json or Go never reuses what was built from the old one."""

    def build() -> Path:
        return build_programs(
            module, cache=tmp_path, environment=environment, say=lambda _: None, only=["ctl"]
        )["ctl"]

    before = build()
    if changed == "go":
        environment["GO_VERSION"] = "go1.26.9"
    else:
        with (module / changed).open("a", encoding="utf-8") as file:
            file.write("\n")

    assert build() != before


def test_progress_counts_the_packages_left_to_compile(
    module: Path,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Progress lines say which program, which version, how far and since when."""
    monkeypatch.setattr(go_build, "PROGRESS_SECONDS", 0)
    said: list[str] = []

    build_programs(module, cache=tmp_path, environment=environment, say=said.append, only=["ctl"])

    assert "building ctl v1.2.3: 0 of 2 packages" in said
    assert any(line.startswith("linking ctl v1.2.3 (") for line in said)
    assert said[-1].startswith("built ctl v1.2.3 in ")


def test_the_waiting_run_says_that_it_waits(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A run that finds the folder locked says so, and builds when the lock is free."""
    found = read_module(module)
    toolchain = go_build.find_toolchain(found, environment)
    output = output_folder(found, toolchain, tmp_path)
    output.parent.mkdir()
    other_run = filelock.FileLock(output.with_name(f"{output.name}.lock"))
    other_run.acquire()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        other_run.release()

    programs = build_programs(module, cache=tmp_path, environment=environment, say=say)

    assert said[0].startswith("waiting for another run that is filling ")
    assert all(path.is_file() for path in programs.values())


def test_interrupted_build_leaves_no_program(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A half-written program of a killed run is removed, never taken for a whole one."""
    found = read_module(module)
    output = output_folder(found, go_build.find_toolchain(found, environment), tmp_path)
    output.mkdir(parents=True)
    (output / "ctl.partial").write_text("half", encoding="utf-8")

    programs = build_programs(module, cache=tmp_path, environment=environment, say=lambda _: None)

    assert programs["ctl"].read_text(encoding="utf-8") == "built\n"
    assert not list(output.glob("*.partial"))


def test_missing_go_is_named(module: Path, tmp_path: Path) -> None:
    """Without go on PATH the message says which Go is needed."""
    with pytest.raises(GoMissingError, match=r"needs Go >= 1\.26\.0 on PATH"):
        build_programs(
            module, cache=tmp_path, environment={"PATH": str(tmp_path)}, say=lambda _: None
        )


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", ""])
def test_old_go_is_named(
    module: Path, environment: dict[str, str], tmp_path: Path, version: str
) -> None:
    """A Go older than go.mod's line is refused before it says something cryptic."""
    environment["GO_VERSION"] = version

    with pytest.raises(GoTooOldError, match=r"needs Go >= 1\.26\.0"):
        build_programs(module, cache=tmp_path, environment=environment, say=lambda _: None)


def test_refused_module_download_shows_what_go_said(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Source that cannot be fetched is told apart from source that does not compile."""
    environment["GO_REFUSES"] = "1"

    with pytest.raises(ModuleDownloadError, match="lookup refused"):
        build_programs(module, cache=tmp_path, environment=environment, say=lambda _: None)


def test_failing_build_shows_what_go_said(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A compiler error is shown, and nothing is in the cache."""
    environment["GO_FAILS"] = "1"

    with pytest.raises(BuildError, match="undefined: b"):
        build_programs(module, cache=tmp_path, environment=environment, say=lambda _: None)

    assert not list((tmp_path / "programs").rglob("ctl"))


def test_unknown_tool_is_answered_with_the_known_ones(
    module: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A wrong `--tool` lists what the module has."""
    with pytest.raises(ModuleFolderError, match="no tool nothing; it has serverd, ctl"):
        build_programs(
            module, cache=tmp_path, environment=environment, say=lambda _: None, only=["nothing"]
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"ldflags": ""}, "has to be an object with a", id="no-version"),
        pytest.param({"version": "v1", "flags": ""}, "unknown key 'flags'", id="unknown-key"),
        pytest.param({"version": "v1", "tags": "a"}, "'tags' has to be a list", id="wrong-kind"),
    ],
)
def test_wrong_settings_name_their_file(
    module: Path, settings: dict[str, object], message: str
) -> None:
    """A mistake in module.json is an error with the file's name, not a default."""
    write_settings(module, **settings)

    with pytest.raises(ModuleFolderError, match=message) as error:
        read_module(module)

    assert "module.json" in str(error.value)


def test_folder_without_go_sum_is_no_module_folder(module: Path) -> None:
    """Without go.sum nothing is pinned, so nothing is built."""
    (module / "go.sum").unlink()

    with pytest.raises(ModuleFolderError, match=r"go\.sum"):
        read_module(module)


def test_carried_cache_is_found_without_go(
    module: Path, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program built from the same recipe for this machine is found where there is no Go."""
    monkeypatch.setattr(go_build, "this_machine", lambda: ("linux", "amd64"))
    built = build_programs(module, cache=tmp_path, environment=environment, say=lambda _: None)

    assert built_program(read_module(module), "ctl", tmp_path) == built["ctl"]
    assert built_program(read_module(module), "other", tmp_path) is None
    monkeypatch.setattr(go_build, "this_machine", lambda: ("linux", "arm64"))
    assert built_program(read_module(module), "ctl", tmp_path) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(4.4, "4 s"), (59.6, "1 min 0 s"), (70, "1 min 10 s")]
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    """Minutes appear only where there are some."""
    assert duration(seconds) == said


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go on PATH")
def test_command_builds_a_program_that_runs(tmp_path: Path) -> None:
    """The command prints one path on standard output, and what is there runs."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "go.mod").write_text(
        "module example.test\n\ngo 1.24\n\ntool example.test/greet\n", encoding="utf-8"
    )
    (folder / "go.sum").write_text("", encoding="utf-8")
    (folder / "greet").mkdir()
    (folder / "greet" / "main.go").write_text(
        'package main\n\nvar name = ""\n\nfunc main() { print("hello ", name) }\n', encoding="utf-8"
    )
    write_settings(folder, version="v1", ldflags="-X main.name=you")

    built = subprocess.run(
        [sys.executable, "-m", "rbac_matrix.programs.go_build", str(folder), "--tool", "greet"],
        env={**os.environ, "RBAC_MATRIX_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )

    (program,) = built.stdout.splitlines()
    assert Path(program).is_relative_to(tmp_path / "cache" / "programs")
    ran = subprocess.run([program], capture_output=True, text=True, check=True)
    assert ran.stderr == "hello you"


def test_command_fails_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is no module folder ends the command with one line and exit code 1."""
    assert go_build.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} is no module folder")


def test_command_needs_little_to_run() -> None:
    """Only the standard library, filelock and platformdirs are imported: scripts rely on it."""
    program = (
        "import sys; before = set(sys.modules); import rbac_matrix.programs.go_build; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    listed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    foreign = set(listed.stdout.split()) - sys.stdlib_module_names
    assert foreign == {"filelock", "platformdirs", "rbac_matrix"}
