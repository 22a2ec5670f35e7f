"""Judging: what counts as allowed, what counts as denied, and how a verdict reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

import pytest

from rbac_matrix.answer import Answer, AnswerClass
from rbac_matrix.cell import (
    Cell,
    PathQuestion,
    ResourceName,
    ResourceQuestion,
    Rest,
    Subject,
)
from rbac_matrix.errors import Position
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.report.terminal import rest_failure
from rbac_matrix.requests import Request
from rbac_matrix.scenario import Expectation
from rbac_matrix.verdict import Evidence, Outcome, Verdict, judge, not_asked, printable

ROBOT: Final = Subject("default", "job-robot")
AT: Final = Position(Path("/somewhere/job-robot.yaml"), 42)
REQUEST: Final = Request("DELETE", "/apis/batch/v1/namespaces/default/jobs/sample?dryRun=All")


def cell(
    verb: str = "delete",
    resource: str = "jobs.batch",
    namespace: str | None = "default",
    name: str = "",
) -> Cell:
    """A question of the robot's."""
    return Cell(
        "job-robot",
        ROBOT,
        ResourceQuestion(verb, ResourceName.parse(resource), namespace, name),
    )


def agreed(answer: Answer, control: Answer) -> Evidence:
    """Answers to one request, with two other judges who say what the answer means."""
    said = Opinion(answer.answer_class is not AnswerClass.DENIED_BY_RBAC, "")
    return Evidence(said, said, REQUEST, answer, control)


def refusal(  # noqa: PLR0913 - each part of the message is a part of the question
    verb: str = "delete",
    resource: str = "jobs",
    *,
    group: str = "batch",
    namespace: str | None = "default",
    user: str = ROBOT.username,
    name: str = "sample",
) -> Answer:
    """RBAC's refusal of a question, in the server's words."""
    plural = resource.partition("/")[0]
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return Answer(
        403,
        f'{plural}{"." if group else ""}{group} "{name}" is forbidden: User "{user}" cannot {verb} '
        f'resource "{resource}" in API group "{group}" {where}',
    )


ADMISSION: Final = Answer(403, 'jobs.batch "sample" is forbidden: exceeded quota: small')
ESCALATION: Final = Answer(
    403,
    'roles "x" is forbidden: user "y" is attempting to grant RBAC permissions not currently held',
)
ALLOWED: Final = Expectation(200, "The Role grants it.", AT)
DENIED: Final = Expectation(None, "deletecollection is a verb of its own.", AT)

OUTCOMES: Final[dict[str, tuple[Expectation, Answer, Outcome]]] = {
    # An allowance needs the declared status, not merely one that is no 403.
    "allowed-200": (ALLOWED, Answer(200), Outcome.AS_EXPECTED),
    "allowed-refused": (ALLOWED, refusal(), Outcome.UNEXPECTEDLY_DENIED),
    "allowed-201": (ALLOWED, Answer(201), Outcome.OTHER_STATUS),
    "allowed-404": (ALLOWED, Answer(404, "not found"), Outcome.OTHER_STATUS),
    "allowed-admission": (ALLOWED, ADMISSION, Outcome.OTHER_STATUS),
    "allowed-escalation": (ALLOWED, ESCALATION, Outcome.OTHER_STATUS),
    "allowed-401": (ALLOWED, Answer(401, "Unauthorized"), Outcome.NOT_ANSWERED),
    "allowed-429": (ALLOWED, Answer(429), Outcome.NOT_ANSWERED),
    "allowed-500": (ALLOWED, Answer(500), Outcome.NOT_ANSWERED),
    "allowed-timeout": (ALLOWED, Answer(None, "TimeoutError"), Outcome.NOT_ANSWERED),
    # A denial is RBAC's 403 for this very question, and nothing else.
    "denied-refused": (DENIED, refusal(), Outcome.AS_EXPECTED),
    "denied-200": (DENIED, Answer(200), Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-201": (DENIED, Answer(201), Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-404": (DENIED, Answer(404, "not found"), Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-405": (DENIED, Answer(405), Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-409": (DENIED, Answer(409), Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-422": (DENIED, Answer(422, "spec: Required value"), Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-admission": (DENIED, ADMISSION, Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-escalation": (DENIED, ESCALATION, Outcome.UNEXPECTEDLY_ALLOWED),
    "denied-401": (DENIED, Answer(401, "Unauthorized"), Outcome.NOT_ANSWERED),
    "denied-429": (DENIED, Answer(429), Outcome.NOT_ANSWERED),
    "denied-503": (DENIED, Answer(503), Outcome.NOT_ANSWERED),
    "denied-timeout": (DENIED, Answer(None, "TimeoutError"), Outcome.NOT_ANSWERED),
    "denied-as-nobody": (DENIED, refusal(user="system:anonymous"), Outcome.OTHER_REFUSAL),
    "denied-as-another": (DENIED, refusal(user=f"{ROBOT.username}-2"), Outcome.OTHER_REFUSAL),
    "denied-as-a-bare-name": (DENIED, refusal(user="job-robot"), Outcome.OTHER_REFUSAL),
    "denied-another-verb": (DENIED, refusal("deletecollection"), Outcome.OTHER_REFUSAL),
    "denied-another-resource": (DENIED, refusal(resource="cronjobs"), Outcome.OTHER_REFUSAL),
    "denied-a-subresource": (DENIED, refusal(resource="jobs/status"), Outcome.OTHER_REFUSAL),
    "denied-another-group": (DENIED, refusal(group="extensions"), Outcome.OTHER_REFUSAL),
    "denied-another-namespace": (DENIED, refusal(namespace="team-a"), Outcome.OTHER_REFUSAL),
    "denied-at-cluster-scope": (DENIED, refusal(namespace=None), Outcome.OTHER_REFUSAL),
    "denied-a-path": (
        DENIED,
        Answer(403, f'forbidden: User "{ROBOT.username}" cannot delete path "/metrics"'),
        Outcome.OTHER_REFUSAL,
    ),
}


@pytest.mark.parametrize(("expectation", "answer", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_an_answer_is_judged(expectation: Expectation, answer: Answer, outcome: Outcome) -> None:
    """Each kind of answer to each kind of expectation, while the admin is let through."""
    verdict = judge(cell(), expectation, agreed(answer, Answer(200)))

    assert outcome is verdict.outcome
    assert verdict.as_expected is (outcome is Outcome.AS_EXPECTED)


CONTROLS: Final = {
    "ok": (Answer(200), Outcome.AS_EXPECTED),
    "not-found": (Answer(404, "not found"), Outcome.AS_EXPECTED),
    "invalid": (Answer(422, "spec: Required value"), Outcome.AS_EXPECTED),
    "admission": (ADMISSION, Outcome.AS_EXPECTED),
    "refused": (refusal(user="kubernetes-admin"), Outcome.VACUOUS),
    "unauthenticated": (Answer(401, "Unauthorized"), Outcome.NOT_ANSWERED),
    "server-error": (Answer(500), Outcome.NOT_ANSWERED),
    "no-answer": (Answer(None, "the probe ended"), Outcome.NOT_ANSWERED),
}


@pytest.mark.parametrize(("control", "outcome"), CONTROLS.values(), ids=CONTROLS)
def test_a_denial_counts_only_while_the_admin_is_let_through(
    control: Answer, outcome: Outcome
) -> None:
    """The same request by the admin must get past the authorizer, or the denial proves nothing."""
    assert outcome is judge(cell(), DENIED, agreed(refusal(), control)).outcome


def test_an_allowance_needs_no_control() -> None:
    """The subject's own success is the proof."""
    assert judge(cell(), ALLOWED, agreed(Answer(200), Answer(None, "down"))).as_expected


NAMED: Final = cell(name="blog")


@pytest.mark.parametrize(
    ("name", "outcome"), [("blog", Outcome.AS_EXPECTED), ("sample", Outcome.OTHER_REFUSAL)]
)
def test_a_named_cell_needs_a_denial_of_that_name(name: str, outcome: Outcome) -> None:
    """`resourceNames` makes one object's denial say nothing about another's."""
    assert outcome is judge(NAMED, DENIED, agreed(refusal(name=name), Answer(200))).outcome


def test_a_denial_at_cluster_scope_and_of_a_subresource_is_recognized() -> None:
    """The parts that a cell may lack or add are compared too."""
    asked = cell("update", "nodes/status", None)
    answer = refusal("update", "nodes/status", group="", namespace=None)

    assert judge(asked, DENIED, agreed(answer, Answer(200))).as_expected


SENTENCES: Final[dict[str, tuple[Cell, Expectation, Answer, Answer, str]]] = {
    "allowed": (
        cell(),
        ALLOWED,
        Answer(200),
        Answer(200),
        "job-robot may delete jobs.batch in default (200)",
    ),
    "denied": (
        cell("list", "pods", None),
        DENIED,
        refusal("list", "pods", group="", namespace=None),
        Answer(200),
        "job-robot may not list pods at cluster scope (403)",
    ),
    "unexpectedly-allowed": (
        cell(),
        DENIED,
        Answer(200),
        Answer(200),
        "job-robot may not delete jobs.batch in default, but could (200)",
    ),
    "unexpectedly-allowed-and-not-found": (
        cell("get", "pods/log", "default", "web"),
        DENIED,
        Answer(404, 'pods "web" not found'),
        Answer(404),
        (
            'job-robot may not get pods/log "web" in default, but could (RBAC let it through; then '
            "404 not found)"
        ),
    ),
    "unexpectedly-denied": (
        cell(),
        ALLOWED,
        refusal(),
        Answer(200),
        "job-robot may delete jobs.batch in default, but was refused (403)",
    ),
    "other-status": (
        cell(),
        ALLOWED,
        Answer(404),
        Answer(404),
        "job-robot may delete jobs.batch in default with 200, but got 404 not found",
    ),
    "other-refusal": (
        cell(),
        DENIED,
        refusal(user="system:anonymous"),
        Answer(200),
        (
            "job-robot may not delete jobs.batch in default, but the refusal is not RBAC's for "
            "this question"
        ),
    ),
    "vacuous": (
        cell(),
        DENIED,
        refusal(),
        refusal(user="kubernetes-admin"),
        (
            "job-robot may not delete jobs.batch in default, but the admin is refused too: the "
            "request proves nothing"
        ),
    ),
    "not-answered": (
        cell(),
        DENIED,
        Answer(500, "etcdserver: request timed out"),
        Answer(200),
        (
            "job-robot delete jobs.batch in default: not answered: request: 500 server error "
            "etcdserver: request timed out"
        ),
    ),
}


@pytest.mark.parametrize(
    ("asked", "expectation", "answer", "control", "sentence"), SENTENCES.values(), ids=SENTENCES
)
def test_a_verdict_is_a_sentence(
    asked: Cell, expectation: Expectation, answer: Answer, control: Answer, sentence: str
) -> None:
    """The one line that a reader of a failed run sees first."""
    assert sentence == judge(asked, expectation, agreed(answer, control)).sentence


def test_a_cell_that_is_not_asked_says_why() -> None:
    """It is neither as expected nor a failure of the subject's access."""
    verdict = not_asked(cell(), ALLOWED, "it needs a kubelet, which the embedded cluster has not")

    assert not verdict.as_expected
    assert verdict.sentence == (
        "job-robot delete jobs.batch in default: not asked: it needs a kubelet, which the embedded "
        "cluster has not"
    )


def test_an_explanation_has_what_a_reader_needs() -> None:
    """The request, the identity, the expectation with its place, the answer, and how to ask again.

    The admin's answer is there only where it decides.
    """
    by_role = Opinion(allowed=True, reason="RoleBinding default/all of Role all")
    answer = Answer(404, "gone\nfor good")
    evidence = Evidence(by_role, Opinion(allowed=True, reason=""), REQUEST, answer, Answer(200))

    verdict = judge(cell(), DENIED, evidence)

    assert verdict.explanation.splitlines() == [
        "asked:     DELETE /apis/batch/v1/namespaces/default/jobs/sample?dryRun=All",
        "as:        system:serviceaccount:default:job-robot",
        "expected:  403 (deletecollection is a verb of its own.)",
        "declared:  /somewhere/job-robot.yaml:42",
        "answered:  404 not found",
        "server:    gone for good",
        "granted:   RoleBinding default/all of Role all",
        (
            "ask again: kubectl auth can-i delete jobs.batch "
            "--as=system:serviceaccount:default:job-robot -n default"
        ),
    ]


def test_a_vacuous_denial_shows_what_the_admin_got() -> None:
    """It is the admin's refusal that has to be understood."""
    control = refusal(user="kubernetes-admin")

    explanation = judge(cell(), DENIED, agreed(refusal(), control)).explanation

    (line,) = [line for line in explanation.splitlines() if line.startswith("admin got:")]
    assert line.startswith('admin got: 403 denied by RBAC jobs.batch "sample" is forbidden: User')


AGAIN: Final[dict[str, tuple[Cell, str]]] = {
    "namespaced": (cell("list", "pods"), "list pods --as={} -n default"),
    "cluster-scope": (cell("list", "nodes", None), "list nodes --as={} --all-namespaces"),
    "subresource": (cell("get", "pods/log"), "get pods --subresource=log --as={} -n default"),
    "named": (cell("get", "endpoints", name="blog"), "get endpoints/blog --as={} -n default"),
    "named-subresource": (
        cell("create", "pods/exec", name="web"),
        "create pods/web --subresource=exec --as={} -n default",
    ),
    "group": (cell("get", "jobs.batch"), "get jobs.batch --as={} -n default"),
    "name-for-a-shell": (cell("get", "pods", name="a b;c"), "get 'pods/a b;c' --as={} -n default"),
}


@pytest.mark.parametrize(("asked", "command"), AGAIN.values(), ids=AGAIN)
def test_a_question_can_be_asked_again(asked: Cell, command: str) -> None:
    """The command names the ServiceAccount in full: as a bare name it would always be refused."""
    verdict = Verdict(asked, DENIED, Outcome.UNEXPECTEDLY_ALLOWED)

    assert verdict.ask_again == f"kubectl auth can-i {command.format(ROBOT.username)}"


METRICS: Final = Cell("job-robot", ROBOT, PathQuestion("get", "/metrics"))
ESCALATE: Final = cell("escalate", "roles.rbac.authorization.k8s.io")
PATH_REFUSAL: Final = Answer(403, f'forbidden: User "{ROBOT.username}" cannot get path "/metrics"')
PATH_REQUEST: Final = Request("GET", "/metrics")
YES: Final = Opinion(allowed=True, reason="by the policy")
NO: Final = Opinion(allowed=False, reason="")

# Every way to have one judge against the other two: who, and what that one says.
DISSENTERS: Final = [
    (dissenter, says) for dissenter in ("policy", "review", "request") for says in (True, False)
]


@pytest.mark.parametrize("expectation", [ALLOWED, DENIED], ids=["allowed", "denied"])
@pytest.mark.parametrize(("dissenter", "says"), DISSENTERS)
def test_one_dissenter_is_a_disagreement(
    dissenter: str,
    says: bool,  # noqa: FBT001 - a case
    expectation: Expectation,
) -> None:
    """Whoever is right and whatever was expected, a judge is wrong; all three sides are named."""
    said = dict.fromkeys(("policy", "review", "request"), not says) | {dissenter: says}
    evidence = Evidence(
        Opinion(said["policy"], "what the files grant" if said["policy"] else ""),
        Opinion(said["review"], "RBAC: allowed by x" if said["review"] else ""),
        REQUEST,
        Answer(200) if said["request"] else refusal(),
        Answer(200),
    )

    verdict = judge(cell(), expectation, evidence)

    words = {name: "allowed" if allowed else "denied" for name, allowed in said.items()}
    assert verdict.outcome is Outcome.DISAGREEMENT
    assert not verdict.as_expected
    assert verdict.sentence.endswith(
        f"delete jobs.batch in default, but the judges disagree: policy says {words['policy']}, "
        f"review says {words['review']}, request says {words['request']}"
    )
    assert [
        line.rstrip(":")
        for line in (" ".join(each.split()[:2]) for each in verdict.explanation.splitlines())
        if line.startswith(("policy: ", "review: ", "request: "))
    ] == [f"{name}: {word}" for name, word in words.items()]


SILENT: Final = {
    "policy": (Evidence(Opinion(None, "unreadable"), NO, REQUEST, refusal(), Answer(200))),
    "review": (Evidence(NO, Opinion(None, "500 server error"), REQUEST, refusal(), Answer(200))),
    "request": (Evidence(NO, NO, REQUEST, Answer(None, "TimeoutError"), Answer(200))),
    "review-though-the-others-disagree": (
        Evidence(YES, Opinion(None, "429 throttled"), REQUEST, refusal(), Answer(200))
    ),
    "review-though-no-request-was-made": (Evidence(NO, Opinion(None, "500 server error"))),
}


@pytest.mark.parametrize("expectation", [ALLOWED, DENIED], ids=["allowed", "denied"])
@pytest.mark.parametrize("judge_name", SILENT)
def test_a_judge_without_an_opinion_is_no_verdict(
    judge_name: str, expectation: Expectation
) -> None:
    """Two who agree do not stand for three; the one that failed is named with its reason."""
    verdict = judge(cell(), expectation, SILENT[judge_name])

    assert verdict.outcome is Outcome.NOT_ANSWERED
    assert f"not answered: {judge_name.partition('-')[0]}: " in verdict.sentence
    assert verdict.reason.partition(": ")[2]


WHY_NOT: Final = "no request has this verb"
BY_TWO: Final[dict[str, tuple[Expectation, Opinion, Opinion, Outcome, str]]] = {
    "denied": (DENIED, NO, NO, Outcome.AS_EXPECTED, "may not escalate {} (not requested)"),
    "denied-but-granted": (
        DENIED,
        YES,
        YES,
        Outcome.UNEXPECTEDLY_ALLOWED,
        "may not escalate {}, but it is granted",
    ),
    "allowed": (ALLOWED, YES, YES, Outcome.AS_EXPECTED, "may escalate {} (not requested)"),
    "allowed-but-not-granted": (
        ALLOWED,
        NO,
        NO,
        Outcome.UNEXPECTEDLY_DENIED,
        "may escalate {}, but nothing grants it",
    ),
    "policy-dissents": (
        DENIED,
        YES,
        NO,
        Outcome.DISAGREEMENT,
        "may not escalate {}, but the judges disagree: policy says allowed, review says denied",
    ),
    "review-dissents": (
        DENIED,
        NO,
        YES,
        Outcome.DISAGREEMENT,
        "may not escalate {}, but the judges disagree: policy says denied, review says allowed",
    ),
}


@pytest.mark.parametrize(
    ("expectation", "policy", "review", "outcome", "sentence"), BY_TWO.values(), ids=BY_TWO
)
def test_what_no_request_may_ask_is_judged_by_two(
    expectation: Expectation, policy: Opinion, review: Opinion, outcome: Outcome, sentence: str
) -> None:
    """Policy and review decide; nothing is said of a request or of an answer."""
    verdict = judge(ESCALATE, expectation, Evidence(policy, review, not_requested=WHY_NOT))

    asked = "roles.rbac.authorization.k8s.io in default"
    assert verdict.outcome is outcome
    assert verdict.sentence == f"job-robot {sentence.format(asked)}"
    assert "asked:" not in verdict.explanation
    assert "answered:" not in verdict.explanation
    assert "request:" not in verdict.explanation


PATHS: Final[dict[str, tuple[Expectation, Answer, Outcome, str]]] = {
    "denied": (DENIED, PATH_REFUSAL, Outcome.AS_EXPECTED, "may not get /metrics (403)"),
    "granted": (
        DENIED,
        Answer(200),
        Outcome.UNEXPECTEDLY_ALLOWED,
        "may not get /metrics, but could (200)",
    ),
    "granted-but-not-served": (
        DENIED,
        Answer(404, "404 page not found"),
        Outcome.UNEXPECTEDLY_ALLOWED,
        "may not get /metrics, but could (RBAC let it through; then 404 not found)",
    ),
    "allowed": (ALLOWED, Answer(200), Outcome.AS_EXPECTED, "may get /metrics (200)"),
    "refused": (
        ALLOWED,
        PATH_REFUSAL,
        Outcome.UNEXPECTEDLY_DENIED,
        "may get /metrics, but was refused (403)",
    ),
    "a-refusal-of-another-path": (
        DENIED,
        Answer(403, PATH_REFUSAL.message.replace("/metrics", "/logs/")),
        Outcome.OTHER_REFUSAL,
        "may not get /metrics, but the refusal is not RBAC's for this question",
    ),
    "a-refusal-of-another-user": (
        DENIED,
        Answer(403, PATH_REFUSAL.message.replace(ROBOT.username, "system:anonymous")),
        Outcome.OTHER_REFUSAL,
        "may not get /metrics, but the refusal is not RBAC's for this question",
    ),
    "a-refusal-of-a-resource": (
        DENIED,
        refusal("get"),
        Outcome.OTHER_REFUSAL,
        "may not get /metrics, but the refusal is not RBAC's for this question",
    ),
}


@pytest.mark.parametrize(
    ("expectation", "answer", "outcome", "sentence"), PATHS.values(), ids=PATHS
)
def test_a_path_is_judged_like_a_resource(
    expectation: Expectation, answer: Answer, outcome: Outcome, sentence: str
) -> None:
    """Its refusal must be of this user and this path; its sentence has no place in it."""
    said = Opinion(answer.answer_class is not AnswerClass.DENIED_BY_RBAC, "")
    verdict = judge(METRICS, expectation, Evidence(said, said, PATH_REQUEST, answer, Answer(200)))

    assert verdict.outcome is outcome
    assert verdict.sentence == f"job-robot {sentence}"
    assert verdict.explanation.splitlines()[-1] == (
        f"ask again: kubectl auth can-i get /metrics --as={ROBOT.username}"
    )


GRANTED: Final = "RoleBinding default/all of Role all to Group g, rule 1"
NEAREST: Final = "Role all grants get on jobs.batch, not delete"
ROLE: Final = Position(Path("role.yaml"), 7)


def explained(evidence: Evidence, expectation: Expectation) -> list[str]:
    """The lines of an explanation that say what decided."""
    lines = judge(cell(), expectation, evidence).explanation.splitlines()
    return [line for line in lines if line.startswith(("granted:", "nearest:", "policy:"))]


def test_an_explanation_names_the_grant_or_the_nearest_rule() -> None:
    """What allowed it, or what would have had to say more."""
    by_role = Opinion(allowed=True, reason=GRANTED, at=ROLE)
    allowed = Evidence(by_role, Opinion(allowed=True, reason=""), REQUEST, Answer(200), Answer(200))
    not_by_it = Opinion(allowed=False, reason=NEAREST, at=ROLE)
    denied = Evidence(not_by_it, NO, REQUEST, refusal(), Answer(200))

    assert explained(allowed, DENIED) == [f"granted:   {GRANTED} [role.yaml:7]"]
    assert explained(denied, ALLOWED) == [f"nearest:   {NEAREST} [role.yaml:7]"]
    assert explained(dataclasses.replace(denied, policy=NO), ALLOWED) == []


def test_a_disagreement_shows_the_three_reasons_side_by_side() -> None:
    """The reader decides which judge is wrong, so none of them is called the grant."""
    by_role = Opinion(allowed=True, reason=GRANTED, at=ROLE)
    evidence = Evidence(by_role, NO, REQUEST, refusal(), Answer(200))

    lines = judge(cell(), DENIED, evidence).explanation.splitlines()

    start = lines.index(f"policy:    allowed: {GRANTED} [role.yaml:7]")
    assert lines[start : start + 3] == [
        f"policy:    allowed: {GRANTED} [role.yaml:7]",
        "review:    denied",
        "request:   denied: 403 denied by RBAC",
    ]
    assert not any(line.startswith(("granted:", "nearest:")) for line in lines)


@pytest.mark.parametrize("expectation", [ALLOWED, DENIED], ids=["allowed", "denied"])
def test_the_same_answer_for_another_reason_is_a_disagreement(expectation: Expectation) -> None:
    """All three say yes, but the review's grant is none that the policy knows: both are shown."""
    other = 'RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to Group "z"'
    by_other = Opinion(allowed=True, reason=other)
    evidence = Evidence(
        Opinion(allowed=True, reason=GRANTED, at=ROLE),
        by_other,
        REQUEST,
        Answer(200),
        Answer(200),
        other_grant=other,
    )

    verdict = judge(cell(), expectation, evidence)

    assert verdict.outcome is Outcome.DISAGREEMENT
    assert verdict.sentence.endswith(
        "the judges disagree: the review names a grant that the policy does not see"
    )
    assert f"policy:    allowed: {GRANTED} [role.yaml:7]" in verdict.explanation
    assert f"review:    allowed: {other}" in verdict.explanation


def test_without_a_cluster_the_policy_decides_alone() -> None:
    """No review and no request: the sentence claims neither."""
    granted = judge(cell(), DENIED, Evidence(YES))
    refused = judge(cell(), ALLOWED, Evidence(NO))

    assert granted.sentence == "job-robot may not delete jobs.batch in default, but it is granted"
    assert refused.sentence == "job-robot may delete jobs.batch in default, but nothing grants it"
    assert judge(cell(), DENIED, Evidence(NO)).as_expected
    assert judge(cell(), ALLOWED, Evidence(YES)).as_expected


IDS: Final = {
    "job-robot:job-robot:default:delete:jobs.batch": cell(),
    "job-robot:job-robot:-:list:nodes": cell("list", "nodes", None),
    "job-robot:job-robot:default:get:pods/log:web": cell("get", "pods/log", name="web"),
    "job-robot:job-robot:-:get:/metrics": METRICS,
    "job-robot:job-robot:default:escalate:roles.rbac.authorization.k8s.io": ESCALATE,
    "job-robot:job-robot:default:everything-else": Rest("job-robot", ROBOT, "default"),
    "job-robot:job-robot:-:everything-else": Rest("job-robot", ROBOT, "-"),
}


@pytest.mark.parametrize(("written", "item"), IDS.items(), ids=IDS)
def test_an_item_has_its_id(written: str, item: Cell | Rest) -> None:
    """What `-k` selects by, and what stays the same from run to run."""
    assert written == item.id


PRINTABLE: Final = {
    "plain": ("pods is forbidden", "pods is forbidden"),
    "newlines": ("a\nb\r\n\tc", "a b c"),
    "colour": ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    "title": ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "backspace": ("no\x08\x08yes", "no\\x08\\x08yes"),
    "eight-bit-control": ("\x9b2J", "\\x9b2J"),
    "right-to-left": ("a\u202eb", "a\\x202eb"),
    "letters": ("é 名前", "é 名前"),
}


@pytest.mark.parametrize(("text", "shown"), PRINTABLE.values(), ids=PRINTABLE)
def test_what_a_server_says_cannot_act_on_a_terminal(text: str, shown: str) -> None:
    """Escapes are shown, line breaks are spaces."""
    assert shown == printable(text)


def test_no_message_reaches_a_terminal_unchecked() -> None:
    """Sentences and explanations of every outcome pass messages through `printable`."""
    evil = "\x1b[2J\nFAILED nothing"
    answers = [Answer(status, evil) for status in (None, 200, 401, 403, 404, 500)]
    answers.append(Answer(403, f"{refusal().message}{evil}"))
    for expectation in (ALLOWED, DENIED):
        for answer in answers:
            for control in answers:
                verdict = judge(cell(), expectation, agreed(answer, control))
                assert "\x1b" not in verdict.sentence + verdict.explanation
                assert "\n" not in verdict.sentence
                assert "\nFAILED" not in verdict.explanation


@pytest.mark.parametrize("allowed", [True, False, None])
def test_no_reason_reaches_a_terminal_unchecked(
    allowed: bool | None,  # noqa: FBT001 - a case
) -> None:
    """What a judge or a manifest says passes through `printable` too, wherever it is shown."""
    evil = "\x1b[2J\nFAILED nothing"
    said = Opinion(allowed, evil, Position(Path(evil), 1))
    for other in (said, YES, NO):
        verdict = judge(cell(), DENIED, Evidence(said, other, not_requested=evil))
        for text in (verdict.sentence, verdict.explanation, *rest_failure([verdict, verdict])):
            assert "\x1b" not in text
            assert "\nFAILED" not in text
