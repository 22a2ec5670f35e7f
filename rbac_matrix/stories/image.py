"""The one image of all pods of stories; their programs come out of ConfigMaps."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from rbac_matrix.clusters import engine
from rbac_matrix.clusters.cluster import ClusterError
from rbac_matrix.clusters.images import RECIPES, ImageRecipe, agent_file

if TYPE_CHECKING:
    from pathlib import Path

STORY_IMAGE: Final = "rbac-matrix/story"
"""What manifests of stories call it."""
_PIP_DEADLINE: Final = 300.0  # seconds
_WHICH_PYTHON: Final = (
    "import platform as p; print('.'.join(p.python_version_tuple()[:2]), p.machine())"
)


def story_recipe(base: str, node_image: str) -> ImageRecipe:
    """How the image is made.

    Args:
        base: What it starts from: an image with Python 3; empty for the recipe's own default.
        node_image: kind's node image, which kubectl is taken from.
    """
    folder = RECIPES / "story"
    dockerfile = folder / "Dockerfile"
    base = base or _default_base(dockerfile)
    requirements = folder / "requirements.txt"
    return ImageRecipe(
        STORY_IMAGE,
        dockerfile,
        (requirements, agent_file()),
        {"BASE": base, "NODE": node_image},
        partial(_install_packages, base),
    )


def _default_base(dockerfile: Path) -> str:
    found = re.search(r"^ARG BASE=(\S+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{dockerfile} has no line `ARG BASE=IMAGE`")
    return found[1]


def _install_packages(base: str, context: Path) -> None:
    """Put the Python packages, for the Python of an image, into a build context.

    By the host's pip: the package index that it is configured for need not be reachable from a
    build.
    """
    version, machine = engine.output_of(base, "python3", "-c", _WHICH_PYTHON).split()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore"]
    command += ["--target", str(context / "packages")]
    command += ["--requirement", str(context / "requirements.txt")]
    command += ["--only-binary=:all:", "--python-version", version]
    for glibc in ("manylinux2014", "manylinux_2_28"):
        command += ["--platform", f"{glibc}_{machine}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PIP_DEADLINE
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"pip did not have the packages of {STORY_IMAGE} within {_PIP_DEADLINE:.0f} s"
        ) from None
    if done.returncode:
        raise ClusterError(
            f"pip cannot have the packages of {STORY_IMAGE} for Python {version} on {machine}: "
            f"{done.stderr.strip().rpartition('ERROR: ')[2]}"
        )
