"""The review judge: what it asks the API server, and what it makes of the answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from rbac_matrix.answer import Answer
from rbac_matrix.cell import PathQuestion, Question, ResourceName, ResourceQuestion, Subject
from rbac_matrix.judges.review import ReviewJudge, review_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.judges.opinion import Opinion
    from rbac_matrix.probe.session import ProbeSession
    from rbac_matrix.requests import Request

CLERK: Final = Subject("team-a", "clerk")
PODS: Final = ResourceName("", "pods")


def attributes(**given: str) -> dict[str, dict[str, str]]:
    """The part of a review about a resource; what is not given is empty."""
    empty = dict.fromkeys(("verb", "group", "resource", "subresource", "namespace", "name"), "")
    return {"resourceAttributes": {**empty, **given}}


ASKED: Final[dict[str, tuple[Question, dict[str, dict[str, str]]]]] = {
    "a-resource-in-a-namespace": (
        ResourceQuestion("list", PODS, "team-a"),
        attributes(verb="list", resource="pods", namespace="team-a"),
    ),
    "a-resource-of-a-group-at-cluster-scope": (
        ResourceQuestion("get", ResourceName("batch", "jobs"), None),
        attributes(verb="get", group="batch", resource="jobs"),
    ),
    "a-subresource": (
        ResourceQuestion("create", ResourceName("", "pods", "exec"), "team-a"),
        attributes(verb="create", resource="pods", subresource="exec", namespace="team-a"),
    ),
    "a-named-object": (
        ResourceQuestion("get", PODS, "team-a", "web"),
        attributes(verb="get", resource="pods", namespace="team-a", name="web"),
    ),
    "a-verb-that-no-request-has": (
        ResourceQuestion("impersonate", ResourceName("", "users"), None),
        attributes(verb="impersonate", resource="users"),
    ),
    "a-path": (
        PathQuestion("get", "/metrics"),
        {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}},
    ),
}


@pytest.mark.parametrize(("question", "asked"), ASKED.values(), ids=ASKED)
def test_a_review_is_of_the_whole_identity_and_the_very_question(
    question: Question, asked: dict[str, dict[str, str]]
) -> None:
    """The user in full with its three groups: without them group grants would not be seen."""
    request = review_request(CLERK, question)

    body = json.loads(request.body or "")
    assert (request.method, request.path, request.reads_body) == (
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        True,
    )
    assert (body["apiVersion"], body["kind"]) == (
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
    )
    assert body["spec"] == {
        "user": "system:serviceaccount:team-a:clerk",
        "groups": [
            "system:serviceaccounts",
            "system:serviceaccounts:team-a",
            "system:authenticated",
        ],
        **asked,
    }


class Reviewer:
    """An admin's agent that has its answers ready."""

    def __init__(self, *answers: Answer) -> None:
        """Give these, in order."""
        self._answers = answers
        self.asked: list[Request] = []

    def ask(self, requests: Sequence[Request], deadline: float) -> list[Answer]:
        """One answer a request."""
        assert deadline == 5.0
        self.asked += requests
        return list(self._answers)


def reviewed(**status: object) -> Answer:
    """The API server's answer to a review."""
    return Answer(201, body=json.dumps({"kind": "SubjectAccessReview", "status": status}))


def opinions(*answers: Answer) -> list[Opinion]:
    """What the judge makes of answers."""
    judge = ReviewJudge(cast("ProbeSession", Reviewer(*answers)), 5.0)
    return judge.opinions(CLERK, [ResourceQuestion("get", PODS, "team-a")] * len(answers))


REASON: Final = 'RBAC: allowed by RoleBinding "b/team-a" of Role "r" to Group "g"'
OPINIONS: Final[dict[str, tuple[Answer, bool | None, str]]] = {
    "allowed": (reviewed(allowed=True, reason=REASON), True, REASON),
    "denied": (reviewed(allowed=False), False, ""),
    "denied-with-a-reason": (
        reviewed(allowed=False, denied=True, reason='RBAC: role "x" not found'),
        False,
        'RBAC: role "x" not found',
    ),
    "refused-to-the-admin": (Answer(403, "forbidden: quota"), None, "403 denied by admission"),
    "unauthenticated": (Answer(401, "Unauthorized"), None, "401 unauthenticated Unauthorized"),
    "throttled": (Answer(429, "too many requests"), None, "429 throttled too many requests"),
    "server-error": (Answer(500, "etcd is away"), None, "500 server error etcd is away"),
    "not-created": (Answer(200, body='{"status": {"allowed": true}}'), None, "200 ok"),
    "no-answer": (Answer(None, "TimeoutError"), None, "no answer TimeoutError"),
}


@pytest.mark.parametrize(("answer", "allowed", "says"), OPINIONS.values(), ids=OPINIONS)
def test_an_answer_is_an_opinion_or_none(answer: Answer, allowed: bool | None, says: str) -> None:  # noqa: FBT001 - a case
    """Only a review that was made decides; everything else is no answer, and says why."""
    (opinion,) = opinions(answer)

    assert opinion.allowed is allowed
    assert says in opinion.reason


UNREADABLE: Final = {
    "no-body": Answer(201),
    "no-status": Answer(201, body="{}"),
    "no-decision": reviewed(),
    "cut-off": Answer(201, body='{"status": {"allo'),
    "another-document": Answer(201, body="[]"),
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_cannot_be_read_is_no_opinion(answer: Answer) -> None:
    """One broken answer is one cell without a verdict, not the end of the run."""
    first, broken, last = opinions(reviewed(allowed=True), answer, reviewed(allowed=False))

    assert (first.allowed, broken.allowed, last.allowed) == (True, None, False)
    assert broken.reason


def test_opinions_are_in_the_order_of_the_questions() -> None:
    """All are asked at once, each by its own request."""
    questions: list[Question] = [
        ResourceQuestion("get", PODS, "team-a"),
        PathQuestion("get", "/metrics"),
        ResourceQuestion("list", PODS, None),
    ]
    answers = [reviewed(allowed=allowed, reason=str(allowed)) for allowed in (True, False, True)]
    reviewer: Any = Reviewer(*answers)

    found = ReviewJudge(reviewer, 5.0).opinions(CLERK, questions)

    assert [opinion.allowed for opinion in found] == [True, False, True]
    assert reviewer.asked == [review_request(CLERK, question) for question in questions]
