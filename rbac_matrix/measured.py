"""How long a cluster took to follow: times by what was waited for, with median and maximum."""

from __future__ import annotations

import json
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: Final = "rbac-matrix/measured/v1"


class Measured:
    """The times of one run."""

    def __init__(self) -> None:
        """Begin with none."""
        self._times: dict[str, list[float]] = {}

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._times)

    def record(self, name: str, seconds: float) -> None:
        """Note a time.

        Args:
            name: What took it, as a person would say it; the same name each time it is repeated.
            seconds: How long.
        """
        self._times.setdefault(name, []).append(seconds)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Note how long the `with` block takes, unless it raises: a deadline is no measurement."""
        started = time.monotonic()
        yield
        self.record(name, time.monotonic() - started)

    def lines(self) -> list[str]:
        """A line for each name, longest median first, to be read by people."""
        found = sorted(self._times.items(), key=lambda item: -statistics.median(item[1]))
        return [f"{_shown(times)}: {name}" for name, times in found]

    def write(self, folder: Path, provider: str, kubernetes_version: str) -> Path:
        """Write `measured.json`.

        Args:
            folder: The report folder; made when absent.
            provider: The kind of cluster.
            kubernetes_version: Its version.

        Returns:
            The file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "measured.json"
        document = {
            "schema": SCHEMA,
            "provider": provider,
            "kubernetes_version": kubernetes_version,
            "times": [
                {
                    "name": name,
                    "median": round(statistics.median(times), 4),
                    "maximum": round(max(times), 4),
                    "seconds": [round(seconds, 4) for seconds in times],
                }
                for name, times in self._times.items()
            ],
        }
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return file


def _shown(times: list[float]) -> str:
    if len(times) == 1:
        return f"{times[0]:6.3f} s"
    median, maximum = statistics.median(times), max(times)
    return f"{median:6.3f} s median, {maximum:.3f} s maximum of {len(times)}"
