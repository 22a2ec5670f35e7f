"""The policy judge's opinions: what the scenario's files and the cluster's own roles grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.judges.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.judges.policy import Grant
    from rbac_matrix.manifests import ManifestObject


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
        self._policy = Policy.of(
            [*((found.body, found.at) for found in written), *((body, None) for body in stock)]
        )

    def opinions(self, subject: Subject, questions: Sequence[Question]) -> list[Opinion]:
        """What RBAC says, with the grant that allows; a denial's reason is `nearest`."""
        user, groups, decide = subject.username, subject.groups, self._policy.decide
        found = []
        for question in questions:
            grant = decide(user, groups, question).grant
            found.append(Opinion(grant is not None, self._granted(grant) if grant else ""))
        return found

    def nearest(self, subject: Subject, question: Question) -> str:
        """What comes nearest to granting a denied question, and where it is written.

        Takes longer than deciding, so it is asked only for what is shown.
        """
        decision = self._policy.decide(subject.username, subject.groups, question)
        nearest = decision.nearest
        if nearest is None:
            return ""
        place = nearest.origin
        if place in self._written and nearest.index is not None:
            place = self._written[place].position(("rules", nearest.index))
        return f"{nearest.sentence} [{place}]" if place else nearest.sentence

    def may_say(self, subject: Subject, question: Question, reason: str) -> bool:
        """Whether a review may give this reason, going by the policy."""
        return self._policy.may_say(subject.username, subject.groups, question, reason)

    def _granted(self, grant: Grant) -> str:
        """The binding, the role and the rule that allow, with the rule's line."""
        rule = grant.rule
        place = ""
        if rule.origin is not None and rule.origin in self._written:
            place = f" [{self._written[rule.origin].position(('rules', rule.index))}]"
        elif grant.binding.origin is not None:
            place = f" [{grant.binding.origin}]"  # the role is the cluster's own
        through = f" (written in {rule.written_in})" if rule.written_in != str(grant.role) else ""
        return (
            f"{grant.binding} of {grant.role} to {grant.subject}, "
            f"rule {rule.index + 1}{through}{place}"
        )
