"""What was recorded of Kubernetes versions, and how it is read: each file once in a run.

The recordings (`*.json`) are written by `python -m rbac_matrix.record`, the other files by people.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

_FILES: Final = resources.files(__name__)
_FAST_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _recorded_versions() -> tuple[str, ...]:
    found = (re.fullmatch(r"discovery-v1\.(\d+)\.json", file.name) for file in _FILES.iterdir())
    minors = sorted((int(match[1]) for match in found if match), reverse=True)
    return tuple(f"v1.{minor}" for minor in minors)


VERSIONS: Final = _recorded_versions()
"""The Kubernetes versions that are recorded, `v1.36`, the newest first: those that are supported.
"""

NEWEST: Final = VERSIONS[0]


@cache
def recording(name: str) -> dict[str, Any]:
    """What `<name>.json` or `<name>.yaml` holds; shared by all who ask, so only to be read."""
    file = _FILES / f"{name}.json"
    if file.is_file():
        document: dict[str, Any] = json.loads(file.read_bytes())
    else:
        text = (_FILES / f"{name}.yaml").read_bytes()
        document = yaml.load(text, Loader=_FAST_LOADER)  # noqa: S506 - a safe loader, in C
    return document
