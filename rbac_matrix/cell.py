"""What is asked: subjects, resources, and the cells that combine them with a verb and a scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)


def in_order(verbs: Iterable[str]) -> tuple[str, ...]:
    """Verbs, each once, in the order of `VERBS`, then the others by name."""
    found = set(verbs)
    return (*(verb for verb in VERBS if verb in found), *sorted(found.difference(VERBS)))


PathVerb = Literal["get", "head", "post", "put", "patch", "delete", "options"]
PATH_VERBS: Final[tuple[PathVerb, ...]] = get_args(PathVerb)
"""Verbs of non-resource paths: lower-cased HTTP methods. Source: requestinfo.go of
k8s.io/apiserver."""

NAMED_VERBS: Final = frozenset[str]({"get", "update", "patch", "delete"})
"""Verbs whose request names one object. Source: requestinfo.go of k8s.io/apiserver."""

SELECTING_VERBS: Final = frozenset[str]({"list", "watch"})
"""Verbs whose request may name one object by `fieldSelector=metadata.name=`; a deletecollection
with that selector names none all the same. Source: requestinfo.go of k8s.io/apiserver."""

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
class ResourceQuestion:
    """May this verb be done to this resource?

    Attributes:
        verb: An RBAC verb; not only those of HTTP (`escalate`, `impersonate`, ...).
        resource: Group, plural and subresource.
        namespace: None at cluster scope.
        name: The object, where the question is about one; empty where any stands for all.
    """

    verb: str
    resource: ResourceName
    namespace: str | None
    name: str = ""

    @property
    def scope(self) -> str:
        """The namespace, or how ids write the cluster scope."""
        return self.namespace or CLUSTER_SCOPE

    @property
    def object_name(self) -> str:
        """The name that RBAC compares with resourceNames; empty where it is any or none.

        A request that names a namespace carries that name as its namespace too, so within a
        namespace that is what a question about `namespaces` names. Source: requestinfo.go of
        k8s.io/apiserver.
        """
        if self.namespace and (self.resource.group, self.resource.plural) == ("", "namespaces"):
            return self.namespace
        return self.name

    def __str__(self) -> str:
        """The question as the middle of a sentence: `delete jobs.batch in default`."""
        named = f' "{self.name}"' if self.name else ""
        where = f"in {self.namespace}" if self.namespace else "at cluster scope"
        return f"{self.verb} {self.resource}{named} {where}"


@dataclass(frozen=True, order=True)
class PathQuestion:
    """May this method be used on this non-resource path?

    Attributes:
        verb: The lower-cased HTTP method.
        path: Such as `/metrics`.
    """

    verb: str
    path: str

    scope = CLUSTER_SCOPE

    def __str__(self) -> str:
        """The question as the middle of a sentence: `get /metrics`."""
        return f"{self.verb} {self.path}"


Question = ResourceQuestion | PathQuestion


@dataclass(frozen=True)
class Cell:
    """One question of one subject, while one scenario's objects are applied."""

    scenario: str
    subject: Subject
    question: Question

    @property
    def id(self) -> str:
        """`scenario:subject:namespace:verb:resource[:name]`, unique within a run.

        A subject of another namespace than the question's reads the same: scenarios keep the names
        of their ServiceAccounts apart.
        """
        question = self.question
        parts = [self.scenario, self.subject.name, question.scope, question.verb]
        if isinstance(question, PathQuestion):
            return ":".join([*parts, question.path])
        parts.append(str(question.resource))
        return ":".join([*parts, question.name] if question.name else parts)


@dataclass(frozen=True)
class Rest:
    """All cells of a subject in one scope that its scenario does not declare."""

    scenario: str
    subject: Subject
    scope: str

    @property
    def id(self) -> str:
        """`scenario:subject:namespace:everything-else`."""
        return f"{self.scenario}:{self.subject.name}:{self.scope}:everything-else"
