"""Temporary folders for secrets and data, which not even a killed run leaves behind for good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "rbac-matrix-"
OWNER_FILE: Final = "owner.json"
UNOWNED_FOLDER_SECONDS: Final = 600.0
"""A folder whose owner is not written yet belongs to a run that is just starting."""


@contextlib.contextmanager
def temporary_folder(what: str) -> Iterator[Path]:
    """A folder that only this user can enter, removed when the block is left.

    Folders of runs that were killed are removed first.

    Args:
        what: A word for its name.
    """
    remove_stale_folders()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{what}-"))  # of mode 0700
    try:
        write_owner(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_owner(folder: Path) -> None:
    """Note in a folder which process it belongs to."""
    owner = {"pid": os.getpid(), "started": _started(os.getpid())}
    partial = folder / f"{OWNER_FILE}.partial"
    partial.write_text(json.dumps(owner), encoding="utf-8")
    partial.replace(folder / OWNER_FILE)


def remove_stale_folders() -> None:
    """Remove what runs of this user left behind that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another run may be removing it
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                _remove_if_stale(folder)


def _remove_if_stale(folder: Path) -> None:
    note = folder / OWNER_FILE
    if note.exists():
        owner = json.loads(note.read_text(encoding="utf-8"))
        stale = _started(owner["pid"]) != owner["started"]
    else:
        stale = time.time() - folder.lstat().st_mtime > UNOWNED_FOLDER_SECONDS
    if stale:
        shutil.rmtree(folder, ignore_errors=True)


def _started(pid: int) -> str | None:
    """When a process started, by its system's own clock; None when there is no such process.

    A pid alone does not tell: it is used again.
    """
    try:
        # Field 22 of proc_pid_stat(5); the name in field 2 may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    told = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or None
