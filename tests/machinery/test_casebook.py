"""Casebooks: what a file has to be, which answer holds where, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from rbac_matrix.answer import AnswerClass
from rbac_matrix.casebook import Casebook, CasebookError, Stage, load_casebook
from rbac_matrix.cell import Subject
from rbac_matrix.client import Response
from rbac_matrix.errors import InputError
from rbac_matrix.schema import validator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rbac_matrix.admin import Admin
    from rbac_matrix.workspace import Workspace

ROOT: Final = Path(__file__).parents[2]
FILES: Final = sorted((ROOT / "tests" / "behaviour").glob("*.yaml"))
BOOK: Final = """\
title: A book
subjects:
  clerk:
    - rules: [{apiGroups: [""], resources: [pods], resourceNames: ["{namespace}-x"], verbs: [get]}]
    - {role: view, everywhere: true}
  stranger: []
objects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}
cases:
  - case: first
    rule: The first rule.
    as: clerk
    ask: GET /api/v1/namespaces/{namespace}/pods/mine
    expect: {answer: ok}
  - case: second
    rule: The second rule.
    as: stranger
    ask: GET /api/v1/namespaces/{namespace}/pods/mine
    headers: {Impersonate-User: jane}
    expect: {answer: denied by RBAC, verb: get}
  - case: third
    rule: The third rule.
    as: clerk
    ask: POST /api/v1/namespaces/{namespace}/pods/mine/exec
    upgrade: websocket
    expect:
      - {until: "1.34", answer: ok}
      - {since: "1.35", kubelet: true, answer: created, message: "{namespace}", says: {a.b: [1]}}
      - {since: "1.35", kubelet: false, answer: invalid}
"""
STRANGER: Final = "system:serviceaccount:team-a:stranger"


def denied(verb: str = "get", user: str = STRANGER) -> tuple[int, str]:
    """RBAC's refusal."""
    where = 'in API group "" in the namespace "team-a"'
    return 403, f'pods "mine" is forbidden: User "{user}" cannot {verb} resource "pods" {where}'


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Callable[..., Path]:
    def write(old: str = "", new: str = "") -> Path:
        assert old in BOOK
        file = tmp_path / "book.yaml"
        file.write_text(BOOK.replace(old, new, 1) if old else BOOK, encoding="utf-8")
        return file

    return write


class MemoryClient:
    """Gives one answer."""

    def __init__(self, answer: tuple[int, str], body: Mapping[str, Any] | None = None) -> None:
        """Ask nothing yet."""
        self.answer = answer
        self.body = dict(body or {})
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    def send(
        self,
        method: str,
        path: str,
        body: object,
        *,
        content_type: str,
        headers: Mapping[str, str],
    ) -> Response:
        """Answer one request."""
        del body, content_type
        self.asked.append((method, path, headers))
        status, message = self.answer
        return Response(f"{method} {path}", status, self.body, message)

    def version(self) -> str:
        """As an admin."""
        return "v1.36.3"


class MemorySpace:
    """Notes what is created; its subjects are all one client."""

    namespace = "team-a"
    runs_pods = True
    image = "some-image"

    def __init__(self, client: MemoryClient) -> None:
        """Begin empty."""
        self.done: list[Any] = []
        self._client = client

    def create(self, body: Mapping[str, Any]) -> None:
        """Note an object."""
        self.done.append(body["metadata"]["name"])

    def subject(self, name: str) -> Subject:
        """Note a subject."""
        return Subject(self.namespace, name)

    def grant(self, to: Subject, rules: list[Any], *, everywhere: bool) -> None:
        """Note a grant."""
        self.done.append((to.name, rules[0]["resourceNames"], everywhere))

    def bind(self, to: Subject, role: str, *, everywhere: bool) -> None:
        """Note a binding."""
        self.done.append((to.name, role, everywhere))

    def settle(self) -> None:
        """Note the wait."""
        self.done.append("settled")

    def client(self, _: Subject) -> MemoryClient:
        """Any subject's."""
        return self._client


def problem(
    book: Casebook,
    case: str,
    answer: tuple[int, str],
    control: tuple[int, str] = (200, ""),
    body: Mapping[str, Any] | None = None,
) -> str:
    """What is wrong with an answer to a case."""
    space = MemorySpace(MemoryClient(answer, body))
    stage = Stage(book, cast("Workspace", space), cast("Admin", MemoryClient(control)))
    (found,) = (each for each in book.cases if each.id == case)
    return stage.problem(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_casebook_of_this_repository_loads(file: Path) -> None:
    """It has cases of every subject, and declares its schema on its first line for editors."""
    book = load_casebook(file)

    assert {case.subject for case in book.cases} <= set(book.subjects)
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    assert first == (
        "# yaml-language-server: $schema=../../rbac_matrix/schemas/casebook.schema.json"
    )


def test_the_schema_knows_the_classes() -> None:
    """Every answer that it takes is a class, and it takes all that a case may expect."""
    known = validator("casebook").schema["$defs"]["answer"]["properties"]["answer"]["enum"]

    assert set(map(AnswerClass, known)) == set(AnswerClass) - {
        AnswerClass.NO_ANSWER,
        AnswerClass.THROTTLED,
    }


MISTAKES: Final = {
    "an-unknown-key": ("rule: The first", "rules: The first", "unknown key 'rules'"),
    "an-unknown-class": ("{answer: ok}", "{answer: okay}", "'okay' is not one of ok, created"),
    "a-denial-without-its-verb": (", verb: get}", "}", "expect is an answer, or a list"),
    "an-unknown-subject": ("as: clerk", "as: clark", "no subject is named 'clark'"),
    "two-of-a-name": ("case: second", "case: first", "two cases are named 'first'"),
    "a-write-that-is-no-dry-run": ("ask: GET", "ask: DELETE", "The admin sends the same"),
    "no-rule": ("    rule: The first rule.\n", "", "'rule' is a required property"),
    "an-unknown-verb-list": ("verbs: [get]", "verb: [get]", "unknown key 'verb'"),
}


@pytest.mark.parametrize(("old", "new", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_its_line(old: str, new: str, says: str, write: Callable[..., Path]) -> None:
    """A file that cannot be what its author meant is refused with file and line."""
    with pytest.raises(InputError, match=says) as caught:
        load_casebook(write(old, new))

    assert caught.value.at.line > 1


def test_a_stage_is_set(write: Callable[..., Path]) -> None:
    """Objects and grants are created, with the workspace's name, and then waited for."""
    space = MemorySpace(MemoryClient((200, "")))
    Stage(load_casebook(write()), cast("Workspace", space), cast("Admin", MemoryClient((200, ""))))

    assert space.done == [
        "mine",
        ("clerk", ["team-a-x"], False),
        ("clerk", "view", True),
        "settled",
    ]


def test_the_expected_answer_is_no_problem(write: Callable[..., Path]) -> None:
    """An answer of the class, verb and user that are expected is not told."""
    book = load_casebook(write())

    assert problem(book, "first", (200, "")) == ""
    assert problem(book, "second", denied()) == ""
    assert problem(book, "third", (201, "in team-a"), body={"a": {"b": [1]}}) == ""


WRONG: Final = {
    "another-class": ("first", (404, "gone"), "expected ok, got 404 not found"),
    "unexpectedly-allowed": ("second", (200, ""), "expected denied by RBAC, got 200 ok"),
    "another-verb": ("second", denied("list"), "RBAC refused, but not get to"),
    "another-user": ("second", denied(user="jane"), f"but not get to {STRANGER}"),
    "admission": ("second", (403, "no"), "expected denied by RBAC, got 403 denied by admission"),
    "another-message": ("third", (201, "elsewhere"), "the message is another one"),
    "another-body": ("third", (201, "in team-a"), "a.b is None, not [1]"),
}


@pytest.mark.parametrize(("case", "answer", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_told(
    case: str, answer: tuple[int, str], says: str, write: Callable[..., Path]
) -> None:
    """The first line says what differs; the others name rule, request, subject and place."""
    told = problem(load_casebook(write()), case, answer)

    assert says in told.splitlines()[0]
    for part in ("the rule:", "asked:", "as:        system:serviceaccount:team-a:", "book.yaml:"):
        assert part in told


VACUOUS: Final = {
    "refused-too": (denied(user="admin"), "the admin's same request got 403 denied by RBAC"),
    "not-answered": ((503, "down"), "the admin's same request got 503 server error"),
    "unserved-path": ((404, "404 page not found"), "nothing is served at this path"),
    "unserved-resource": (
        (404, "the server could not find the requested resource"),
        "nothing is served at this path",
    ),
}


@pytest.mark.parametrize(("control", "says"), VACUOUS.values(), ids=VACUOUS)
def test_a_refusal_to_everybody_does_not_count(
    control: tuple[int, str], says: str, write: Callable[..., Path]
) -> None:
    """Where the admin's same request does not get through, a refusal shows nothing."""
    assert says in problem(load_casebook(write()), "second", denied(), control)


def test_an_object_that_is_not_there_is_refused_truly(write: Callable[..., Path]) -> None:
    """A refusal counts where the admin finds no object, because RBAC does not look for any."""
    assert problem(load_casebook(write()), "second", denied(), (404, 'pods "x" not found')) == ""


def test_the_control_acts_as_nobody_else(write: Callable[..., Path]) -> None:
    """The admin asks without the headers of impersonation."""
    admin, client = MemoryClient((200, "")), MemoryClient(denied())
    book = load_casebook(write())
    stage = Stage(book, cast("Workspace", MemorySpace(client)), cast("Admin", admin))
    stage.problem(book.cases[1])

    assert client.asked[0][2] == {"Impersonate-User": "jane"}
    assert admin.asked[0][2] == {}


def test_an_upgrade_has_its_headers(write: Callable[..., Path]) -> None:
    """A case that switches protocols says so as RFC 9110 has it."""
    client = MemoryClient((201, "in team-a"))
    book = load_casebook(write())
    stage = Stage(
        book, cast("Workspace", MemorySpace(client)), cast("Admin", MemoryClient((200, "")))
    )
    stage.problem(book.cases[2])

    assert client.asked[0][2]["Upgrade"] == "websocket"
    assert client.asked[0][2]["Connection"] == "Upgrade"


@pytest.mark.parametrize(
    ("version", "kubelet", "answer"),
    [
        ("v1.34.9", True, AnswerClass.OK),
        ("v1.34.9", False, AnswerClass.OK),
        ("v1.35.0", True, AnswerClass.CREATED),
        ("v1.36.3", False, AnswerClass.INVALID),
    ],
)
def test_an_answer_holds_by_its_conditions(
    version: str, answer: AnswerClass, write: Callable[..., Path], *, kubelet: bool
) -> None:
    """Of several answers the one for the version and the kind of cluster holds."""
    third = load_casebook(write()).cases[2]

    assert [each.answer for each in third.expected if each.holds(version, kubelet=kubelet)] == [
        answer
    ]


def test_a_case_without_an_answer_is_an_error(write: Callable[..., Path]) -> None:
    """Where no answer, or more than one, holds on a cluster, the case cannot pass."""
    none = load_casebook(write('since: "1.35", kubelet: true', 'since: "1.99", kubelet: true'))
    with pytest.raises(CasebookError, match=r"third has 0 expected answers for v1.36.3 with a k"):
        problem(none, "third", (200, ""))

    two = load_casebook(write('until: "1.34"', 'until: "1.36"'))
    with pytest.raises(CasebookError, match="third has 2 expected answers"):
        problem(two, "third", (200, ""))
