"""What the documents claim: the marks of the tests that check it, for a page to show."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.errors import InputError, Position, RbacMatrixError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MARK: Final = "claim"
_TODAY: Final = re.compile(r"true|was never true|changed since \d+\.\d+")


@dataclass(frozen=True)
class Claim:
    """One claim of a document.

    Attributes:
        scenario: The document's scenario.
        text: What the document says, in our words.
        test: The id of the test that checks it.
        today: `true`, `was never true`, or `changed since 1.24`.
        how: What the test does or, for a claim that no longer holds, what holds instead.
    """

    scenario: str
    text: str
    test: str
    today: str
    how: str

    @property
    def file(self) -> str:
        """Where the test is."""
        return self.test.partition("::")[0]

    @property
    def function(self) -> str:
        """The test's own name."""
        return self.test.rpartition("::")[2]


def collected_claims(folder: Path) -> list[Claim]:
    """The claims of a folder of stories, which are collected and not run.

    Raises:
        RbacMatrixError: They cannot be collected.
        InputError: A mark is not what `claims_of` takes.
    """
    if not folder.is_dir():
        return []
    collector, said = _Collector(), io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            ["--collect-only", "-q", "--assert=plain", str(folder)], plugins=[collector]
        )
    if code:
        raise RbacMatrixError(
            f"the stories in {folder} cannot be collected (pytest's exit code is {code:d}):\n"
            f"{said.getvalue()}"
        )
    return claims_of(collector.items)


def claims_of(items: Iterable[pytest.Item]) -> list[Claim]:
    """The claims of collected tests, in their order.

    Raises:
        InputError: A mark is not `claim(text, today=..., how=...)`.
    """
    found: dict[Claim, None] = {}  # A parametrized test makes its claim once.
    for item in items:
        # Marks nearest to the function come first; the reader's order is top down.
        for mark in reversed([*item.iter_markers(MARK)]):
            found[_claim(item, mark)] = None
    return list(found)


def _claim(item: pytest.Item, mark: pytest.Mark) -> Claim:
    today, how = str(mark.kwargs.get("today", "")), str(mark.kwargs.get("how", ""))
    well_formed = (
        len(mark.args) == 1
        and set(mark.kwargs) == {"today", "how"}
        and _TODAY.fullmatch(today)
        and how
    )
    if not well_formed:
        line = (item.reportinfo()[1] or 0) + 1
        raise InputError(
            Position(item.path, line),
            f"{item.name}: a claim is @pytest.mark.claim(text, today=..., how=...), with today "
            "one of `true`, `was never true`, `changed since MAJOR.MINOR`",
        )
    scenario = item.path.stem.removeprefix("test_").replace("_", "-")
    test = f"{item.nodeid.partition('::')[0]}::{getattr(item, 'originalname', item.name)}"
    return Claim(scenario, inspect.cleandoc(str(mark.args[0])), test, today, how)


class _Collector:
    """Keeps what pytest collects."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All items are known."""
        self.items = session.items
