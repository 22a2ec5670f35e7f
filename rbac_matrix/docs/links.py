"""Where the links of a page lead: between the pages, and to the files that they are made from."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, unquote

from rbac_matrix.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INDEX: Final = "README"
"""The page that GitHub shows for a folder."""
SUFFIX: Final = ".md"

_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")


class Links(Protocol):
    """A way to write links. Pages are named by their path in the folder of pages, without `.md`."""

    def to_page(self, here: str, page: str) -> str:
        """A link from the page `here` to another one."""

    def to_file(self, here: str, file: Path, fragment: str = "") -> str:
        """A link from the page `here` to a file of the repository.

        Args:
            here: The page.
            file: Relative to the repository.
            fragment: `L7` for a line, or a heading's anchor; empty for the whole file.
        """


class RelativeLinks:
    """Links as GitHub and editors follow them, within the repository."""

    def __init__(self, folder: Path) -> None:
        """Write links from pages.

        Args:
            folder: Where the pages are, relative to the repository.
        """
        self._folder = folder

    def to_page(self, here: str, page: str) -> str:
        """`../glossary.md`."""
        return relative(here, f"{page}{SUFFIX}")

    def to_file(self, here: str, file: Path, fragment: str = "") -> str:
        """`../../manifests/job-robot/role.yaml#L7`."""
        url = relative((self._folder / here).as_posix(), file.as_posix())
        return f"{url}#{fragment}" if fragment else url


def relative(here: str, there: str) -> str:
    """The URL of a path as a page of another path writes it."""
    return quote(posixpath.relpath(there, posixpath.dirname(here) or "."))


def relinked(text: str, source: Path, root: Path, write: Callable[[Path, str], str]) -> str:
    """Markdown of another file, its relative links written anew.

    Args:
        text: The Markdown.
        source: The file that it is from.
        root: The repository.
        write: Makes a link of a file, relative to the repository, and a fragment or nothing.

    Raises:
        InputError: A link leads to nothing.
    """

    def written(found: re.Match[str]) -> str:
        target = (source.parent / unquote(found[1])).resolve()
        if not (target.exists() and target.is_relative_to(root)):
            line = source.read_text(encoding="utf-8").partition(found[0])[0].count("\n") + 1
            raise InputError(
                Position(source, line), f"links to {found[1]}, which is no file of this repository"
            )
        return write(target.relative_to(root), (found[2] or "").removeprefix("#"))

    return _LINK.sub(written, text)
