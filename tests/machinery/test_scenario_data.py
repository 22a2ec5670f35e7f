"""The scenarios of this repository: every file loads, and every document of them has its place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.cell import ResourceQuestion
from rbac_matrix.scenario_file import load_samples, load_scenario
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from rbac_matrix.discovery import Discovery

ROOT: Final = Path(__file__).parents[2]
EXPECTATIONS: Final = sorted((ROOT / "tests" / "access").glob("*.yaml"))
FOLDERS: Final = sorted(
    folder
    for folder in (ROOT / "manifests").iterdir()
    if folder.is_dir() and folder.name != "cluster"
)
YAML_FILES: Final = sorted(
    path
    for part in ("manifests", "tests/access", "rbac_matrix/samples")
    for path in (ROOT / part).rglob("*.y*ml")
)
SCHEMA_LINE: Final = "# yaml-language-server: $schema="


def name(path: Path) -> str:
    """A test id."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", EXPECTATIONS, ids=name)
def test_an_expectations_file_loads(file: Path, discovery: Discovery) -> None:
    """It has subjects and cells, and declares its schema on its first line for editors."""
    with resources.as_file(resources.files("rbac_matrix") / "samples") as folder:
        scenario = load_scenario(file, discovery, load_samples(folder))

    assert scenario.expectations
    assert {cell.subject for cell in scenario.expectations} == set(scenario.subjects)
    assert {
        cell.question.resource
        for cell in scenario.expectations
        if isinstance(cell.question, ResourceQuestion)
    } == set(scenario.resources)
    assert len({cell.id for cell in scenario.expectations}) == len(scenario.expectations)
    assert file.read_text(encoding="utf-8").startswith(SCHEMA_LINE)


@pytest.mark.parametrize("file", YAML_FILES, ids=name)
def test_a_yaml_file_is_one_document_that_can_be_read(file: Path) -> None:
    """The schema that it names for editors is there."""
    assert load_documents(file)
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(SCHEMA_LINE):
            assert (file.parent / line.removeprefix(SCHEMA_LINE)).is_file()


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_a_scenario_tells_its_story(folder: Path) -> None:
    """Its README.md has a heading, cites its document by title, and links to its expectations."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    asked = {
        file: load_documents(file)[0].plain["title"]
        for file in EXPECTATIONS
        if (file.parent / load_documents(file)[0].plain["manifests"]).resolve() == folder
    }

    assert asked, "no expectations file asks this scenario"
    assert text.startswith("# ")
    assert any(title in text for title in asked.values())
    for file in asked:
        assert f"(../../{name(file)})" in text


def test_access_is_accepted_of_each_scenario_and_of_nothing_else() -> None:
    """A file that a removed scenario left behind would be read as if it still held."""
    accepted = (ROOT / "tests" / "access" / "accepted").iterdir()

    assert {file.name for file in accepted} == {f"{file.stem}.txt" for file in EXPECTATIONS}


def test_there_is_something_to_load() -> None:
    """An empty folder would leave the tests above without a case, and green."""
    assert EXPECTATIONS
    assert FOLDERS
    assert len(YAML_FILES) > len(EXPECTATIONS) + len(FOLDERS)
