"""The container engine that kind uses, and what this host lets it do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rbac_matrix.clusters.cluster import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_DEADLINE: Final = 15.0  # seconds for the engine to say that it is there
PULL_DEADLINE: Final = 600.0  # seconds for a node image
_SYS_RESOURCE: Final = 24  # bit of CAP_SYS_RESOURCE, linux/capability.h


def engine_problem() -> str:
    """Why no container engine can be used; empty when one answers."""
    try:
        asked = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_DEADLINE,
        )
    except FileNotFoundError:
        return "docker is not on PATH"
    except subprocess.TimeoutExpired:
        return f"docker did not answer within {ANSWER_DEADLINE:.0f} s"
    if asked.returncode:
        return f"docker does not answer ({_last_line(asked.stderr)})"
    return ""


def has_image(image: str) -> bool:
    """Whether the engine has the image already."""
    return _docker("image", "inspect", "--format", "ok", image, seconds=ANSWER_DEADLINE) == ""


def pull_problem(image: str) -> str:
    """Pull an image; why it cannot be pulled, or nothing."""
    return _docker("pull", "--quiet", image, seconds=PULL_DEADLINE)


def build_image(image: str, folder: Path, dockerfile: Path, arguments: Mapping[str, str]) -> str:
    """Build an image; why it cannot be built, or nothing.

    Args:
        image: Its tag.
        folder: The build context.
        dockerfile: The recipe.
        arguments: Build arguments.
    """
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    return _docker(
        "build", "--quiet", "-t", image, "-f", str(dockerfile), *options, str(folder),
        seconds=PULL_DEADLINE,
    )  # fmt: skip


def tag_image(image: str, name: str) -> str:
    """Give an image another name; why it cannot be had, or nothing."""
    return _docker("tag", image, name, seconds=ANSWER_DEADLINE)


def output_of(image: str, *command: str) -> str:
    """What a command prints in a container of an image, without a network.

    Raises:
        ClusterError: It cannot be run.
    """
    try:
        done = subprocess.run(
            ["docker", "run", "--rm", "--network=none", image, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=PULL_DEADLINE,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{image}: {command[0]} ran longer than {PULL_DEADLINE:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"{image}: {command[0]} cannot be run: {_last_line(done.stderr)}")
    return done.stdout.strip()


def read_file(container: str, path: str) -> bytes:
    """The content of a file in a container.

    Raises:
        ClusterError: It cannot be read.
    """
    done = subprocess.run(
        ["docker", "exec", container, "cat", path],
        capture_output=True,
        check=False,
        timeout=ANSWER_DEADLINE,
    )
    if done.returncode:
        problem = _last_line(done.stderr.decode(errors="replace"))
        raise ClusterError(f"{path} in container {container} cannot be read: {problem}")
    return done.stdout


def restrictions() -> list[str]:
    """What a kind node will miss on this host, each as a few words; empty for an ordinary one."""
    found = []
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists() and Path("/sys/fs/cgroup").exists():
        found.append("cgroup v1")
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == "CapBnd" and not int(value, 16) >> _SYS_RESOURCE & 1:
                found.append("no CAP_SYS_RESOURCE")
    return found


def _docker(*arguments: str, seconds: float) -> str:
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, timeout=seconds
        )
    except FileNotFoundError:
        return "docker is not on PATH"
    except subprocess.TimeoutExpired:
        return f"not within {seconds:.0f} s"
    return _last_line(done.stderr) if done.returncode else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
