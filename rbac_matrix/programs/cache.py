"""The cache folder that runs of this user share, and the lock that lets two of them do so."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REMINDER_SECONDS = 30.0


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where programs are kept between runs.

    Args:
        environment: The environment variables; `RBAC_MATRIX_CACHE` names another folder.

    Returns:
        An absolute path, which need not exist yet.
    """
    chosen = environment.get("RBAC_MATRIX_CACHE")
    return Path(chosen).absolute() if chosen else platformdirs.user_cache_path("rbac-matrix")


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keep other runs out of a folder of the cache.

    The operating system drops the lock when its holder dies, so there is no deadline: a build
    takes as long as it takes, and the waiter says that it waits.

    Args:
        folder: The folder to fill; made when absent. The lock file lies beside it.
        say: Takes one line of progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
    waited = False
    while True:
        try:
            lock.acquire(timeout=REMINDER_SECONDS if waited else 0)
            break
        except filelock.Timeout:
            waited = True
            say(f"waiting for another run that is filling {folder}")
    try:
        yield
    finally:
        lock.release()
