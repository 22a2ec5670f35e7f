"""A scenario: the objects of a manifests folder and the access that they are to give.

Everything here is read from files; no cluster is needed to know which cells will be asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import (
    CLUSTER_SCOPE,
    NAMED_VERBS,
    Cell,
    PathQuestion,
    ResourceName,
    Rest,
    Subject,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rbac_matrix.discovery import ServedResource
    from rbac_matrix.errors import Position
    from rbac_matrix.manifests import ManifestObject

BYSTANDER: Final = "bystander"
"""The namespace that the suite makes and no scenario grants anything in."""

STOCK_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
"""The namespaces that every cluster has."""

_NAMESPACES: Final = ResourceName("", "namespaces")

STOCK_SERVICE_ACCOUNT: Final = "default"
"""The ServiceAccount that the control plane makes in every namespace."""


@dataclass(frozen=True)
class Expectation:
    """What one cell must answer.

    Attributes:
        status: The exact status of an allowance; None for a denial.
        why: The reason that the expectation file gives.
        at: The line that decides.
        select: A label selector for the object that a named request names; None for the sample.
        needs: What the cluster must have for the answer to be seen; None for nothing special.
    """

    status: int | None
    why: str
    at: Position
    select: str | None = None
    needs: str | None = None


@dataclass(frozen=True, eq=False)
class Scenario:
    """One expectations file with its manifests.

    Attributes:
        name: The first part of its cells' ids.
        title: One line about it.
        file: The expectations file.
        objects: What is applied, in order.
        namespaces: The namespaces that it is asked in.
        subjects: Whose access it declares.
        resources: Where each resource that it asks about is written first.
        expectations: Every declared cell, in the order that the file asks for them.
        defaults: What is expected of a subject's cells that the file does not declare: a denial.
        samples: Objects that can stand for all of their resource, by resource.
    """

    name: str
    title: str
    file: Path
    objects: tuple[ManifestObject, ...]
    namespaces: tuple[str, ...]
    subjects: tuple[Subject, ...]
    resources: Mapping[ResourceName, Position]
    expectations: Mapping[Cell, Expectation] = field(repr=False)
    defaults: Mapping[Subject, Expectation] = field(repr=False)
    samples: Mapping[ResourceName, Mapping[str, Any]] = field(repr=False)

    @property
    def id(self) -> str:
        """Its name, as a test's id."""
        return self.name

    def sample_of(self, resource: ServedResource) -> Mapping[str, Any] | None:
        """An object that the server would accept for a resource or subresource, by its kind."""
        for sample in self.samples.values():
            if (sample["apiVersion"], sample["kind"]) == (resource.api_version, resource.kind):
                return sample
        return None

    def covers(self, cell: Cell) -> bool:
        """Whether it says what to expect of a cell: by a line, by default, or for any object.

        Where a line allows a question about any object, a question about one adds nothing: no rule
        can take it away again. One about a namespace that is no scope is covered where it is
        allowed in all that are.
        """
        if cell in self.expectations:
            return True
        question = cell.question
        if isinstance(question, PathQuestion) or not question.name:
            return False
        unnamed = replace(question, name="")
        if unnamed.resource.parent == _NAMESPACES and question.verb in NAMED_VERBS:
            within = [replace(unnamed, namespace=each) for each in self.closed_namespaces]
            return all(self._allows(replace(cell, question=each)) for each in within)
        return self._allows(replace(cell, question=unnamed))

    def _allows(self, cell: Cell) -> bool:
        """Whether a line allows a cell."""
        expectation = self.expectations.get(cell)
        return expectation is not None and expectation.status is not None

    @property
    def closed_namespaces(self) -> tuple[str, ...]:
        """Where its closed world is asked, besides the cluster scope."""
        return tuple(dict.fromkeys((*self.namespaces, BYSTANDER, "kube-system")))

    @property
    def rests(self) -> list[Rest]:
        """What there is to ask beyond the declared cells: one for each subject and scope."""
        return [
            Rest(self.name, subject, scope)
            for subject in self.subjects
            for scope in (*self.closed_namespaces, CLUSTER_SCOPE)
        ]
