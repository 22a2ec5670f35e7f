"""Documented disagreements: which requests need more than their verb, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from rbac_matrix.answer import Answer
from rbac_matrix.cell import Cell, PathQuestion, ResourceName, ResourceQuestion, Subject
from rbac_matrix.disagreements import AlsoNeeded, load_disagreements, read_disagreements
from rbac_matrix.errors import InputError, Position
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.requests import Request
from rbac_matrix.scenario import Expectation
from rbac_matrix.verdict import Also, Evidence, Outcome, Verdict, judge


def question(verb: str, resource: str, name: str = "") -> ResourceQuestion:
    """A question in the namespace default."""
    return ResourceQuestion(verb, ResourceName.parse(resource), "default", name)


NEEDED: Final = {
    ("get", "pods/exec", "v1.34.9"): None,
    ("get", "pods/exec", "v1.35.0"): "create",
    ("get", "pods/exec", "v1.36.3"): "create",
    ("get", "pods/exec", "v1.36.3-eks-1"): "create",
    ("get", "pods/attach", "v1.36.3"): "create",
    ("get", "pods/portforward", "v1.36.3"): "create",
    ("create", "pods/exec", "v1.36.3"): None,
    ("get", "pods/log", "v1.36.3"): None,
    ("get", "pods/proxy", "v1.36.3"): None,
    ("update", "leases.coordination.k8s.io", "v1.30.0"): "create",
    ("update", "leases", "v1.30.0"): None,
    ("update", "pods", "v1.30.0"): None,
}


@pytest.mark.parametrize(("asked", "also"), NEEDED.items(), ids=map(":".join, NEEDED))
def test_what_else_a_request_needs(asked: tuple[str, str, str], also: str | None) -> None:
    """By verb, resource and version, of the same object."""
    verb, resource, version = asked
    needed = load_disagreements(version).also_needed(question(verb, resource, "web"))

    assert (needed.question if needed else None) == (
        question(also, resource, "web") if also else None
    )


def test_a_path_needs_nothing_else() -> None:
    """Its handler asks the authorizer nothing more."""
    assert load_disagreements("v1.36.3").also_needed(PathQuestion("get", "/metrics")) is None


LINE: Final = """\
lines:
  - verbs: [get]
    resources: [pods/exec]
    also: create
    {}
    why: Because.
    source: There.
"""
RANGES: Final = {
    'since: "1.35"': ("since Kubernetes 1.35: Because.", [False, True, True]),
    'until: "1.35"': ("until Kubernetes 1.35: Because.", [True, True, False]),
    'since: "1.35"\n    until: "1.35"': (
        "since Kubernetes 1.35, until Kubernetes 1.35: Because.",
        [False, True, False],
    ),
    "": ("Because.", [True, True, True]),
}


@pytest.mark.parametrize(("text", "expected"), RANGES.items(), ids=["since", "until", "one", "all"])
def test_a_line_is_for_its_versions_and_says_so(
    text: str, expected: tuple[str, list[bool]], tmp_path: Path
) -> None:
    """Both ends are within."""
    file = tmp_path / "disagreements.yaml"
    file.write_text(LINE.format(text))
    versions = ("v1.34.0", "v1.35.2", "v1.36.0")
    found = [read_disagreements(file, version).lines for version in versions]

    assert [bool(lines) for lines in found] == expected[1]
    assert {line.why for lines in found for line in lines} == {expected[0]}


MISTAKES: Final = {
    "unknown-key": ("sinse: '1.35'", "unknown key 'sinse'"),
    "no-version": ("since: '35'", "'35' cannot be here: First Kubernetes version, as 1.35"),
}


@pytest.mark.parametrize(("text", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_an_error_at_its_line(text: str, says: str, tmp_path: Path) -> None:
    """A range that nobody reads would excuse a refusal in every version."""
    file = tmp_path / "disagreements.yaml"
    file.write_text(LINE.format(text))
    with pytest.raises(InputError) as caught:
        read_disagreements(file, "v1.36.3")

    assert str(caught.value).startswith(f"{file}:5: ")
    assert says in str(caught.value)


ROBOT: Final = Subject("default", "robot")
AT: Final = Position(Path("robot.yaml"), 7)
ALLOWED: Final = Expectation(400, "Role robot grants it.", AT)
DENIED: Final = Expectation(None, "no line allows it", AT)
GET: Final = question("get", "pods/exec")
ALSO: Final = AlsoNeeded(
    question("create", "pods/exec"), "since Kubernetes 1.35: Because.", "There"
)
YES: Final = Opinion(allowed=True, reason="by the policy")
NO: Final = Opinion(allowed=False, reason="")
SILENT: Final = Opinion(allowed=None, reason="429 throttled")
UNNAMED: Final = Answer(403, 'pods "sample" is forbidden: ')
DANGLING: Final = Answer(
    403, 'pods "sample" is forbidden: RBAC: role.rbac.authorization.k8s.io "x" not found'
)


def refused(verb: str, subresource: str = "exec", user: str = ROBOT.username) -> Answer:
    """RBAC's refusal of a verb."""
    return Answer(
        403,
        f'pods "sample" is forbidden: User "{user}" cannot {verb} resource "pods/{subresource}" in '
        'API group "" in the namespace "default"',
    )


def verdict(
    expectation: Expectation, answer: Answer, *said: Opinion, needed: AlsoNeeded | None = ALSO
) -> Verdict:
    """The verdict of a get of pods/exec; said: policy and review of it, then of the need."""
    policy, review, *further = said
    also = Also(needed, *further) if needed else None
    request = Request("GET", "/api/v1/namespaces/default/pods/sample/exec")
    evidence = Evidence(policy, review, request, answer, Answer(404), also=also)
    return judge(Cell("robot", ROBOT, GET), expectation, evidence)


REFUSALS: Final = {"unnamed": UNNAMED, "dangling-role": DANGLING, "named": refused("create")}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_a_declared_grant_passes_where_the_need_is_documented(answer: Answer) -> None:
    """What is declared is granted; that the request is refused is told, with the reason."""
    found = verdict(ALLOWED, answer, YES, YES, NO, NO)

    assert found.outcome is Outcome.AS_EXPECTED
    assert found.sentence == (
        "robot may get pods/exec in default (it is granted, but its request got 403 for want of "
        "create)"
    )
    assert found.documented == (
        "the request also needs create pods/exec in default: since Kubernetes 1.35: Because. "
        "[There]"
    )
    assert f"refused:   {found.documented}" in found.explanation.splitlines()


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_an_undeclared_grant_fails_though_its_request_is_refused(answer: Answer) -> None:
    """One verb more, or an older Kubernetes, and it would be let through."""
    found = verdict(DENIED, answer, YES, YES, NO, NO)

    assert found.outcome is Outcome.UNEXPECTEDLY_ALLOWED
    assert found.sentence == (
        "robot may not get pods/exec in default, but it is granted (its request got 403 for want "
        "of create)"
    )
    assert f"refused:   {found.documented}" in found.explanation.splitlines()


@pytest.mark.parametrize("expectation", [ALLOWED, DENIED], ids=["allowed", "denied"])
def test_without_the_documentation_it_is_a_disagreement(expectation: Expectation) -> None:
    """As in a version that no line is for."""
    found = verdict(expectation, UNNAMED, YES, YES, needed=None)

    assert found.outcome is Outcome.DISAGREEMENT
    assert found.documented == ""
    assert found.sentence.endswith(
        "the judges disagree: policy says allowed, review says allowed, request says denied"
    )
    assert "request:   denied: 403 denied by upgrade check" in found.explanation


NOT_EXPLAINED: Final = {
    "the-need-is-granted": ((YES, YES, YES, YES), UNNAMED, Outcome.DISAGREEMENT),
    "the-policy-grants-the-need": ((YES, YES, YES, NO), UNNAMED, Outcome.DISAGREEMENT),
    "the-review-grants-the-need": ((YES, YES, NO, YES), UNNAMED, Outcome.DISAGREEMENT),
    "the-review-denies-the-question": ((YES, NO, NO, NO), UNNAMED, Outcome.DISAGREEMENT),
    "the-question-itself-is-refused": ((YES, YES, NO, NO), refused("get"), Outcome.DISAGREEMENT),
    "another-verb-is-refused": ((YES, YES, NO, NO), refused("list"), Outcome.OTHER_REFUSAL),
    "another-resource-is-refused": (
        (YES, YES, NO, NO),
        refused("create", "attach"),
        Outcome.OTHER_REFUSAL,
    ),
    "another-user-is-refused": (
        (YES, YES, NO, NO),
        refused("create", user="somebody"),
        Outcome.OTHER_REFUSAL,
    ),
    "the-need-is-not-answered": ((YES, YES, NO, SILENT), UNNAMED, Outcome.NOT_ANSWERED),
    "the-request-is-not-answered": ((YES, YES, NO, NO), Answer(500, "x"), Outcome.NOT_ANSWERED),
}


@pytest.mark.parametrize("expectation", [ALLOWED, DENIED], ids=["allowed", "denied"])
@pytest.mark.parametrize(("said", "answer", "outcome"), NOT_EXPLAINED.values(), ids=NOT_EXPLAINED)
def test_a_refusal_for_anything_else_is_not_excused(
    said: tuple[Opinion, ...], answer: Answer, outcome: Outcome, expectation: Expectation
) -> None:
    """The documentation explains one refusal: of its verb, of this object, to whom it is denied."""
    found = verdict(expectation, answer, *said)

    assert found.outcome is outcome
    assert found.documented == ""


def test_where_the_request_is_let_through_the_status_counts() -> None:
    """All three allow it: nothing is left to explain, and the declared status is compared."""
    found = verdict(ALLOWED, Answer(400, "no host"), YES, YES, YES, YES)

    assert found.outcome is Outcome.AS_EXPECTED
    assert found.sentence == "robot may get pods/exec in default (400)"
    assert verdict(ALLOWED, Answer(404), YES, YES, YES, YES).outcome is Outcome.OTHER_STATUS
    assert verdict(DENIED, Answer(400), YES, YES, YES, YES).outcome is Outcome.UNEXPECTEDLY_ALLOWED
