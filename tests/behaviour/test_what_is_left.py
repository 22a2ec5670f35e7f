"""The tests of this folder leave the cluster as it was; this one is the last of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def test_nothing_is_left_behind(left_behind: Callable[[], list[str]]) -> None:
    """Every object that a test of this folder created is gone, namespaces and all."""
    assert left_behind() == []
