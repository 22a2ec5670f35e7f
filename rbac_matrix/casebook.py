"""Rules of the API server as data: subjects with their grants, and requests with their answers.

A case names one request under one subject and its exact answer, by Kubernetes version where the
rule is not the same in all, and by whether there is a kubelet where that decides what an allowed
request gets. A refusal counts only where the admin's same request is not refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.answer import UNDECIDED, AnswerClass
from rbac_matrix.client import JSON, Client
from rbac_matrix.errors import InputError, RbacMatrixError
from rbac_matrix.schema import check_against
from rbac_matrix.verdict import printable
from rbac_matrix.versions import holds_for
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rbac_matrix.admin import Admin
    from rbac_matrix.cell import Subject
    from rbac_matrix.client import Response
    from rbac_matrix.errors import Position
    from rbac_matrix.workspace import Workspace

_REFUSALS: Final = frozenset(
    {
        AnswerClass.DENIED_BY_RBAC,
        AnswerClass.DENIED_BY_ESCALATION_CHECK,
        AnswerClass.DENIED_BY_UPGRADE_CHECK,
        AnswerClass.DENIED_BY_ADMISSION,
    }
)
_UPGRADES: Final[Mapping[str, Mapping[str, str]]] = {
    # RFC 6455; any 16 bytes are a key. The kubelet, to which this goes on, speaks no JSON.
    "websocket": {
        "Accept": "*/*",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "cmJhYy1tYXRyaXgtcmJhYw==",
    },
    "spdy": {"Accept": "*/*", "Connection": "Upgrade", "Upgrade": "SPDY/3.1"},
}
# Not the API server's refusal but its routing: nothing is served there.
_NOTHING_SERVED: Final = ("404 page not found", "could not find the requested resource")


class CasebookError(RbacMatrixError):
    """A case cannot be asked here; the message says why."""


@dataclass(frozen=True)
class Expected:
    """The answer that a case has to get, where its conditions hold.

    Attributes:
        answer: The exact class.
        conditions: `since`, `until` and `kubelet`; every one has to hold.
        verb: The verb that an RBAC denial names; empty for any other answer.
        user: The user that it names; empty for the case's own subject.
        message: A part of the server's message.
        says: Values in the body, by path: `status.userInfo.username`.
    """

    answer: AnswerClass
    conditions: Mapping[str, Any]
    verb: str
    user: str
    message: str
    says: Mapping[str, Any]

    def holds(self, version: str, *, kubelet: bool) -> bool:
        """Whether it is meant for a cluster."""
        wanted = self.conditions.get("kubelet", kubelet)
        return wanted is kubelet and holds_for(self.conditions, version)


@dataclass(frozen=True)
class Case:
    """One request and its answer.

    Attributes:
        id: The test's id.
        rule: The rule that it shows, a sentence.
        subject: Who asks, by name.
        method: The HTTP method.
        path: The path and query; `{namespace}` stands for the workspace.
        body: What is sent; None for nothing.
        content_type: Of the body.
        headers: Further headers.
        expected: The answers, of which exactly one holds on a cluster.
        at: Where it is written.
    """

    id: str
    rule: str
    subject: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    content_type: str
    headers: Mapping[str, str]
    expected: tuple[Expected, ...]
    at: Position


@dataclass(frozen=True)
class Casebook:
    """One file.

    Attributes:
        subjects: The grants of each subject, by name.
        objects: What is in the workspace.
        cases: What is asked.
    """

    subjects: Mapping[str, Sequence[Mapping[str, Any]]]
    objects: Sequence[Mapping[str, Any]]
    cases: tuple[Case, ...]


def load_casebook(file: Path) -> Casebook:
    """Read a file.

    Raises:
        InputError: It is not what its schema says, or a case has a subject that is not there or an
            id that another one has.
    """
    document = load_documents(file)[0]
    check_against("casebook", document)
    plain = document.plain
    cases: dict[str, Case] = {}
    for index, entry in enumerate(plain["cases"]):
        at = document.position(("cases", index))
        if entry["as"] not in plain["subjects"]:
            known = ", ".join(plain["subjects"])
            raise InputError(at, f"no subject is named {entry['as']!r}; there are {known}")
        if entry["case"] in cases:
            raise InputError(at, f"two cases are named {entry['case']!r}")
        cases[entry["case"]] = _case(entry, at)
    return Casebook(plain["subjects"], plain.get("objects", ()), tuple(cases.values()))


class Stage:
    """The subjects and objects of a casebook on a cluster, ready to be asked."""

    def __init__(self, book: Casebook, space: Workspace, admin: Admin) -> None:
        """Create them, and wait until the grants are in force.

        Args:
            book: The casebook.
            space: Where.
            admin: Who asks the controls.
        """
        self.space = space
        self._admin = admin
        self._version = admin.version()
        for body in book.objects:
            space.create(self._filled(body))
        for body in book.objects:
            if body["kind"] == "Pod":
                space.wait_for_pod(body["metadata"]["name"])
        self._subjects: dict[str, Subject] = {}
        for name, grants in book.subjects.items():
            subject = self._subjects[name] = space.subject(name)
            for grant in self._filled(grants):
                everywhere = grant.get("everywhere", False)
                if "role" in grant:
                    space.bind(subject, grant["role"], everywhere=everywhere)
                else:
                    space.grant(subject, grant["rules"], everywhere=everywhere)
        space.settle()
        self._clients: dict[str, Client] = {}

    def problem(self, case: Case) -> str:
        """Ask a case.

        Returns:
            How its answer differs from the expected one, to be read by people; empty where it does
            not.

        Raises:
            CasebookError: No answer is expected for this cluster, or several are.
        """
        expected = self._expected(case)
        if case.subject not in self._clients:
            self._clients[case.subject] = self.space.client(self._subjects[case.subject])
        response = self._send(self._clients[case.subject], case)
        difference = self._difference(case, expected, response)
        if not difference and expected.answer in _REFUSALS:
            # Who acts as somebody else has somebody else's rights, the admin too.
            own = {k: v for k, v in case.headers.items() if not k.startswith("Impersonate-")}
            difference = _vacuous(self._send(self._admin, replace(case, headers=own)))
        if not difference:
            return ""
        return "\n".join(
            (
                f"{case.id}: {difference}",
                f"the rule:  {case.rule}",
                f"asked:     {response.request}",
                f"as:        {self._subjects[case.subject].username}",
                f"expected:  {_shown(expected)}",
                f"declared:  {case.at}",
                f"answered:  {response.answer}",
                f"message:   {printable(response.message) or '(none)'}",
            )
        )

    def _expected(self, case: Case) -> Expected:
        kubelet = self.space.runs_pods
        found = [each for each in case.expected if each.holds(self._version, kubelet=kubelet)]
        if len(found) != 1:
            where = f"{self._version} {'with' if kubelet else 'without'} a kubelet"
            raise CasebookError(
                f"{case.at}: {case.id} has {len(found)} expected answers for {where}; it needs one"
            )
        return found[0]

    def _send(self, client: Client, case: Case) -> Response:
        return client.send(
            case.method,
            self._filled(case.path),
            self._filled(case.body),
            content_type=case.content_type,
            headers=self._filled(case.headers),
        )

    def _difference(self, case: Case, expected: Expected, response: Response) -> str:
        if response.answer_class is not expected.answer:
            return f"expected {expected.answer}, got {response.answer}"
        if expected.answer is AnswerClass.DENIED_BY_RBAC:
            denial = response.answer.denial
            user = self._filled(expected.user) or self._subjects[case.subject].username
            if denial is None or (denial.verb, denial.user) != (expected.verb, user):
                return f"RBAC refused, but not {expected.verb} to {user}"
        if self._filled(expected.message) not in response.message:
            return "the message is another one"
        for path, value in self._filled(expected.says).items():
            found = _at(response.body, path)
            if found != value:
                return f"{path} is {found!r}, not {value!r}"
        return ""

    def _filled(self, value: Any) -> Any:  # noqa: ANN401 - a JSON value of any kind
        """The same with the workspace's own in the place of `{namespace}` and `{image}`."""
        if isinstance(value, str):
            named = value.replace("{namespace}", self.space.namespace)
            return named.replace("{image}", self.space.image)
        if isinstance(value, dict):
            return {self._filled(key): self._filled(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._filled(inner) for inner in value]
        return value


def _case(entry: Mapping[str, Any], at: Position) -> Case:
    method, _, path = entry["ask"].partition(" ")
    expected = entry["expect"]
    return Case(
        id=entry["case"],
        rule=entry["rule"],
        subject=entry["as"],
        method=method,
        path=path,
        body=entry.get("body"),
        content_type=entry.get("contentType", JSON),
        headers={**_UPGRADES.get(entry.get("upgrade", ""), {}), **entry.get("headers", {})},
        expected=tuple(map(_expected, expected if isinstance(expected, list) else [expected])),
        at=at,
    )


def _expected(entry: Mapping[str, Any]) -> Expected:
    return Expected(
        answer=AnswerClass(entry["answer"]),
        conditions={key: entry[key] for key in ("since", "until", "kubelet") if key in entry},
        verb=entry.get("verb", ""),
        user=entry.get("user", ""),
        message=entry.get("message", ""),
        says=entry.get("says", {}),
    )


def _vacuous(control: Response) -> str:
    """Why a refusal says nothing; empty where it does."""
    if control.answer_class in _REFUSALS | UNDECIDED:
        return f"the admin's same request got {control.answer} ({printable(control.message)})"
    if any(text in control.message for text in _NOTHING_SERVED):
        return "nothing is served at this path: everybody but the admin is refused there"
    return ""


def _shown(expected: Expected) -> str:
    parts = [str(expected.answer)]
    if expected.verb:
        parts.append(f"of the verb {expected.verb}")
    if expected.message:
        parts.append(f"with {expected.message!r} in the message")
    return " ".join(parts)


def _at(body: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a JSON value of any kind
    found: Any = body
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found
