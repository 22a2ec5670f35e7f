"""The words of this project, each explained once in `glossary.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from rbac_matrix.docs.markdown import Markdown, link, prose
from rbac_matrix.errors import InputError
from rbac_matrix.schema import check_against
from rbac_matrix.yaml_file import load_documents

_REFERENCE: Final = re.compile(r"\[([^\]]+)\](?:\[([^\]]+)\])?")


@dataclass(frozen=True)
class Term:
    """A word and what it means.

    Attributes:
        name: The word.
        means: Its definition, as Markdown that links to the other words on the same page.
    """

    name: str
    means: Markdown

    @property
    def anchor(self) -> str:
        """Of its heading, as GitHub makes it."""
        return anchor_of(self.name)


def anchor_of(term: str) -> str:
    """The anchor of a term's heading."""
    return term.replace(" ", "-")


def load_glossary(file: Path | None = None) -> list[Term]:
    """The words, by name.

    Args:
        file: Another one than the project's.

    Raises:
        InputError: A word is explained twice, or refers to one that is not explained.
    """
    if file is None:
        with resources.as_file(resources.files(__package__) / "glossary.yaml") as own:
            return load_glossary(Path(own))
    document = load_documents(file)[0]
    check_against("glossary", document)
    entries = document.plain["terms"]
    known: set[str] = set()
    for index, entry in enumerate(entries):
        if entry["term"] in known:
            raise InputError(
                document.position(("terms", index)), f"{entry['term']!r} is explained twice"
            )
        known.add(entry["term"])
    terms = []
    for index, entry in enumerate(entries):
        unknown = {term for _, term in _parts(entry["means"]) if term and term not in known}
        if unknown:
            raise InputError(
                document.position(("terms", index, "means")),
                f"{entry['term']!r} refers to what is not explained: {', '.join(sorted(unknown))}",
            )
        shown = [
            link(text, f"#{anchor_of(term)}") if term else prose(text)
            for text, term in _parts(entry["means"])
        ]
        terms.append(Term(entry["term"], Markdown("".join(shown))))
    return sorted(terms, key=lambda term: term.name)


def _parts(text: str) -> list[tuple[str, str]]:
    """A definition in pieces: a text, and the term that it refers to or nothing."""
    parts, end = [], 0
    for found in _REFERENCE.finditer(text):
        parts += [(text[end : found.start()], ""), (found[1], found[2] or found[1])]
        end = found.end()
    return [*parts, (text[end:], "")]
