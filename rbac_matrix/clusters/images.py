"""The images that this project builds itself, by what goes into them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rbac_matrix.clusters import engine
from rbac_matrix.clusters.cluster import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECIPES: Final = Path(__file__).parents[2] / "images"


def _nothing_more(_: Path) -> None:
    """Leave a build context as it is."""


@dataclass(frozen=True)
class ImageRecipe:
    """How an image is made.

    Attributes:
        repository: Its name without the tag.
        dockerfile: The recipe.
        files: What it copies; each lies in the build context under its own name.
        arguments: Build arguments.
        complete: Adds to the build context what can be made from the rest, and takes its folder.
    """

    repository: str
    dockerfile: Path
    files: tuple[Path, ...]
    arguments: Mapping[str, str]
    complete: Callable[[Path], None] = _nothing_more

    @property
    def name(self) -> str:
        """The image with a tag that names everything that goes into it."""
        digest = hashlib.sha256()
        for key, value in sorted(self.arguments.items()):
            digest.update(f"{key}={value}\n".encode())
        for file in (self.dockerfile, *self.files):
            digest.update(file.read_bytes())
        return f"{self.repository}:{digest.hexdigest()[:12]}"


def probe_recipe(base: str) -> ImageRecipe:
    """The image of probe pods.

    Args:
        base: What it starts from; empty for the recipe's own default.
    """
    arguments = {"BASE": base} if base else {}
    dockerfile = RECIPES / "probe" / "Dockerfile"
    return ImageRecipe("rbac-matrix/probe", dockerfile, (agent_file(),), arguments)


def agent_file() -> Path:
    """The probe's program, which images copy."""
    return Path(__file__).parents[1] / "probe" / "agent.py"


def build_if_missing(recipe: ImageRecipe, say: Callable[[str], None]) -> str:
    """Have an image in the engine.

    Args:
        recipe: How it is made.
        say: Takes one line of progress.

    Returns:
        Its name.

    Raises:
        ClusterError: It cannot be built.
    """
    if engine.has_image(recipe.name):
        return recipe.name
    say(f"building the image {recipe.name}")
    with tempfile.TemporaryDirectory(prefix="rbac-matrix-image-") as context:
        folder = Path(context)
        for file in recipe.files:
            shutil.copy(file, folder)
        recipe.complete(folder)
        if problem := engine.build_image(recipe.name, folder, recipe.dockerfile, recipe.arguments):
            raise ClusterError(f"{recipe.name} cannot be built from {recipe.dockerfile}: {problem}")
    return recipe.name
