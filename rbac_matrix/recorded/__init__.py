"""What was recorded of Kubernetes versions, and how it is read: each file once in a run."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def recording(name: str) -> dict[str, Any]:
    """The document of `<name>.yaml`; shared by all who ask, so it is only to be read."""
    text = (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, Loader=_FAST_LOADER)  # noqa: S506 - a safe loader, in C
    return document
