"""Why a question is denied: the rule that comes nearest to granting it, and what it lacks.

Looked at are

* rules of roles that are bound to the user, in the asked scope or in another one;
* bindings of the user whose role does not exist;
* what a person wrote (not what the cluster brought): rules of roles that are bound to others only,
  and of roles that no binding refers to.

A rule takes part only where it speaks of the resource: of the same plural, in whatever group and
with whatever subresource, or of one that is spelt nearly so; or of a path with the same first
segment. What is bound to the user takes part however much it lacks, anything else only where being
bound is all that it lacks.

The nearest is the one with the fewest lacks; then the one whose lacks are less grave, in the order
of `Lack`; then what a person wrote; then, of bindings to others, the one with the most similar
subject; then the first by name.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from rbac_matrix.cell import PathQuestion, ResourceName, ResourceQuestion
from rbac_matrix.judges.rule import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rbac_matrix.cell import Question
    from rbac_matrix.errors import Position
    from rbac_matrix.judges.bindings import Binding, Bindings, Role
    from rbac_matrix.judges.rule import Rule

SIMILAR: Final = 0.85
"""The least ratio of difflib for two spellings of one plural: `pod` and `pods` have 0.86, but
`bindings` and `rolebindings` 0.8, `jobs` and `cronjobs` 0.67."""
_MISSPELT: Final = 4  # more than the differences that a resource of the right plural can have
_SHOWN_SUBJECTS: Final = 3


class Lack(IntEnum):
    """What a rule can lack, the less grave first."""

    VERB = 1
    NAME = 2
    RESOURCE = 3
    """Its resource, subresource, group or path is another one."""
    ROLE = 4
    """The binding refers to a role that does not exist."""
    SCOPE = 5
    """The binding is for another namespace, or for one where it had to be for the cluster."""
    SUBJECT = 6
    """The binding does not name the user."""
    BINDING = 7
    """Nothing binds the role."""


@dataclass(frozen=True)
class NearestRule:
    """The rule that comes nearest to granting what is denied.

    Attributes:
        sentence: What it grants and lacks; without a full stop.
        lacks: What it lacks; empty where no rule comes near.
        origin: Where the rule, or the binding without a role, is written; None for what the cluster
            brought, and where no rule comes near.
        index: The rule's place among those of the role that is written there, from 0; None where
            no rule comes near.
    """

    sentence: str
    lacks: tuple[Lack, ...]
    origin: Position | None
    index: int | None = None


@dataclass(frozen=True)
class _Candidate:
    """A rule on its way to the user; the role and the rule, or the binding, may be missing."""

    lacks: tuple[Lack, ...]
    binding: Binding | None
    role: Role | None
    rule: Rule | None
    unlike: float = 0.0

    @property
    def origin(self) -> Position | None:
        if self.rule is not None:
            return self.rule.origin
        return self.binding.origin if self.binding else None

    @property
    def order(self) -> tuple[object, ...]:
        return (
            len(self.lacks),
            self.lacks,
            self.origin is None,
            self.unlike,
            str(self.role or ""),
            (self.role and self.role.namespace) or "",
            str(self.binding or ""),
            self.rule.index if self.rule else 0,
        )


class Neighbourhood:
    """Every rule that may come near to granting a user something, sorted once for all questions."""

    def __init__(self, bindings: Bindings, user: str, groups: Sequence[str]) -> None:
        """Sort the bindings.

        Args:
            bindings: All that are in force.
            user: Who asks.
            groups: The groups of who asks.
        """
        self._bindings, self._user, self._groups = bindings, user, groups
        self._own: list[tuple[Binding, Role | None]] = []
        self._others: list[tuple[Binding, Role, float]] = []
        for binding in bindings.bindings:
            role = bindings.role_of(binding)
            if binding.subject_for(user, groups) is not None:
                self._own.append((binding, role))
            elif role is not None and binding.origin is not None:
                self._others.append((binding, role, _unlike(binding, user)))
        bound = {id(bindings.role_of(binding)) for binding in bindings.bindings}
        self._unbound = [
            role
            for role in bindings.roles.values()
            if role.origin is not None and id(role) not in bound
        ]

    def nearest(self, question: Question) -> NearestRule:
        """The rule that comes nearest to granting a question that is denied."""
        found = min(self._candidates(question), key=lambda one: one.order, default=None)
        if found is None:
            what = question.path if isinstance(question, PathQuestion) else str(question.resource)
            none = f"no rule of any role that is bound to it speaks of {what}"
            return NearestRule(none, (), None)
        sentence = _Sentence(self._bindings, self._user, self._groups, question, found)
        index = found.rule.index if found.rule else None
        return NearestRule(sentence.text(), found.lacks, found.origin, index)

    def _candidates(self, question: Question) -> Iterator[_Candidate]:
        namespace = question.namespace if isinstance(question, ResourceQuestion) else None
        scopes = (None, namespace)
        for binding, role in self._own:
            yield from _of_own(binding, role, question, in_scope=binding.namespace in scopes)
        for binding, other, unlike in self._others:
            if binding.namespace in scopes:
                for rule in _granting(other, question):
                    yield _Candidate((Lack.SUBJECT,), binding, other, rule, unlike)
        for unbound in self._unbound:
            # No binding could give a Role to another namespace than its own.
            if unbound.namespace in scopes:
                for rule in _granting(unbound, question):
                    yield _Candidate((Lack.BINDING,), None, unbound, rule)


def _of_own(
    binding: Binding, role: Role | None, question: Question, *, in_scope: bool
) -> Iterator[_Candidate]:
    """What a binding of the user brings."""
    if role is None:
        if in_scope:
            yield _Candidate((Lack.ROLE,), binding, None, None)
        return
    for rule in role.rules:
        if (lacks := _lacks_of(rule, question)) is not None:
            yield _Candidate(lacks if in_scope else (*lacks, Lack.SCOPE), binding, role, rule)


def _granting(role: Role, question: Question) -> Iterator[Rule]:
    return (rule for rule in role.rules if _lacks_of(rule, question) == ())


def _lacks_of(rule: Rule, question: Question) -> tuple[Lack, ...] | None:
    """What the rule itself lacks; None where it does not speak of what is asked at all."""
    if isinstance(question, PathQuestion):
        if (near := _near_path(rule, question.path)) is None:
            return None
        lacks = {Lack.RESOURCE: not near or not rule.matches_path(question.path)}
    else:
        if (resource := _near_resource(rule, question.resource)) is None:
            return None
        lacks = {
            Lack.NAME: not rule.matches_name(question.object_name),
            Lack.RESOURCE: resource != question.resource,
        }
    lacks[Lack.VERB] = not rule.matches_verb(question.verb)
    return tuple(sorted(lack for lack, lacking in lacks.items() if lacking))


def _near_path(rule: Rule, path: str) -> str | None:
    """The path of the rule that matches, or else has the same first segment."""
    if rule.matches_path(path):
        return path

    def first(text: str) -> str:
        return text.lstrip("/").partition("/")[0]

    return next((near for near in rule.paths if first(near) == first(path)), None)


def _near_resource(rule: Rule, asked: ResourceName) -> ResourceName | None:
    """The resource itself where the rule matches it, or else the nearest one that it speaks of."""
    if rule.matches_resource(asked):
        return asked
    near: list[tuple[int, ResourceName]] = []
    for group in rule.groups:
        for text in rule.resources:
            plural, _, subresource = text.partition("/")
            any_plural = plural == ALL and subresource != ""
            resource = ResourceName(asked.group if group == ALL else group, plural, subresource)
            same_group = resource.group == asked.group
            if plural == asked.plural or (any_plural and same_group):
                differences = [not same_group, subresource != asked.subresource, any_plural]
                near.append((sum(differences), resource))
            elif same_group and _similar(plural, asked.plural) >= SIMILAR:
                near.append((_MISSPELT, resource))
    return min(near, default=(0, None))[1]


@functools.lru_cache(maxsize=10_000)
def _similar(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _unlike(binding: Binding, user: str) -> float:
    """How little the most similar subject of a binding resembles a user: 0 to 1."""
    named = [subject.user or subject.name for subject in binding.subjects]
    return 1 - max((_similar(name, user) for name in named), default=0.0)


class _Sentence:
    """Puts what a candidate grants and lacks into words."""

    def __init__(
        self,
        bindings: Bindings,
        user: str,
        groups: Sequence[str],
        question: Question,
        candidate: _Candidate,
    ) -> None:
        self.bindings, self.user, self.groups = bindings, user, groups
        self.question, self.candidate = question, candidate
        self.lacks = set(candidate.lacks)

    def text(self) -> str:
        role, rule, binding = self.candidate.role, self.candidate.rule, self.candidate.binding
        if role is None or rule is None:
            return self._without_role(binding) if binding else ""
        who = str(role)
        if rule.written_in != who:
            who += f" (by aggregating {rule.written_in})"
        inner = bool(self.lacks & {Lack.VERB, Lack.NAME, Lack.RESOURCE})
        text = f"{who} grants {self._granted(role, rule) if inner else 'it'}"
        if Lack.SCOPE in self.lacks:
            text += self._elsewhere(role, inner=inner)
        if Lack.SUBJECT in self.lacks and binding:
            text += f", but its binding {binding.name} names {_subjects(binding)}"
        if Lack.BINDING in self.lacks:
            text += ", but no binding refers to it"
        return text

    def _without_role(self, binding: Binding) -> str:
        kind, name = binding.role_kind, binding.role_name
        text = f"{binding} refers to {kind} {name}, which does not exist"
        if kind == "Role":
            text += f" in namespace {binding.namespace}"
        elsewhere = [
            f"a {role.kind} {name}" + (f" in namespace {role.namespace}" if role.namespace else "")
            for role in self.bindings.roles.values()
            if role.name == name
        ]
        return f"{text} (there is {' and '.join(sorted(elsewhere))})" if elsewhere else text

    def _granted(self, role: Role, rule: Rule) -> str:
        """`get, list on pods only for the name web, not watch on pods/log`."""
        question = self.question
        verbs = self._verbs(role, rule) if Lack.VERB in self.lacks else question.verb
        if isinstance(question, PathQuestion):
            shown, asked = str(_near_path(rule, question.path)), question.path
        else:
            shown, asked = str(_near_resource(rule, question.resource)), str(question.resource)
        text = f"{verbs} on {shown}"
        missing = [question.verb] if Lack.VERB in self.lacks else []
        if Lack.RESOURCE in self.lacks:
            missing += ["on", asked]
        name = question.object_name if isinstance(question, ResourceQuestion) else ""
        if Lack.NAME in self.lacks:
            text += f" only for the name{'s' * (len(rule.names) > 1)} {', '.join(rule.names)}"
            missing += ["for", name] if name else []
        if missing:
            text += f", not {' '.join(missing)}"
        elif Lack.NAME in self.lacks:
            text += f", and this {question.verb} names none"
        return text

    def _verbs(self, role: Role, rule: Rule) -> str:
        """The verbs of every rule of the role that is as near as this one."""

        def shape(one: Rule) -> tuple[object, ...]:
            question = self.question
            near = (
                _near_path(one, question.path)
                if isinstance(question, PathQuestion)
                else _near_resource(one, question.resource)
            )
            return (_lacks_of(one, question), near, one.names if Lack.NAME in self.lacks else ())

        alike = [one for one in role.rules if shape(one) == shape(rule)]
        return ", ".join(dict.fromkeys(verb for one in alike for verb in one.verbs))

    def _elsewhere(self, role: Role, *, inner: bool) -> str:
        if role.kind == "Role":
            return f"{', and' if inner else ''} only in namespace {role.namespace}"
        where = {
            other.namespace or ""
            for other in self.bindings.bindings
            if other.subject_for(self.user, self.groups) and self.bindings.role_of(other) is role
        }
        names = ", ".join(sorted(where))
        text = f", {'and' if inner else 'but'} is bound only in namespace{'s' * (len(where) > 1)}"
        text += f" {names}"
        if isinstance(self.question, PathQuestion):
            text += "; a path needs a ClusterRoleBinding"
        return text


def _subjects(binding: Binding) -> str:
    shown = [str(subject) for subject in binding.subjects[:_SHOWN_SUBJECTS]]
    if len(binding.subjects) > _SHOWN_SUBJECTS:
        shown.append(f"{len(binding.subjects) - _SHOWN_SUBJECTS} more")
    return ", ".join(shown) or "nobody"
