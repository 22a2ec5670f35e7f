"""What a pod's status says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HOPELESS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Reasons for which a container waits in vain."""


def waiting_for(status: Mapping[str, Any]) -> str:
    """What keeps a pod from running, `reason: message`; empty where nothing does."""
    for container in status.get("containerStatuses", ()):
        if waiting := container.get("state", {}).get("waiting"):
            return f"{waiting.get('reason', 'waiting')}: {waiting.get('message', '')}".strip(": ")
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") != "True":
            return f"{condition.get('reason')}: {condition.get('message', '')}".strip(": ")
    return ""


def is_hopeless(status: Mapping[str, Any]) -> bool:
    """Whether a pod that should be running never will be."""
    reason = waiting_for(status).partition(":")[0]
    return reason in HOPELESS or status.get("phase") in ("Failed", "Succeeded")


def is_ready(status: Mapping[str, Any]) -> bool:
    """Whether all containers of a pod are ready."""
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions", ())
    )
