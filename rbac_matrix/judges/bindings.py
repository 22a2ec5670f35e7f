"""Roles and bindings as the authorizer sees them: who is bound to which rules, and where.

Source: pkg/registry/rbac/validation/rule.go and pkg/controller/clusterroleaggregation of
k8s.io/kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

from rbac_matrix.aggregation import selects
from rbac_matrix.judges.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rbac_matrix.errors import Position

RBAC_GROUP: Final = "rbac.authorization.k8s.io"

Written = tuple["Mapping[str, Any]", "Position | None"]
"""An object as JSON types, and where it is written; None for what the cluster brought."""


@dataclass(frozen=True)
class Role:
    """A Role or ClusterRole.

    Attributes:
        kind: `Role` or `ClusterRole`.
        namespace: Of a Role; None for a ClusterRole.
        name: metadata.name.
        rules: In its order; of an aggregated ClusterRole those of its parts.
        origin: Where it is written; None for what the cluster brought.
    """

    kind: str
    namespace: str | None
    name: str
    rules: tuple[Rule, ...]
    origin: Position | None

    def __str__(self) -> str:
        """`Role pod-reader`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class BoundSubject:
    """A subject that a binding names.

    Attributes:
        kind: `ServiceAccount`, `User` or `Group`.
        namespace: Of a ServiceAccount, by default its RoleBinding's; empty for the other kinds.
        name: Its name.
    """

    kind: str
    namespace: str
    name: str

    @property
    def user(self) -> str | None:
        """The one user that it means; None for a group, and for what means nobody."""
        if self.kind == "User":
            return self.name
        # The authorizer compares texts, so a User with this name is the ServiceAccount as well.
        if self.kind == "ServiceAccount" and self.namespace:
            return f"system:serviceaccount:{self.namespace}:{self.name}"
        return None

    @property
    def group(self) -> str | None:
        """The group that it means; `*` is no wildcard but a group of that name."""
        return self.name if self.kind == "Group" else None

    def __str__(self) -> str:
        """`ServiceAccount default/job-robot`, `Group system:authenticated`."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True)
class Binding:
    """A RoleBinding or ClusterRoleBinding.

    Attributes:
        kind: `RoleBinding` or `ClusterRoleBinding`.
        namespace: Of a RoleBinding; None for a ClusterRoleBinding.
        name: metadata.name.
        role_kind: roleRef.kind.
        role_name: roleRef.name.
        subjects: In its order.
        origin: Where it is written; None for what the cluster brought.
    """

    kind: str
    namespace: str | None
    name: str
    role_kind: str
    role_name: str
    subjects: tuple[BoundSubject, ...]
    origin: Position | None

    def subject_for(self, user: str, groups: Sequence[str]) -> BoundSubject | None:
        """The first of its subjects that means this user."""
        for subject in self.subjects:
            if subject.user == user if subject.user is not None else subject.group in groups:
                return subject
        return None

    def __str__(self) -> str:
        """`RoleBinding default/read-pods`."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True)
class Bindings:
    """Every binding with the roles that it may refer to, both by name within their scope.

    Attributes:
        roles: By kind, namespace (None for ClusterRoles) and name.
        bindings: ClusterRoleBindings first, as they are looked at.
    """

    roles: Mapping[tuple[str, str | None, str], Role]
    bindings: tuple[Binding, ...]

    @classmethod
    def of(cls, objects: Iterable[Written]) -> Self:
        """Read objects; other kinds are passed over, and the later of two with one name counts.

        An aggregated ClusterRole gets the rules that the controller will give it.
        """
        roles: dict[tuple[str, str | None, str], Role] = {}
        bindings: dict[tuple[str, str | None, str], Binding] = {}
        cluster_roles: dict[str, Mapping[str, Any]] = {}
        for body, origin in objects:
            kind = str(body.get("kind"))
            if str(body.get("apiVersion")).partition("/")[0] != RBAC_GROUP:
                continue
            metadata = body["metadata"]
            name = str(metadata["name"])
            namespace = None if kind.startswith("Cluster") else str(metadata["namespace"])
            key = (kind, namespace, name)
            if kind in ("Role", "ClusterRole"):
                rules = tuple(
                    Rule.of(rule, f"{kind} {name}", index, origin)
                    for index, rule in enumerate(body.get("rules") or ())
                )
                roles[key] = Role(kind, namespace, name, rules, origin)
                if kind == "ClusterRole":
                    cluster_roles[name] = body
            elif kind in ("RoleBinding", "ClusterRoleBinding"):
                reference = body["roleRef"]
                bindings[key] = Binding(
                    kind,
                    namespace,
                    name,
                    str(reference["kind"]),
                    str(reference["name"]),
                    tuple(_subject(entry, namespace) for entry in body.get("subjects") or ()),
                    origin,
                )
        for name, aggregated in _aggregated(cluster_roles, roles).items():
            key = ("ClusterRole", None, name)
            roles[key] = replace(roles[key], rules=aggregated)
        # `ClusterRoleBinding` sorts before `RoleBinding`.
        ordered = sorted(bindings.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0]))
        return cls(roles, tuple(binding for _, binding in ordered))

    def role_of(self, binding: Binding) -> Role | None:
        """The role that a binding refers to; None where it does not exist."""
        namespace = binding.namespace if binding.role_kind == "Role" else None
        return self.roles.get((binding.role_kind, namespace, binding.role_name))


def _subject(entry: Mapping[str, Any], namespace: str | None) -> BoundSubject:
    kind = str(entry.get("kind"))
    own = (entry.get("namespace") or namespace or "") if kind == "ServiceAccount" else ""
    return BoundSubject(kind, str(own), str(entry.get("name")))


def _aggregated(
    bodies: Mapping[str, Mapping[str, Any]],
    roles: Mapping[tuple[str, str | None, str], Role],
) -> dict[str, tuple[Rule, ...]]:
    """The rules of every aggregated ClusterRole, by its name.

    The controller applies the union of the parts' rules over what is written in the role, but a
    union of nothing is applied as no field at all, so then what is written stays. A part may be
    aggregated itself, so this is repeated as the controller does. That ends in one result, but for
    roles that aggregate each other and begin with rules of their own: there it depends on which one
    the controller sees first, and this takes the first by name.
    """
    parts: dict[str, list[str]] = {}
    for name, body in bodies.items():
        if (rule := body.get("aggregationRule")) is None:
            continue
        parts[name] = [
            other
            for selector in rule.get("clusterRoleSelectors") or ()
            for other in sorted(bodies)
            if other != name and selects(selector, bodies[other]["metadata"].get("labels") or {})
        ]
    unions = {name: roles["ClusterRole", None, name].rules for name in sorted(parts)}
    for _ in range(len(parts) + 1):
        before = dict(unions)
        for name, own in before.items():
            union = dict.fromkeys(
                rule
                for other in parts[name]
                for rule in unions.get(other, roles["ClusterRole", None, other].rules)
            )
            unions[name] = tuple(union) or own
        if unions == before:
            break
    return unions
