"""What a request needs besides its verb, where Kubernetes documents it.

Policy and review answer about one verb. Where the API server asks its authorizer about another one
as well while it serves the request, the request may be refused though both allow it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rbac_matrix.cell import PathQuestion, ResourceName, ResourceQuestion
from rbac_matrix.schema import check_against
from rbac_matrix.versions import holds_for
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from rbac_matrix.cell import Question


@dataclass(frozen=True)
class AlsoNeeded:
    """What a request needs besides the question that it asks.

    Attributes:
        question: The other question, of the same object.
        why: The reason.
        source: Where Kubernetes documents or does it.
    """

    question: ResourceQuestion
    why: str
    source: str


@dataclass(frozen=True)
class DisagreementLine:
    """One documented disagreement.

    Attributes:
        verbs: Of the request.
        resources: That it is about.
        also: The verb that the request needs as well.
        why: The reason, with the version that it holds since.
        source: Where Kubernetes documents or does it.
    """

    verbs: frozenset[str]
    resources: frozenset[ResourceName]
    also: str
    why: str
    source: str


@dataclass(frozen=True)
class Disagreements:
    """The lines for one Kubernetes version."""

    lines: tuple[DisagreementLine, ...]

    def also_needed(self, question: Question) -> AlsoNeeded | None:
        """What the request that asks a question needs as well; None where nothing."""
        if isinstance(question, PathQuestion):
            return None
        for line in self.lines:
            if question.verb in line.verbs and question.resource in line.resources:
                return AlsoNeeded(replace(question, verb=line.also), line.why, line.source)
        return None


def load_disagreements(kubernetes_version: str) -> Disagreements:
    """The documented disagreements of a Kubernetes version, `v1.36.3`.

    Raises:
        InputError: The file is not what its schema says.
    """
    recorded = resources.files("rbac_matrix") / "recorded" / "disagreements.yaml"
    with resources.as_file(recorded) as file:
        return read_disagreements(Path(file), kubernetes_version)


def read_disagreements(file: Path, kubernetes_version: str) -> Disagreements:
    """The lines of a file that are about a Kubernetes version.

    Raises:
        InputError: The file is not what its schema says.
    """
    document = load_documents(file)[0]
    check_against("disagreements", document)
    lines = []
    for entry in document.plain["lines"]:
        if not holds_for(entry, kubernetes_version):
            continue
        ends = {word: entry.get(word) for word in ("since", "until")}
        holds = [f"{word} Kubernetes {end}" for word, end in ends.items() if end]
        lines.append(
            DisagreementLine(
                frozenset(entry["verbs"]),
                frozenset(map(ResourceName.parse, entry["resources"])),
                entry["also"],
                f"{', '.join(holds)}: {entry['why']}" if holds else entry["why"],
                entry["source"],
            )
        )
    return Disagreements(tuple(lines))
