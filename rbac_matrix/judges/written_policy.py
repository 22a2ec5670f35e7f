"""The policy judge's opinions: what the scenario's files and the cluster's own roles grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.judges.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.errors import Position
    from rbac_matrix.judges.policy import Grant
    from rbac_matrix.manifests import ManifestObject


_DENIED: Final = Opinion(allowed=False, reason="")


class PolicyJudge:
    """Decides from roles and bindings alone; it asks nobody."""

    def __init__(
        self, written: Sequence[ManifestObject], stock: Iterable[Mapping[str, Any]]
    ) -> None:
        """Read the policy.

        Args:
            written: The scenario's objects.
            stock: The roles and bindings that the cluster has without them.
        """
        self._written = {found.at: found for found in written}
        self._lines: dict[tuple[Position, str, int], Position] = {}
        self._policy = Policy.of(
            [*((found.body, found.at) for found in written), *((body, None) for body in stock)]
        )

    def opinions(self, subject: Subject, questions: Sequence[Question]) -> list[Opinion]:
        """What RBAC says, with the grant that allows; why it denies is for `denial` to say."""
        user, groups, grants = subject.username, subject.groups, self._policy.grant
        granted = (grants(user, groups, question) for question in questions)
        return [_DENIED if grant is None else self._granted(grant) for grant in granted]

    def denial(self, subject: Subject, question: Question) -> Opinion:
        """The opinion of a question that is denied, with what comes nearest to granting it.

        Takes longer than deciding, so it is asked only for what is shown.
        """
        nearest = self._policy.nearest_rule(subject.username, subject.groups, question)
        place = self._line(nearest.origin, "rules", nearest.index)
        return Opinion(allowed=False, reason=nearest.sentence, at=place)

    def may_say(self, subject: Subject, question: Question, reason: str) -> bool:
        """Whether a review may give this reason, going by the policy."""
        return self._policy.may_say(subject.username, subject.groups, question, reason)

    def grant(self, subject: Subject, question: Question) -> Grant | None:
        """What allows a question; None where it is denied."""
        return self._policy.grant(subject.username, subject.groups, question)

    def rule_line(self, grant: Grant) -> Position | None:
        """Where the rule of a grant is written; None where the cluster brought it."""
        return self._line(grant.rule.origin, "rules", grant.rule.index)

    def subject_line(self, grant: Grant) -> Position | None:
        """Where the binding of a grant names the subject; None where the cluster brought it."""
        index = grant.binding.subjects.index(grant.subject)
        return self._line(grant.binding.origin, "subjects", index)

    def _line(self, origin: Position | None, key: str, index: int | None) -> Position | None:
        """The line of an entry of the object that is written somewhere; without one its first."""
        if origin is None or index is None or origin not in self._written:
            return origin
        entry = (origin, key, index)
        if (found := self._lines.get(entry)) is None:
            found = self._lines[entry] = self._written[origin].position((key, index))
        return found

    def _granted(self, grant: Grant) -> Opinion:
        """The binding, the role and the rule that allow, with the line that a person wrote."""
        rule, place = grant.rule, self.rule_line(grant) or self.subject_line(grant)
        through = f" (written in {rule.written_in})" if rule.written_in != str(grant.role) else ""
        reason = f"{grant.binding} of {grant.role} to {grant.subject}, rule {rule.index + 1}"
        return Opinion(allowed=True, reason=f"{reason}{through}", at=place)
