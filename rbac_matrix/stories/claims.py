"""What the documents claim, as a page made from the marks of the tests that check it.

`python -m rbac_matrix.stories.claims docs/claims.md` collects the stories and writes the page;
with `--check` it compares only.
"""

from __future__ import annotations

import argparse
import html
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARK: Final = "claim"
MENDING_COMMAND: Final = "nox -s docs"
_TODAY: Final = re.compile(r"true|was never true|changed since \d+\.\d+")
_HEAD: Final = f"""\
# What the documents claim

Each row is a claim of one of the five walk-throughs, the test that checks it on a cluster, and
whether it holds on the Kubernetes that is tested here. Made from the tests by `{MENDING_COMMAND}`.
"""


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


def claims_page(claims: Sequence[Claim]) -> str:
    """The page, as Markdown that GitHub shows."""
    parts = [_HEAD]
    for scenario in dict.fromkeys(claim.scenario for claim in claims):
        own = [claim for claim in claims if claim.scenario == scenario]
        file = own[0].test.partition("::")[0]
        parts.append(
            f"\n## [{scenario}](../manifests/{scenario}/README.md)\n\n"
            f"Told by [{file}](../{file}).\n\n"
            "| the document claims | today | how it is checked | test |\n|---|---|---|---|\n"
        )
        for claim in own:
            test = claim.test.rpartition("::")[2]
            cells = (_cell(claim.text), _cell(claim.today), _cell(claim.how), f"`{test}`")
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(parts)


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


def _cell(text: str) -> str:
    """Text within a cell of a table: code stays code, everything else is shown as it is."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    shown = [
        part.replace("|", "\\|")
        if part.startswith("`")
        else re.sub(r"([\\|*_\[\]])", r"\\\1", html.escape(part, quote=False))
        for part in parts
    ]
    return "".join(shown)


class _Collector:
    """Keeps what pytest collects."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All items are known."""
        self.items = session.items


def main(line: Sequence[str]) -> int:
    """Write or check the page; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args(line)
    collector = _Collector()
    code = pytest.main(["--collect-only", "-qqq", "tests/stories"], plugins=[collector])
    if code:
        return int(code)
    try:
        page = claims_page(claims_of(collector.items))
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not arguments.check:
        arguments.page.write_text(page, encoding="utf-8")
    elif not arguments.page.exists() or arguments.page.read_text(encoding="utf-8") != page:
        sys.stderr.write(
            f"{arguments.page} is not what the tests say: run `{MENDING_COMMAND}` and commit it\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
