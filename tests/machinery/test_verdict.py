"""Judging: what counts as allowed, what counts as denied, and how a verdict reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.answer import Answer
from rbac_matrix.cell import Cell, ResourceName, Subject
from rbac_matrix.errors import Position
from rbac_matrix.requests import Request
from rbac_matrix.scenario import Expectation
from rbac_matrix.verdict import Outcome, Verdict, judge, not_asked, printable

if TYPE_CHECKING:
    from rbac_matrix.cell import Verb

ROBOT: Final = Subject("default", "job-robot")
AT: Final = Position(Path("/somewhere/job-robot.yaml"), 42)
REQUEST: Final = Request("DELETE", "/apis/batch/v1/namespaces/default/jobs/sample?dryRun=All")


def cell(
    verb: Verb = "delete",
    resource: str = "jobs.batch",
    namespace: str | None = "default",
    name: str | None = None,
) -> Cell:
    """A question of the robot's."""
    return Cell("job-robot", ROBOT, namespace, verb, ResourceName.parse(resource), name)


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
    verdict = judge(cell(), expectation, REQUEST, answer, Answer(200))

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
    assert outcome is judge(cell(), DENIED, REQUEST, refusal(), control).outcome


def test_an_allowance_needs_no_control() -> None:
    """The subject's own success is the proof."""
    assert judge(cell(), ALLOWED, REQUEST, Answer(200), Answer(None, "down")).as_expected


NAMED: Final = cell(name="blog")


@pytest.mark.parametrize(
    ("name", "outcome"), [("blog", Outcome.AS_EXPECTED), ("sample", Outcome.OTHER_REFUSAL)]
)
def test_a_named_cell_needs_a_denial_of_that_name(name: str, outcome: Outcome) -> None:
    """`resourceNames` makes one object's denial say nothing about another's."""
    assert outcome is judge(NAMED, DENIED, REQUEST, refusal(name=name), Answer(200)).outcome


def test_a_denial_at_cluster_scope_and_of_a_subresource_is_recognized() -> None:
    """The parts that a cell may lack or add are compared too."""
    asked = cell("update", "nodes/status", None)
    answer = refusal("update", "nodes/status", group="", namespace=None)

    assert judge(asked, DENIED, REQUEST, answer, Answer(200)).as_expected


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
            "job-robot delete jobs.batch in default: not answered: 500 server error etcdserver: "
            "request timed out"
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
    assert sentence == judge(asked, expectation, REQUEST, answer, control).sentence


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
    verdict = judge(cell(), DENIED, REQUEST, Answer(404, "gone\nfor good"), Answer(200))

    assert verdict.explanation.splitlines() == [
        "asked:     DELETE /apis/batch/v1/namespaces/default/jobs/sample?dryRun=All",
        "as:        system:serviceaccount:default:job-robot",
        "expected:  403 (deletecollection is a verb of its own.)",
        "declared:  /somewhere/job-robot.yaml:42",
        "answered:  404 not found",
        "server:    gone for good",
        (
            "ask again: kubectl auth can-i delete jobs.batch "
            "--as=system:serviceaccount:default:job-robot -n default"
        ),
    ]


def test_a_vacuous_denial_shows_what_the_admin_got() -> None:
    """It is the admin's refusal that has to be understood."""
    control = refusal(user="kubernetes-admin")

    explanation = judge(cell(), DENIED, REQUEST, refusal(), control).explanation

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
                verdict = judge(cell(), expectation, REQUEST, answer, control)
                assert "\x1b" not in verdict.sentence + verdict.explanation
                assert "\n" not in verdict.sentence
                assert "\nFAILED" not in verdict.explanation
