"""Files of a git revision, beside the working tree and without touching it."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rbac_matrix.errors import RbacMatrixError
from rbac_matrix.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_REGULAR_FILES = ("100644", "100755")


class RevisionError(RbacMatrixError):
    """Git does not know the revision, or there is no git repository."""


@dataclass(frozen=True)
class Revision:
    """A revision, of which as much is in a folder as was fetched.

    Attributes:
        name: As it was asked for.
        commit: Its full hash.
        folder: A temporary folder that stands for the repository's.
    """

    name: str
    commit: str
    folder: Path
    _repository: Path

    def fetch(self, paths: Iterable[Path]) -> None:
        """Put files and folders that the revision has into `folder`; it need not have them.

        Args:
            paths: In the working tree, absolute.

        Raises:
            RevisionError: One is not in the repository, or holds a symbolic link.
        """
        wanted = [str(PurePosixPath(self._inside(path))) for path in paths]
        if not wanted:
            return
        listed = _git(self._repository, "ls-tree", "-r", "-z", self.commit, "--", *wanted)
        files: list[tuple[str, str]] = []
        for entry in listed.decode(errors="surrogateescape").split("\0")[:-1]:
            head, name = entry.split("\t", 1)
            mode, _, blob = head.split()
            if mode not in _REGULAR_FILES:
                raise RevisionError(f"{name} is no file in {self.name}: links are not followed")
            files.append((blob, name))
        blobs = "".join(f"{blob}\n" for blob, _ in files)
        contents = _git(self._repository, "cat-file", "--batch", given=blobs.encode())
        for _, name in files:
            head_line, _, contents = contents.partition(b"\n")
            size = int(head_line.split()[2])
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(contents[:size])
            contents = contents[size + 1 :]

    def here(self, path: Path) -> Path:
        """Where a file or folder of the working tree is in `folder`."""
        return self.folder / self._inside(path)

    def there(self, path: Path) -> Path:
        """Where a file or folder of `folder` is in the working tree."""
        return self._repository / self.relative(path)

    def relative(self, path: Path) -> Path:
        """A path of `folder` as the repository has it.

        Raises:
            RevisionError: It leads out of the repository.
        """
        try:
            return path.resolve().relative_to(self.folder.resolve())
        except ValueError:
            raise RevisionError(f"{path} in {self.name} leads out of the repository") from None

    def _inside(self, path: Path) -> Path:
        try:
            return path.resolve().relative_to(self._repository)
        except ValueError:
            raise RevisionError(f"{path} is not in the repository {self._repository}") from None


@contextmanager
def revision(name: str, near: Path) -> Iterator[Revision]:
    """A revision of the repository that a folder is in, for as long as the block lasts.

    Args:
        name: What git takes for a commit: a branch, a tag, a hash.
        near: A folder of the working tree.

    Raises:
        RevisionError: There is no such revision, no repository, or no git.
    """
    top = _git(near, "rev-parse", "--show-toplevel").decode().rstrip("\n")
    commit = commit_of(name, near)
    with temporary_folder("revision") as folder:
        yield Revision(name, commit, folder, Path(top).resolve())


def commit_of(name: str, near: Path) -> str:
    """The full hash of a revision of the repository that a folder is in.

    Raises:
        RevisionError: There is no such revision, no repository, or no git.
    """
    found = _git(
        near, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}",
        refused=f"{name!r} is no revision of the repository of {near}; in a shallow clone it has "
        "to be fetched first",
    )  # fmt: skip
    return found.decode().strip()


def _git(folder: Path, *arguments: str, given: bytes = b"", refused: str = "") -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], input=given, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise RevisionError("there is no git on PATH to read a revision with") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RevisionError(refused or f"git {arguments[0]} failed: {said}")
    return done.stdout
