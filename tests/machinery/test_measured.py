"""Measured times: what is printed and what is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rbac_matrix.measured import Measured
from rbac_matrix.schema import validator

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = "pytester"


def test_a_line_has_median_and_maximum() -> None:
    """Each name has a line, several times with median and maximum; the slowest is first."""
    measured = Measured()
    measured.record("a grant", 0.01)
    for seconds in (1.0, 9.5, 2.0):
        measured.record("a deleted token", seconds)

    assert measured.lines() == [
        " 2.000 s median, 9.500 s maximum of 3: a deleted token",
        " 0.010 s: a grant",
    ]


def test_a_block_is_timed() -> None:
    """A block that ends is noted; one that raises is not."""
    measured = Measured()
    with measured.timing("quick"):
        pass
    with pytest.raises(ValueError, match="stopped"), measured.timing("broken"):
        raise ValueError("stopped")

    (line,) = measured.lines()
    assert line.endswith(" s: quick")


def test_the_file_is_what_its_schema_says(tmp_path: Path) -> None:
    """Every time is in the file, in seconds."""
    measured = Measured()
    measured.record("a grant", 0.5)
    measured.record("a grant", 0.25)
    file = measured.write(tmp_path / "new", "embedded", "v1.36.3")
    document = json.loads(file.read_text(encoding="utf-8"))

    validator("measured").validate(document)
    assert document["times"] == [
        {"name": "a grant", "median": 0.375, "maximum": 0.5, "seconds": [0.5, 0.25]}
    ]


def test_a_run_prints_and_writes_them(pytester: pytest.Pytester) -> None:
    """What a test measured is in the summary and in the report folder, even where it fails."""
    pytester.makeconftest(
        """
        import pytest
        from types import SimpleNamespace
        pytest_plugins = ["rbac_matrix.plugin"]

        @pytest.fixture(scope="session")
        def cluster():
            return SimpleNamespace(provider="embedded")

        @pytest.fixture(scope="session")
        def admin():
            return SimpleNamespace(version=lambda: "v1.36.3")
        """
    )
    pytester.makepyfile(
        """
        def test_time(measured):
            measured.record("a revoked grant", 1.5)
            assert False
        """
    )
    run = pytester.runpytest_subprocess("--report-dir=report")
    run.assert_outcomes(failed=1)

    run.stdout.fnmatch_lines(["*measured on embedded v1.36.3*", "*1.500 s*: a revoked grant"])
    written = json.loads((pytester.path / "report/measured.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in written["times"]] == ["a revoked grant"]
