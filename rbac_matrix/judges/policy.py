"""The policy judge: decides a question from roles and bindings alone, as the RBAC authorizer does.

It knows nothing of a cluster, and of authorizers only RBAC: the group `system:masters` is allowed
everything before RBAC is asked, and nodes have an authorizer of their own.

Source: plugin/pkg/auth/authorizer/rbac/rbac.go and pkg/registry/rbac/validation/rule.go of
k8s.io/kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from rbac_matrix.cell import PathQuestion
from rbac_matrix.judges.bindings import RBAC_GROUP, Bindings
from rbac_matrix.judges.nearest import NearestRule, Neighbourhood

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rbac_matrix.cell import Question, ResourceName
    from rbac_matrix.errors import Position
    from rbac_matrix.judges.bindings import Binding, BoundSubject, Role, Written
    from rbac_matrix.judges.rule import Rule


@dataclass(frozen=True)
class Grant:
    """What allows a question.

    Attributes:
        binding: The binding that reaches the user.
        subject: The first of its subjects that means the user.
        role: The role that it refers to.
        rule: The first of the role's rules that matches.
    """

    binding: Binding
    subject: BoundSubject
    role: Role
    rule: Rule

    @property
    def origin(self) -> Position | None:
        """Where the rule is written; None for what the cluster brought."""
        return self.rule.origin

    @property
    def reason(self) -> str:
        """The `status.reason` of a SubjectAccessReview that this grant allows."""
        return (
            f"RBAC: allowed by {_described(self.binding)} of {self.binding.role_kind} "
            f"{quoted(self.role.name)} to {_described(self.subject)}"
        )


@dataclass(frozen=True)
class Decision:
    """What RBAC says to a question.

    Attributes:
        allowed: Whether something grants it.
        grant: What does; None for a denial.
        unresolved: What the API server says of each binding that reaches the user but refers to no
            role; such a binding grants nothing, and the others go on.
    """

    allowed: bool
    grant: Grant | None
    unresolved: tuple[str, ...]
    _asked: tuple[Policy, str, tuple[str, ...], Question] = field(repr=False, compare=False)

    @property
    def reason(self) -> str:
        """The `status.reason` of a SubjectAccessReview; the order of `unresolved` is not fixed."""
        if self.grant is not None:
            return self.grant.reason
        if len(self.unresolved) > 1:
            return f"RBAC: [{', '.join(self.unresolved)}]"
        return f"RBAC: {self.unresolved[0]}" if self.unresolved else ""

    @property
    def nearest(self) -> NearestRule | None:
        """The rule that comes nearest to granting it; None where it is granted."""
        if self.allowed:
            return None
        policy, user, groups, question = self._asked
        return policy.nearest_rule(user, groups, question)


class Policy:
    """The roles and bindings of a cluster, ready to decide."""

    def __init__(self, bindings: Bindings) -> None:
        """Index the bindings by whom they name.

        Args:
            bindings: All that are in force.
        """
        self.bindings = bindings
        self._by_subject: dict[tuple[str | None, str, str], list[int]] = {}
        for number, binding in enumerate(bindings.bindings):
            for subject in binding.subjects:
                for kind, name in (("user", subject.user), ("group", subject.group)):
                    if name is not None:
                        key = (binding.namespace, kind, name)
                        self._by_subject.setdefault(key, []).append(number)
        self._reaches: dict[tuple[str, tuple[str, ...], str | None], _Reach] = {}
        self._neighbourhoods: dict[tuple[str, tuple[str, ...]], Neighbourhood] = {}

    @classmethod
    def of(cls, objects: Iterable[Written]) -> Self:
        """The policy of objects, each with its origin; see `Bindings.of`."""
        return cls(Bindings.of(objects))

    def decide(self, user: str, groups: Sequence[str], question: Question) -> Decision:
        """Decide a question.

        Args:
            user: The user name, of a ServiceAccount `system:serviceaccount:NAMESPACE:NAME`.
            groups: Its groups.
            question: What is asked.

        Returns:
            The decision, with the first grant in the order of `all_grants`.
        """
        groups = tuple(groups)
        reach = self._reach(user, groups, question)
        grant = next(reach.grants(question), None)
        return Decision(grant is not None, grant, reach.unresolved, (self, user, groups, question))

    def grant(self, user: str, groups: Sequence[str], question: Question) -> Grant | None:
        """The first grant in the order of `all_grants`; None where nothing grants a question."""
        return next(self._reach(user, tuple(groups), question).grants(question), None)

    def all_grants(self, user: str, groups: Sequence[str], question: Question) -> list[Grant]:
        """Everything that allows a question, each binding once with its first rule.

        ClusterRoleBindings come first, as in the API server; within a scope they come by name,
        where the API server has no order.
        """
        first: dict[Binding, Grant] = {}
        for grant in self._reach(user, tuple(groups), question).grants(question):
            first.setdefault(grant.binding, grant)
        return list(first.values())

    def may_say(self, user: str, groups: Sequence[str], question: Question, reason: str) -> bool:
        """Whether `reason` is a `status.reason` that the API server may give to this question.

        Of several grants it names any ClusterRoleBinding, and a RoleBinding only where no
        ClusterRoleBinding grants; bindings without a role are named in any order.
        """
        grants = self.all_grants(user, groups, question)
        if not grants:
            said = self.decide(user, groups, question).reason
            return sorted(_sentences(said)) == sorted(_sentences(reason))
        scope = grants[0].binding.kind
        return reason in {grant.reason for grant in grants if grant.binding.kind == scope}

    def nearest_rule(self, user: str, groups: Sequence[str], question: Question) -> NearestRule:
        """The rule that comes nearest to granting a question that is denied."""
        who = (user, tuple(groups))
        if (found := self._neighbourhoods.get(who)) is None:
            found = self._neighbourhoods[who] = Neighbourhood(self.bindings, user, groups)
        return found.nearest(question)

    def _reach(self, user: str, groups: tuple[str, ...], question: Question) -> _Reach:
        namespace = None if isinstance(question, PathQuestion) else question.namespace
        key = (user, groups, namespace)
        if (reach := self._reaches.get(key)) is None:
            names = [("user", user), *(("group", group) for group in groups)]
            numbers = {
                number
                for scope in {None, namespace}
                for kind, name in names
                for number in self._by_subject.get((scope, kind, name), ())
            }
            found = [self.bindings.bindings[number] for number in sorted(numbers)]
            reach = self._reaches[key] = _Reach(self.bindings, found, user, groups)
        return reach


class _Reach:
    """The bindings that reach one user in one scope."""

    def __init__(
        self, bindings: Bindings, found: Sequence[Binding], user: str, groups: Sequence[str]
    ) -> None:
        self._grants: list[Grant] = []
        unresolved: dict[str, None] = {}
        for binding in found:
            subject, role = binding.subject_for(user, groups), bindings.role_of(binding)
            if role is None:
                resource = f"{binding.role_kind.lower()}.{RBAC_GROUP}"
                unresolved[f"{resource} {quoted(binding.role_name)} not found"] = None
            elif subject is not None:
                self._grants += [Grant(binding, subject, role, rule) for rule in role.rules]
        self.unresolved = tuple(unresolved)
        # A universe asks each resource with every verb: what is for it is sought once.
        self._for: dict[ResourceName | str, list[Grant]] = {}

    def grants(self, question: Question) -> Iterator[Grant]:
        """The grants of a question, lazily."""
        if isinstance(question, PathQuestion):
            path = question.path
            if (found := self._for.get(path)) is None:
                found = [grant for grant in self._grants if grant.rule.matches_path(path)]
                self._for[path] = found
            return (grant for grant in found if grant.rule.matches_verb(question.verb))
        resource = question.resource
        if (found := self._for.get(resource)) is None:
            found = [grant for grant in self._grants if grant.rule.matches_resource(resource)]
            self._for[resource] = found
        return (
            grant
            for grant in found
            if grant.rule.matches_verb(question.verb)
            and grant.rule.matches_name(question.object_name)
        )


def _described(named: Binding | BoundSubject) -> str:
    """How the API server writes it: `RoleBinding "name/namespace"`."""
    namespace = f"/{named.namespace}" if named.namespace else ""
    return f"{named.kind} {quoted(f'{named.name}{namespace}')}"


def _sentences(reason: str) -> list[str]:
    return reason.removeprefix("RBAC: ").removeprefix("[").removesuffix("]").split(", ")


_ESCAPES: Final[Mapping[str, str]] = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quoted(text: str) -> str:
    """A text as Go's `%q` writes it. Source: strconv.Quote."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
