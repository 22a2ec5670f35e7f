"""What is asked: subjects, resources, and the cells that combine them with a verb and a scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

NAMED_VERBS: Final = frozenset[str]({"get", "update", "patch", "delete"})
"""Verbs whose request names one object. Source: requestinfo.go of k8s.io/apiserver."""

SUBRESOURCE_VERBS: Final = NAMED_VERBS | {"create"}
"""A request for a subresource always carries its parent's name, so it is never a list, a watch or
a deletecollection. Source: requestinfo.go of k8s.io/apiserver."""

CLUSTER_SCOPE: Final = "-"
"""How ids write the cluster scope; no namespace can have this name."""


@dataclass(frozen=True, order=True)
class Subject:
    """A ServiceAccount."""

    namespace: str
    name: str

    @property
    def username(self) -> str:
        """The user name that the API server gives its token."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def groups(self) -> tuple[str, str, str]:
        """The groups that the API server puts its token in."""
        return (
            "system:serviceaccounts",
            f"system:serviceaccounts:{self.namespace}",
            "system:authenticated",
        )

    def __str__(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, order=True)
class ResourceName:
    """A resource as RBAC names it: API group, plural, and a subresource or nothing."""

    group: str
    plural: str
    subresource: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `plural[.group][/subresource]`: `pods`, `pods/log`, `jobs.batch/status`."""
        resource, _, subresource = text.partition("/")
        plural, _, group = resource.partition(".")
        return cls(group, plural, subresource)

    @property
    def parent(self) -> ResourceName:
        """The resource without its subresource."""
        return ResourceName(self.group, self.plural)

    def __str__(self) -> str:
        """The form that `parse` reads."""
        group = f".{self.group}" if self.group else ""
        subresource = f"/{self.subresource}" if self.subresource else ""
        return f"{self.plural}{group}{subresource}"


@dataclass(frozen=True, order=True)
class Cell:
    """One question: may this subject do this to that resource there?

    Attributes:
        scenario: The scenario whose objects are applied while it is asked.
        subject: Who asks.
        namespace: Where; None at cluster scope.
        verb: What.
        resource: To what.
        name: The object that an expectation names; None where any object stands for all.
    """

    scenario: str
    subject: Subject
    namespace: str | None
    verb: Verb
    resource: ResourceName
    name: str | None = None

    @property
    def id(self) -> str:
        """`scenario:subject:namespace:verb:resource[:name]`, unique within a run.

        A subject of another namespace than the cell's own reads the same: scenarios keep the names
        of their ServiceAccounts apart.
        """
        scope = self.namespace or CLUSTER_SCOPE
        parts = [self.scenario, self.subject.name, scope, self.verb, str(self.resource)]
        return ":".join([*parts, self.name] if self.name else parts)

    @property
    def question(self) -> str:
        """The cell as the middle of a sentence: `delete jobs.batch in default`."""
        named = f' "{self.name}"' if self.name else ""
        where = f"in {self.namespace}" if self.namespace else "at cluster scope"
        return f"{self.verb} {self.resource}{named} {where}"
