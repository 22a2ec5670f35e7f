"""Building another Kubernetes version, with a stand-in for `go`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Final

import pytest

from rbac_matrix.programs import other_version
from rbac_matrix.programs.go_build import GoMissingError, ModuleDownloadError
from rbac_matrix.programs.other_version import VersionError, build_version, go_mod_of

KUBERNETES: Final = """\
// Generated.

module k8s.io/kubernetes

go 1.24.0

godebug default=go1.24

require (
\tgithub.com/x/y v1.0.0
\tk8s.io/api v0.0.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/client-go => ./staging/src/k8s.io/client-go
)
"""
GO: Final = """\
#!/bin/sh
echo "$*" >> "$GO_CALLS"
case "$1 $2" in
"mod download") [ "$GO_FAILS" != "$2" ] || { echo "unknown revision" >&2; exit 1; }
    printf '{"Dir": "%s"}' "$GO_SOURCE" ;;
"mod tidy") [ "$GO_FAILS" != "$2" ] || { echo "no such host" >&2; exit 1; }
    echo "sum" >> go.sum ;;
"mod edit") echo '{"Tool": [{"Path": "k8s.io/kubernetes/cmd/kube-apiserver"},
    {"Path": "k8s.io/kubernetes/cmd/kube-controller-manager"}]}' ;;
env*) printf '{"GOVERSION": "go1.26.8", "GOOS": "linux", "GOARCH": "amd64"}' ;;
build*) for argument; do case "$argument" in -o=*) echo built > "${argument#-o=}" ;; esac; done ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A PATH with the stand-in, the source that it downloads, and a cache folder."""
    for name in ("bin", "source"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "go").write_text(GO, encoding="utf-8")
    (tmp_path / "bin" / "go").chmod(0o755)
    (tmp_path / "source" / "go.mod").write_text(KUBERNETES, encoding="utf-8")
    (tmp_path / "source" / "go.sum").write_text("github.com/x/y v1.0.0 h1:=\n", encoding="utf-8")
    return {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "RBAC_MATRIX_CACHE": str(tmp_path / "it's a cache"),
        "GO_CALLS": str(tmp_path / "calls"),
        "GO_SOURCE": str(tmp_path / "source"),
        "GO_FAILS": "",
    }


def test_staging_folders_become_the_published_modules() -> None:
    """Kubernetes v1.X.Y goes with v0.X.Y of its parts; nothing else of its go.mod changes."""
    text = go_mod_of(KUBERNETES, "v1.34.4")

    assert text == (
        "module rbac-matrix.example/kubernetes\n\n\n"
        "go 1.24.0\n\ngodebug default=go1.24\n\n"
        "require (\n\tgithub.com/x/y v1.0.0\n\tk8s.io/api v0.0.0\n)\n\n"
        "replace (\n\tk8s.io/api => k8s.io/api v0.34.4\n"
        "\tk8s.io/client-go => k8s.io/client-go v0.34.4\n)\n\n"
        "require k8s.io/kubernetes v1.34.4\n\n"
        "tool k8s.io/kubernetes/cmd/kube-apiserver\n"
        "tool k8s.io/kubernetes/cmd/kube-controller-manager\n"
    )


def test_the_programs_are_built_and_say_their_version(environment: dict[str, str]) -> None:
    """The version that kube-apiserver reports is linked in; a second call finds what is there."""
    programs = build_version("v1.34.4", environment, lambda _: None)
    calls = Path(environment["GO_CALLS"]).read_text(encoding="utf-8").splitlines()
    again = build_version("v1.34.4", environment, lambda _: None)
    more = Path(environment["GO_CALLS"]).read_text(encoding="utf-8").splitlines()[len(calls) :]

    assert [*programs] == ["kube-apiserver", "kube-controller-manager"]
    assert all(path.is_file() for path in programs.values())
    assert "mod download -json k8s.io/kubernetes@v1.34.4" in calls
    built = [call for call in calls if call.startswith("build ")]
    assert len(built) == 2
    assert all("version.gitVersion=v1.34.4 -X" in call for call in built)
    assert again == programs
    assert [call for call in more if not call.startswith(("env", "mod edit"))] == []


def test_a_half_made_module_is_made_again(environment: dict[str, str]) -> None:
    """An interrupted fetch leaves no module that a later run takes for whole."""
    with pytest.raises(ModuleDownloadError, match=r"go mod tidy failed. It said:\nno such host"):
        build_version("v1.34.4", environment | {"GO_FAILS": "tidy"}, lambda _: None)

    build_version("v1.34.4", environment, lambda _: None)

    folder = Path(environment["RBAC_MATRIX_CACHE"]) / "modules" / "v1.34.4" / "kubernetes"
    assert json.loads((folder / "module.json").read_text(encoding="utf-8"))["version"] == "v1.34.4"


@pytest.mark.parametrize("version", ["", "1.34.4", "v1.34", "v2.0.0", "latest", "v1.34.4/../x"])
def test_only_releases_can_be_built(environment: dict[str, str], version: str) -> None:
    """Anything else is refused before a program is started."""
    with pytest.raises(VersionError, match="write it as"):
        build_version(version, environment, lambda _: None)

    assert not Path(environment["GO_CALLS"]).exists()


def test_a_version_that_does_not_exist(environment: dict[str, str]) -> None:
    """Go's own words say why."""
    with pytest.raises(ModuleDownloadError, match="unknown revision"):
        build_version("v1.34.99", environment | {"GO_FAILS": "download"}, lambda _: None)


def test_without_go(environment: dict[str, str], tmp_path: Path) -> None:
    """The error says where Go is to be had."""
    with pytest.raises(GoMissingError, match=r"go\.dev/dl"):
        build_version("v1.34.4", environment | {"PATH": str(tmp_path)}, lambda _: None)


def test_the_command_prints_what_a_shell_evaluates(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The variables of the envtest convention; progress goes elsewhere."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert other_version.main(["v1.34.4"]) == 0

    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [word for word, _ in lines] == ["export", "export"]
    settings = dict(pair.split("=", 1) for _, pair in lines)
    assert settings.keys() == {"TEST_ASSET_KUBE_APISERVER", "TEST_ASSET_KUBE_CONTROLLER_MANAGER"}
    assert all(Path(path).is_file() for path in settings.values())


@pytest.mark.parametrize("arguments", [[], ["v1"], ["v1.34.4", "v1.35.4"]])
def test_the_command_fails_in_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed that a shell would evaluate."""
    assert other_version.main(arguments) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
