"""From cases to verdicts: three judges decide at the same time, and what they say is compared."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from rbac_matrix.verdict import Also, Evidence, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rbac_matrix.cases import Case
    from rbac_matrix.cell import Cell, Subject
    from rbac_matrix.disagreements import Disagreements
    from rbac_matrix.judges.opinion import Opinion
    from rbac_matrix.judges.request import RequestJudge
    from rbac_matrix.judges.review import ReviewJudge
    from rbac_matrix.judges.written_policy import PolicyJudge
    from rbac_matrix.requests import Request
    from rbac_matrix.verdict import Verdict


def decide(
    cases: Sequence[Case],
    policy: PolicyJudge,
    review: ReviewJudge,
    request: RequestJudge,
    disagreements: Disagreements,
) -> Iterator[Verdict]:
    """The verdicts of cases, subject by subject; all judges are asked before the first comes."""

    def also(case: Case) -> Also | None:
        """What policy and review say of what a case's request needs besides its question."""
        needed = disagreements.also_needed(case.cell.question)
        if needed is None or case.request is None:
            return None
        who, what = case.cell.subject, [needed.question]
        return Also(needed, policy.opinions(who, what)[0], review.opinions(who, what)[0])

    by_subject: dict[Subject, list[Case]] = {}
    for case in cases:
        by_subject.setdefault(case.cell.subject, []).append(case)
    pool = ThreadPoolExecutor(max_workers=len(by_subject) + 2)
    try:
        answers = {
            subject: pool.submit(request.answers, subject, _requests(own))
            for subject, own in by_subject.items()
        }
        controls = pool.submit(request.controls, _requests(cases))
        reviews = pool.submit(
            lambda: {
                subject: review.opinions(subject, [case.cell.question for case in own])
                for subject, own in by_subject.items()
            }
        )
        decided = {
            subject: policy.opinions(subject, [case.cell.question for case in own])
            for subject, own in by_subject.items()
        }
        asked: list[Future[Any]] = [*answers.values(), controls, reviews]
        wait(asked)
    finally:
        # An interrupt waits for no answers: whoever started the probes ends them.
        pool.shutdown(wait=False, cancel_futures=True)
    for subject, own in by_subject.items():
        opinions = zip(own, decided[subject], reviews.result()[subject], strict=True)
        for case, decision, by_review in opinions:
            question = case.cell.question
            by_policy = decision if decision.allowed else policy.denial(subject, question)
            evidence = Evidence(
                by_policy,
                by_review,
                case.request,
                answers[subject].result().get(case.request) if case.request else None,
                controls.result().get(case.request) if case.request else None,
                case.not_requested,
                _other_grant(case.cell, policy, by_policy, by_review),
                also(case) if by_policy.allowed else None,
            )
            yield judge(case.cell, case.expectation, evidence)


def answers_to_come(cases: Sequence[Case], request: RequestJudge) -> int:
    """How many answers deciding cases takes: reviews, requests, and the admin's same requests."""
    own = {(case.cell.subject, case.request) for case in cases if case.request is not None}
    return len(cases) + len(own) + len(request.uncontrolled(_requests(cases)))


def _requests(cases: Sequence[Case]) -> list[Request]:
    return [case.request for case in cases if case.request is not None]


def _other_grant(cell: Cell, policy: PolicyJudge, by_policy: Opinion, by_review: Opinion) -> str:
    """The reason of a review that allows for another reason than the policy may give."""
    if not (by_policy.allowed and by_review.allowed):
        return ""
    expected = policy.may_say(cell.subject, cell.question, by_review.reason)
    return "" if expected else by_review.reason
