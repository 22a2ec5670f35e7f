"""What pytest needs to tell stories: steps in order, and marks of claims."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.errors import Position, RbacMatrixError
from rbac_matrix.report.failure import SentenceRepr

if TYPE_CHECKING:
    from collections.abc import Iterator

_STORIES: Final = pytest.StashKey[dict[str, "_Told"]]()


@dataclass
class _Told:
    """How far a story has been told.

    Attributes:
        steps: The steps that were come to.
        failed: The first one that failed; empty while none has.
    """

    steps: set[str] = field(default_factory=set)
    failed: str = ""


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    config.addinivalue_line(
        "markers", "steps: the module's tests are the steps of a story, told from its beginning"
    )
    config.addinivalue_line(
        "markers", "claim(text, today, how): what a document claims and this test checks"
    )
    config.stash[_STORIES] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell a step only after all steps before it, and none after one that failed."""
    if item.get_closest_marker("steps") is None or not isinstance(item, pytest.Function):
        return
    told = _told(item)
    own = item.originalname
    before = [name for name in vars(item.module) if name.startswith("test_")]
    missing = [name for name in before[: before.index(own)] if name not in told.steps]
    told.steps.add(own)
    if told.failed and told.failed != own:
        pytest.skip(f"the step before failed: {told.failed}")
    if missing:
        pytest.fail(
            f"this step comes after {missing[0]}, which this run leaves out: a story is told from "
            f"its beginning, so run {item.nodeid.partition('::')[0]}",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note which step failed; what the machinery says of it is a sentence, not its own code."""
    report: pytest.TestReport = yield  # type: ignore[assignment] # the hook's own protocol
    if report.failed and item.get_closest_marker("steps") is not None:
        told = _told(item)
        told.failed = told.failed or getattr(item, "originalname", item.name)
        if call.excinfo and isinstance(call.excinfo.value, RbacMatrixError):
            own = [entry for entry in call.excinfo.traceback if Path(entry.path) == item.path]
            line = own[-1].lineno if own else item.reportinfo()[1] or 0
            step = inspect.getdoc(getattr(item, "obj", None)) or item.name
            at = Position(item.path, line + 1)
            explanation = f"the step: {step}\nat:       {at}"
            report.longrepr = SentenceRepr(str(call.excinfo.value), explanation, at)
    return report  # type: ignore[return-value] # the hook's own protocol


def _told(item: pytest.Item) -> _Told:
    return item.config.stash[_STORIES].setdefault(item.nodeid.partition("::")[0], _Told())
