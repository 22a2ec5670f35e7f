"""One rule of a role: what it matches.

Source: pkg/apis/rbac/v1/evaluation_helpers.go of k8s.io/kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbac_matrix.cell import ResourceName
    from rbac_matrix.errors import Position

ALL: Final = "*"


@dataclass(frozen=True)
class Rule:
    """A PolicyRule. Two are equal when they grant the same, wherever they are written.

    Attributes:
        verbs: Verbs, or `*`.
        groups: API groups, or `*`; the core group is empty.
        resources: `pods`, `pods/log`, `*/scale` or `*`.
        names: The only objects that it is for; empty for all.
        paths: Non-resource URLs, with `*` alone or at their end.
        written_in: The role that it is written in, `ClusterRole view-pods`: another one than the
            role that grants it where that one is aggregated.
        index: Its place among the rules of that role, from 0.
        origin: Where that role is written; None for what the cluster brought.
    """

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    written_in: str = field(default="", compare=False)
    index: int = field(default=0, compare=False)
    origin: Position | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls, body: Mapping[str, Any], written_in: str, index: int, origin: Position | None
    ) -> Self:
        """Read a rule; a list that is null or missing is empty."""

        def texts(key: str) -> tuple[str, ...]:
            return tuple(body.get(key) or ())

        return cls(
            verbs=texts("verbs"),
            groups=texts("apiGroups"),
            resources=texts("resources"),
            names=texts("resourceNames"),
            paths=texts("nonResourceURLs"),
            written_in=written_in,
            index=index,
            origin=origin,
        )

    def matches_verb(self, verb: str) -> bool:
        """Whether it is for this verb; `GET` is not `get`."""
        return ALL in self.verbs or verb in self.verbs

    def matches_resource(self, resource: ResourceName) -> bool:
        """Whether it is for this resource of this group.

        `*` is for subresources too, `pods` is not. `*/log` is for that subresource of every
        resource, but `pods/*` and `*/*` are for nothing that is served.
        """
        if ALL not in self.groups and resource.group not in self.groups:
            return False
        if ALL in self.resources:
            return True
        if not resource.subresource:
            return resource.plural in self.resources
        return (
            f"{resource.plural}/{resource.subresource}" in self.resources
            or f"*/{resource.subresource}" in self.resources
        )

    def matches_name(self, name: str) -> bool:
        """Whether it is for this object.

        A request that names none has the empty name, which only a rule without names is for, or
        one that lists the empty name.
        """
        return not self.names or name in self.names

    def matches_path(self, path: str) -> bool:
        """Whether it is for this path; a `*` elsewhere than at the end is no wildcard."""
        return any(
            written == path or (written.endswith(ALL) and path.startswith(written.rstrip(ALL)))
            for written in self.paths
        )
