"""Reading answers: each message form of the API server has exactly one class."""

from __future__ import annotations

import json
from typing import Final

import pytest

from rbac_matrix.answer import Answer, AnswerClass, Denial, answer_from_http

CLERK: Final = "system:serviceaccount:team-a:clerk"
IN_TEAM_B: Final = 'in API group "" in the namespace "team-b"'


def status(code: int, message: str, reason: str = "Forbidden") -> str:
    """A failure as the API server writes it."""
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": {"kind": "pods"},
            "code": code,
        }
    )


def answer(code: int, message: str) -> Answer:
    """What a failure with this message is read as."""
    return answer_from_http(code, status(code, message), reads_body=False)


DENIALS: Final = {
    "of-a-name-in-a-namespace": (
        f'pods "web" is forbidden: User "{CLERK}" cannot get resource "pods" {IN_TEAM_B}',
        Denial(CLERK, "get", "pods", "", "team-b", "web"),
    ),
    "of-no-name": (
        f'pods is forbidden: User "{CLERK}" cannot list resource "pods" {IN_TEAM_B}',
        Denial(CLERK, "list", "pods", "", "team-b"),
    ),
    "of-another-group": (
        (
            f'jobs.batch is forbidden: User "{CLERK}" cannot create resource "jobs" in API group '
            '"batch" in the namespace "default"'
        ),
        Denial(CLERK, "create", "jobs", "batch", "default"),
    ),
    "at-cluster-scope": (
        (
            f'nodes "sample" is forbidden: User "{CLERK}" cannot get resource "nodes" in API group '
            '"" at the cluster scope'
        ),
        Denial(CLERK, "get", "nodes", "", None, "sample"),
    ),
    "of-a-subresource": (
        f'pods "web" is forbidden: User "{CLERK}" cannot create resource "pods/exec" {IN_TEAM_B}',
        Denial(CLERK, "create", "pods/exec", "", "team-b", "web"),
    ),
    "of-a-path": (
        f'forbidden: User "{CLERK}" cannot get path "/metrics"',
        Denial(CLERK, "get", path="/metrics"),
    ),
    "with-html-escapes": (
        'pods "a&amp;b" is forbidden: User "x&lt;y&gt;" cannot get resource "pods" ' + IN_TEAM_B,
        Denial("x<y>", "get", "pods", "", "team-b", "a&b"),
    ),
    "with-a-dangling-role-reference": (
        (
            f'pods is forbidden: User "{CLERK}" cannot list resource "pods" {IN_TEAM_B}: RBAC: '
            '[role.rbac.authorization.k8s.io "a" not found, '
            'clusterrole.rbac.authorization.k8s.io "b" not found]'
        ),
        Denial(CLERK, "list", "pods", "", "team-b"),
    ),
    "of-nobody": (
        f'pods is forbidden: User "system:anonymous" cannot list resource "pods" {IN_TEAM_B}',
        Denial("system:anonymous", "list", "pods", "", "team-b"),
    ),
}


@pytest.mark.parametrize(("message", "denial"), DENIALS.values(), ids=DENIALS)
def test_a_denial_by_rbac_says_whom_and_what_it_refuses(message: str, denial: Denial) -> None:
    """Every part of the question is read back from the message."""
    found = answer(403, message)

    assert found.answer_class is AnswerClass.DENIED_BY_RBAC
    assert denial == found.denial


OTHER_403: Final = {
    "escalation": (
        (
            f'roles.rbac.authorization.k8s.io "x" is forbidden: user "{CLERK}" '
            '(groups=["system:serviceaccounts"]) is attempting to grant RBAC permissions not '
            'currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
        ),
        AnswerClass.DENIED_BY_ESCALATION_CHECK,
    ),
    "aggregation-rule": (
        (
            'clusterroles.rbac.authorization.k8s.io "x" is forbidden: must have cluster-admin '
            "privileges to use the aggregationRule"
        ),
        AnswerClass.DENIED_BY_ESCALATION_CHECK,
    ),
    "upgrade": ('pods "web" is forbidden: ', AnswerClass.DENIED_BY_UPGRADE_CHECK),
    "upgrade-with-a-dangling-binding": (
        'pods "web" is forbidden: RBAC: role.rbac.authorization.k8s.io "x" not found',
        AnswerClass.DENIED_BY_UPGRADE_CHECK,
    ),
    "a-reason-that-is-not-the-authorizer's": (
        'pods "web" is forbidden: no RBAC: role here',
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "pod-security": (
        (
            'pods "web" is forbidden: violates PodSecurity "restricted:latest": '
            "allowPrivilegeEscalation != false"
        ),
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "quota": (
        (
            'pods "web" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, '
            "limited: pods=1"
        ),
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "missing-service-account": (
        (
            'pods "web" is forbidden: error looking up service account team-b/robot: '
            'serviceaccount "robot" not found'
        ),
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "terminating-namespace": (
        (
            'pods "web" is forbidden: unable to create new content in namespace team-b because it '
            "is being terminated"
        ),
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "protected-namespace": (
        'namespaces "kube-system" is forbidden: this namespace may not be deleted',
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "webhook": (
        'admission webhook "policy.example.com" denied the request: User not allowed',
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "webhook-that-quotes-a-denial": (
        'admission webhook "policy.example.com" denied the request: ' + DENIALS["of-no-name"][0],
        AnswerClass.DENIED_BY_ADMISSION,
    ),
    "no-message": ("", AnswerClass.DENIED_BY_ADMISSION),
}


@pytest.mark.parametrize(("message", "expected"), OTHER_403.values(), ids=OTHER_403)
def test_another_403_is_no_denial_by_rbac(message: str, expected: AnswerClass) -> None:
    """Admission and the later checks refuse what the authorizer let through."""
    found = answer(403, message)

    assert expected is found.answer_class
    assert found.denial is None


CLASSES: Final = {
    200: AnswerClass.OK,
    201: AnswerClass.CREATED,
    202: AnswerClass.OK,
    204: AnswerClass.OK,
    301: AnswerClass.INVALID,
    400: AnswerClass.INVALID,
    401: AnswerClass.UNAUTHENTICATED,
    404: AnswerClass.NOT_FOUND,
    405: AnswerClass.METHOD_NOT_ALLOWED,
    406: AnswerClass.INVALID,
    409: AnswerClass.CONFLICT,
    415: AnswerClass.INVALID,
    422: AnswerClass.INVALID,
    429: AnswerClass.THROTTLED,
    500: AnswerClass.SERVER_ERROR,
    503: AnswerClass.SERVER_ERROR,
}


@pytest.mark.parametrize(("code", "expected"), CLASSES.items())
def test_a_status_has_its_class(code: int, expected: AnswerClass) -> None:
    """Each status but 403 is its own decision; a denial's words under another status are none."""
    found = answer(code, DENIALS["of-no-name"][0])

    assert expected is found.answer_class
    assert found.denial is None


def test_no_answer_is_a_class_of_its_own() -> None:
    """A timeout is neither allowed nor denied."""
    found = Answer(None, "TimeoutError: timed out")

    assert found.answer_class is AnswerClass.NO_ANSWER
    assert found.denial is None
    assert str(found) == "no answer"


BODIES: Final = {
    "status-object": (status(404, 'pods "web" not found'), 'pods "web" not found'),
    "plain-text": ("404 page not found\n", "404 page not found"),
    "cut-off-json": ('{"kind": "Status", "mess', '{"kind": "Status", "mess'),
    "other-json": ('{"message": 7}', '{"message": 7}'),
    "json-list": ("[]", "[]"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("body", "message"), BODIES.values(), ids=BODIES)
def test_a_failure_keeps_what_the_server_said(body: str, message: str) -> None:
    """The message of a Status, or the body as it is."""
    assert message == answer_from_http(404, body, reads_body=False).message


def test_a_success_keeps_its_body_only_where_it_was_wanted() -> None:
    """What a subject can read stays out of answers, and so out of reports."""
    body = '{"data": {"password": "aHVudGVyMg=="}, "message": "secret"}'

    assert answer_from_http(200, body, reads_body=False) == Answer(200)
    assert answer_from_http(200, body, reads_body=True).body == body


def test_an_answer_reads_as_status_and_class() -> None:
    """As verdicts quote it."""
    assert str(answer(403, DENIALS["of-no-name"][0])) == "403 denied by RBAC"
    assert str(answer(422, "spec is required")) == "422 invalid"
