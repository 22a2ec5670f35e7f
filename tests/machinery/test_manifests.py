"""A folder of manifests: which files are read, in which order, and what makes two objects one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.errors import InputError, Position
from rbac_matrix.manifests import load_manifests

if TYPE_CHECKING:
    from pathlib import Path


def config_map(name: str, namespace: str = "default") -> str:
    """The smallest object."""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifests folder with two files, three objects, and things that are no manifests."""
    folder = tmp_path / "manifests"
    (folder / "subfolder").mkdir(parents=True)
    for name, text in {
        "b.yml": config_map("third"),
        "a.yaml": f"{config_map('first')}---\n{config_map('second')}",
        "README.md": "# Not a manifest\n",
        "c.json": "{}",
        "subfolder/d.yaml": config_map("below"),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def at(tmp_path: Path) -> Position:
    """Where the folder is named."""
    return Position(tmp_path / "expectations.yaml", 3)


def test_files_are_read_in_name_order(folder: Path) -> None:
    """`*.yaml` and `*.yml` of the folder itself, as `kubectl apply -f FOLDER` reads them."""
    objects = load_manifests(folder, (), at(folder))

    assert [found.name for found in objects] == ["first", "second", "third"]
    assert [found.at.line for found in objects] == [1, 5, 1]


def test_a_file_that_is_left_out_is_not_even_parsed(folder: Path) -> None:
    """`without` is for a file that cannot be applied here, whatever is in it."""
    (folder / "a.yaml").write_text("not: [yaml", encoding="utf-8")

    assert [found.name for found in load_manifests(folder, ["a.yaml"], at(folder))] == ["third"]


IDENTITIES: Final = {
    "other-name": (config_map("a"), config_map("b"), True),
    "other-namespace": (config_map("a"), config_map("a", "kube-system"), True),
    "other-kind": (config_map("a"), config_map("a").replace("ConfigMap", "Secret"), True),
    "other-group": (config_map("a"), config_map("a").replace("v1", "example.com/v1"), True),
    "other-data": (config_map("a"), f"{config_map('a')}data: {{b: c}}\n", False),
    "other-version": (
        config_map("a").replace("v1", "example.com/v1"),
        config_map("a").replace("v1", "example.com/v2"),
        False,
    ),
}


@pytest.mark.parametrize(("first", "second", "two"), IDENTITIES.values(), ids=IDENTITIES)
def test_group_kind_namespace_and_name_make_an_object(
    tmp_path: Path, first: str, second: str, *, two: bool
) -> None:
    """Of two with one identity the second would silently win on the cluster."""
    (tmp_path / "a.yaml").write_text(first, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(second, encoding="utf-8")

    if two:
        assert len(load_manifests(tmp_path, (), at(tmp_path))) == 2
    else:
        with pytest.raises(InputError, match="is defined a second time; first in ") as caught:
            load_manifests(tmp_path, (), at(tmp_path))
        assert Position(tmp_path / "b.yaml", 1) == caught.value.at


def test_other_kinds_are_passed_on_as_they_are(tmp_path: Path) -> None:
    """What does not decide access may have any field: the server checks it, strictly."""
    (tmp_path / "a.yaml").write_text(f"{config_map('a')}anything: [1]\n", encoding="utf-8")

    (found,) = load_manifests(tmp_path, (), at(tmp_path))

    assert found.body["anything"] == [1]
    assert str(found) == "ConfigMap default/a"
