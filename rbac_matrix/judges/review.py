"""The review judge: asks the API server's SubjectAccessReview."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.answer import AnswerClass
from rbac_matrix.cell import PathQuestion
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.requests import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.answer import Answer
    from rbac_matrix.cell import Question, Subject
    from rbac_matrix.probe.session import ProbeSession

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class ReviewJudge:
    """Reviews with the subject's user name and all of its groups."""

    def __init__(self, reviewer: ProbeSession, deadline: float) -> None:
        """Ask through an agent.

        Args:
            reviewer: An agent whose identity may create reviews.
            deadline: Seconds for the questions of one call.
        """
        self._reviewer = reviewer
        self._deadline = deadline

    def opinions(self, subject: Subject, questions: Sequence[Question]) -> list[Opinion]:
        """What the API server's authorizer says; no opinion where a review was not answered."""
        requests = [review_request(subject, question) for question in questions]
        return [_opinion(answer) for answer in self._reviewer.ask(requests, self._deadline)]


def review_request(subject: Subject, question: Question) -> Request:
    """The request that reviews a question. Source: SubjectAccessReviewSpec, k8s.io/api."""
    spec: dict[str, Any] = {"user": subject.username, "groups": subject.groups}
    if isinstance(question, PathQuestion):
        spec["nonResourceAttributes"] = {"verb": question.verb, "path": question.path}
    else:
        spec["resourceAttributes"] = {
            "verb": question.verb,
            "group": question.resource.group,
            "resource": question.resource.plural,
            "subresource": question.resource.subresource,
            "namespace": question.namespace or "",
            "name": question.object_name,
        }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    return Request("POST", _REVIEWS, json.dumps(body), reads_body=True)


def _opinion(answer: Answer) -> Opinion:
    if answer.answer_class is not AnswerClass.CREATED:
        return Opinion(None, f"{answer} {answer.message}".strip())
    try:
        status = json.loads(answer.body or "")["status"]
        allowed, reason = status["allowed"], str(status.get("reason", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        allowed, reason = None, ""
    if not isinstance(allowed, bool):
        return Opinion(None, "the review cannot be read")
    return Opinion(allowed, reason)
