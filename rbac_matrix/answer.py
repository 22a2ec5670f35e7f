"""What a request got, by exact class.

A 403 alone says little: admission, the escalation check and a question that was never meant all
answer 403 too. Source of the message forms: responsewriters/errors.go of k8s.io/apiserver.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class AnswerClass(StrEnum):
    """Every answer has exactly one class."""

    OK = "ok"
    CREATED = "created"
    DENIED_BY_RBAC = "denied by RBAC"
    DENIED_BY_ESCALATION_CHECK = "denied by escalation check"
    DENIED_BY_UPGRADE_CHECK = "denied by upgrade check"
    DENIED_BY_ADMISSION = "denied by admission"
    UNAUTHENTICATED = "unauthenticated"
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    METHOD_NOT_ALLOWED = "method not allowed"
    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    NO_ANSWER = "no answer"


UNDECIDED = frozenset(
    {
        AnswerClass.UNAUTHENTICATED,
        AnswerClass.THROTTLED,
        AnswerClass.SERVER_ERROR,
        AnswerClass.NO_ANSWER,
    }
)
"""Answers given before, or without, a decision of the authorizer: neither allowed nor denied."""


@dataclass(frozen=True)
class Denial:
    """Whom and what an RBAC denial speaks of.

    Attributes:
        user: The user name that was refused.
        verb: The verb.
        resource: The plural with its subresource, `pods/log`; None for a path.
        group: The API group of the resource.
        namespace: None at cluster scope.
        name: The object, where the request named one.
        path: The non-resource path; None for a resource.
    """

    user: str
    verb: str
    resource: str | None = None
    group: str = ""
    namespace: str | None = None
    name: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        status: The HTTP status; None where there was no answer.
        message: The server's `message`, the beginning of a body that has none, or why there was no
            answer. Empty for a success: what a subject can read stays out of reports.
        body: The whole body of a success that the request asked for (`Request.reads_body`).
    """

    status: int | None
    message: str = ""
    body: str | None = None

    @property
    def answer_class(self) -> AnswerClass:
        """Its class."""
        if self.status is None:
            return AnswerClass.NO_ANSWER
        if self.status == 403:
            return self._class_of_403()
        if self.status in _CLASS_OF_STATUS:
            return _CLASS_OF_STATUS[self.status]
        if self.status >= 500:
            return AnswerClass.SERVER_ERROR
        return AnswerClass.OK if self.status < 300 else AnswerClass.INVALID

    @property
    def denial(self) -> Denial | None:
        """Whom and what it refuses; None for anything but an RBAC denial."""
        found = _DENIAL.match(self.message) if self.status == 403 else None
        if found is None:
            return None
        parts = {
            key: None if value is None else html.unescape(value)
            for key, value in found.groupdict().items()
        }
        return Denial(
            user=parts["user"] or "",
            verb=parts["verb"] or "",
            resource=parts["resource"],
            group=parts["group"] or "",
            namespace=parts["namespace"],
            name=parts["name"],
            path=parts["path"],
        )

    def _class_of_403(self) -> AnswerClass:
        if _DENIAL.match(self.message):
            return AnswerClass.DENIED_BY_RBAC
        if any(text in self.message for text in _ESCALATION):
            return AnswerClass.DENIED_BY_ESCALATION_CHECK
        if _UPGRADE.fullmatch(self.message):
            return AnswerClass.DENIED_BY_UPGRADE_CHECK
        return AnswerClass.DENIED_BY_ADMISSION

    def __str__(self) -> str:
        """`403 denied by RBAC`, or why there was none."""
        return f"{self.status} {self.answer_class}" if self.status else str(self.answer_class)


_CLASS_OF_STATUS = {
    201: AnswerClass.CREATED,
    401: AnswerClass.UNAUTHENTICATED,
    404: AnswerClass.NOT_FOUND,
    405: AnswerClass.METHOD_NOT_ALLOWED,
    409: AnswerClass.CONFLICT,
    429: AnswerClass.THROTTLED,
}

# Source: pkg/registry/rbac/*/policybased/storage.go of k8s.io/kubernetes.
_ESCALATION = (
    "is attempting to grant RBAC permissions not currently held",
    "must have cluster-admin privileges to use the aggregationRule",
)

# From 1.35 on, a GET of pods/exec, attach or portforward that RBAC allowed is asked about again, as
# a create. The refusal says nothing but what RBAC had trouble with, if it had.
# Source: pkg/registry/core/pod/rest/authorize.go of k8s.io/kubernetes.
_UPGRADE = re.compile(r'pods "[^"]*" is forbidden:\s*(?:RBAC: .*)?', re.DOTALL)

# From the start of the message: a webhook's own refusal may quote RBAC's.
_DENIAL = re.compile(
    r'(?:\S+(?: "(?P<name>[^"]*)")? is )?forbidden: User "(?P<user>[^"]*)" cannot (?P<verb>\S+) '
    r'(?:resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)" '
    r'(?:in the namespace "(?P<namespace>[^"]+)"|at the cluster scope)'
    r'|path "(?P<path>[^"]+)")'
)


def answer_from_http(status: int, body: str, *, reads_body: bool) -> Answer:
    """Read an HTTP answer.

    Args:
        status: Its status.
        body: What the probe kept of its body.
        reads_body: Whether the request wanted a success's body.
    """
    if status < 300:
        return Answer(status, body=body if reads_body else None)
    return Answer(status, _message(body))


def _message(body: str) -> str:
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("message"), str):
        return str(document["message"])
    return body.strip()
