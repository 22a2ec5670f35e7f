"""Kubernetes versions, as far as rules depend on them: the minor version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def minor(version: str) -> tuple[int, int]:
    """Major and minor of `v1.36.3` or `1.36`; zeros for what is no version."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def holds_for(entry: Mapping[str, Any], version: str) -> bool:
    """Whether an entry with the keys `since` and `until`, both inclusive and optional, is meant."""
    return minor(entry.get("since", "1.0")) <= minor(version) <= minor(entry.get("until", "1.999"))
