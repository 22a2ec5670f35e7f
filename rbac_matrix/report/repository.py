"""The repository that files belong to, and how the pages about it lead to their lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

    from rbac_matrix.errors import Position


@dataclass(frozen=True)
class Repository:
    """A working tree, and where its files can be looked at.

    Attributes:
        folder: The folder that files are named from; absolute.
        address: The repository's web page, `https://github.com/owner/name`; empty for none.
        commit: The full hash of the commit that is checked out; empty where it is not known.
    """

    folder: Path
    address: str = ""
    commit: str = ""

    def file(self, at: Position) -> str:
        """A place's file as the repository names it; empty for one that is outside."""
        file, folder = at.file.resolve(), self.folder.resolve()
        return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else ""

    def link(self, at: Position, commit: str = "") -> str:
        """The address of a line, in the commit that is checked out or in another one.

        Empty where there is none. It holds nothing that is markup anywhere.
        """
        file, revision = self.file(at), commit or self.commit
        if not (self.address and revision and file):
            return ""
        return f"{self.address}/blob/{revision}/{quote(file)}#L{at.line}"
