"""Which scenarios a run is about: those of the expectations files that its options name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.scenario_file import built_in_samples, expectation_files, load_scenario

if TYPE_CHECKING:
    from rbac_matrix.discovery import Discovery
    from rbac_matrix.scenario import Scenario

_SCENARIOS: Final = pytest.StashKey[dict[str, "Scenario"]]()


def scenarios_of(config: pytest.Config) -> dict[str, Scenario]:
    """The scenarios of this run by name, read once."""
    if _SCENARIOS not in config.stash:
        config.stash[_SCENARIOS] = read_scenarios(config, recorded_discovery())
    return config.stash[_SCENARIOS]


def read_scenarios(config: pytest.Config, discovery: Discovery) -> dict[str, Scenario]:
    """The scenarios of the expectations files, by name, with what a cluster serves."""
    samples = built_in_samples()
    found: dict[str, Scenario] = {}
    for file in _expectation_files(config):
        scenario = load_scenario(file, discovery, samples)
        if scenario.name in found:
            raise RbacMatrixError(
                f"two scenarios are named {scenario.name!r}: {found[scenario.name].file} and {file}"
            )
        found[scenario.name] = scenario
    return found


def expectation_paths(config: pytest.Config) -> list[Path]:
    """The files and folders that `--expectations` names, or `tests/access`."""
    named = config.getoption("expectations") or [config.rootpath / "tests" / "access"]
    return [Path(text).absolute() for text in named]


def _expectation_files(config: pytest.Config) -> list[Path]:
    files: list[Path] = []
    for path in expectation_paths(config):
        if not path.exists():
            raise RbacMatrixError(f"{path} does not exist (--expectations)")
        files += expectation_files(path)
    if not files:
        raise RbacMatrixError("there is no expectations file: nothing would be asked")
    return files
