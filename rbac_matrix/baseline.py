"""What every ServiceAccount may do on a stock cluster: the only exception to default deny."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rbac_matrix.cell import PathQuestion, ResourceName, ResourceQuestion
from rbac_matrix.scenario import Expectation
from rbac_matrix.schema import check_against
from rbac_matrix.versions import holds_for
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.cell import Question


@dataclass(frozen=True)
class BaselineLine:
    """One line of the baseline.

    Attributes:
        verbs: Each verb with its exact status.
        resources: Cluster-scoped resources that it is about; none for a line about paths.
        paths: Paths, with `*` at the end for all that begin so.
        expectation: The reason and the place; its status is the verb's.
    """

    verbs: Mapping[str, int]
    resources: frozenset[ResourceName]
    paths: tuple[str, ...]
    expectation: Expectation

    def status(self, question: Question) -> int | None:
        """The status that a question has by this line; None where it is not about it."""
        if question.verb not in self.verbs:
            return None
        if isinstance(question, PathQuestion):
            covers = any(_covers(pattern, question.path) for pattern in self.paths)
        else:
            covers = question.resource in self.resources and question.namespace is None
        return self.verbs[question.verb] if covers else None


@dataclass(frozen=True)
class Baseline:
    """The lines for one Kubernetes version."""

    lines: tuple[BaselineLine, ...]

    @cached_property
    def _resources(self) -> frozenset[ResourceName]:
        """The few resources that lines are about: next to every question is about another one."""
        return frozenset[ResourceName]().union(*(line.resources for line in self.lines))

    def expectation(self, question: Question) -> Expectation | None:
        """What the baseline expects of a question; None where it says nothing."""
        if isinstance(question, ResourceQuestion) and (
            question.name or question.resource not in self._resources
        ):
            return None
        for line in self.lines:
            status = line.status(question)
            if status is not None:
                found = line.expectation
                return Expectation(status, found.why, found.at)
        return None


def load_baseline(kubernetes_version: str) -> Baseline:
    """The baseline of a Kubernetes version, `v1.36.3`.

    Raises:
        InputError: The file is not what its schema says.
    """
    with resources.as_file(resources.files("rbac_matrix") / "recorded" / "baseline.yaml") as file:
        document = load_documents(Path(file))[0]
    check_against("baseline", document)
    lines = []
    for index, entry in enumerate(document.plain["lines"]):
        if not holds_for(entry, kubernetes_version):
            continue
        at = document.position(("lines", index))
        lines.append(
            BaselineLine(
                entry["verbs"],
                frozenset(map(ResourceName.parse, entry.get("resources", ()))),
                tuple(entry.get("paths", ())),
                Expectation(None, entry["why"], at),
            )
        )
    return Baseline(tuple(lines))


def _covers(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern
