"""The pages as files: written, or compared with what they ought to be."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from rbac_matrix.docs.links import SUFFIX
from rbac_matrix.report.harmless import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COMMAND: Final = "nox -s docs"
_MADE: Final = f"*Made by `{COMMAND}` from "


def write_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages, and remove those that were written before and are none any more."""
    for page, text in pages.items():
        file = folder / f"{page}{SUFFIX}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for file in _left_over(folder, pages):
        file.unlink()


def out_of_date(folder: Path, pages: Mapping[str, str]) -> list[str]:
    """What is not as it would be written: a sentence for each file, with its first such line."""
    found = []
    for page, text in pages.items():
        file = folder / f"{page}{SUFFIX}"
        if not file.is_file():
            found.append(f"{file} is missing")
        elif (difference := _difference(file.read_text(encoding="utf-8"), text)) is not None:
            number, has, wants = difference
            found.append(f"{file}:{number} is out of date\n  has:     {has}\n  must be: {wants}")
    found += [f"{file} is of nothing that exists any more" for file in _left_over(folder, pages)]
    return found


def _difference(has: str, wants: str) -> tuple[int, str, str] | None:
    """The first line that differs, as it is and as it has to be; None where there is none."""
    lines = zip_longest(has.split("\n"), wants.split("\n"), fillvalue="(the end)")
    for number, (old, new) in enumerate(lines, 1):
        if old != new:
            return number, short(old), short(new)
    return None


def _left_over(folder: Path, pages: Mapping[str, str]) -> Iterator[Path]:
    """Pages that were made here once; what a person wrote stays."""
    known = {folder / f"{page}{SUFFIX}" for page in pages}
    for file in sorted(folder.rglob(f"*{SUFFIX}")):
        if file not in known and _MADE in file.read_text(encoding="utf-8"):
            yield file
