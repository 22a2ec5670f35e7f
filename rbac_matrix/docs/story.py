"""What the README of a scenario's manifests tells, for the page of the scenario to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

README: Final = "README.md"


@dataclass(frozen=True)
class Story:
    """The beginning of a README.

    Attributes:
        readme: The file.
        text: Its paragraphs before the first heading below its title, as Markdown.
    """

    readme: Path
    text: str


def story_of(folder: Path) -> Story | None:
    """The story of a folder of manifests; None where it has no README.

    Tables and code are left out: the page has its own.
    """
    readme = folder / README
    if not readme.is_file():
        return None
    before, _, _ = readme.read_text(encoding="utf-8").partition("\n## ")
    paragraphs = [block.strip("\n") for block in before.split("\n\n")]
    told = [each for each in paragraphs if each and not each.startswith(("#", "|", " ", "```"))]
    return Story(readme, "\n\n".join(told))
