"""The baseline: what every ServiceAccount may do, by version, and how it may be wrong."""

from __future__ import annotations

import contextlib
import types
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix import baseline
from rbac_matrix.baseline import Baseline, load_baseline
from rbac_matrix.cell import PathQuestion, Question, ResourceName, ResourceQuestion
from rbac_matrix.errors import InputError, Position
from rbac_matrix.schema import check_against
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from pathlib import Path

LINES: Final = """\
lines:
  - verbs: {get: 200}
    paths: [/version, /api/*]
    why: For everybody.
  - verbs: {get: 404}
    paths: [/api/*, /old]
    until: "1.30"
    why: Too late for /api/v1, which the first line covers.
  - verbs: {create: 201, delete: 200}
    resources: [selfsubjectreviews.authentication.k8s.io]
    since: "1.28"
    why: Who am I.
"""
REVIEWS: Final = ResourceName("authentication.k8s.io", "selfsubjectreviews")


def review(verb: str = "create", namespace: str | None = None, name: str = "") -> ResourceQuestion:
    """A question about the resource of the last line."""
    return ResourceQuestion(verb, REVIEWS, namespace, name)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lines above in the place of the package's own."""
    (tmp_path / "recorded").mkdir()
    written = tmp_path / "recorded" / "baseline.yaml"
    written.write_text(LINES, encoding="utf-8")
    packaged = types.SimpleNamespace(files=lambda _: tmp_path, as_file=contextlib.nullcontext)
    monkeypatch.setattr(baseline, "resources", packaged)
    return written


COVERED: Final[dict[str, tuple[Question, int | None]]] = {
    "a-path": (PathQuestion("get", "/version"), 200),
    "a-path-that-begins-alike": (PathQuestion("get", "/version/"), None),
    "a-path-below": (PathQuestion("get", "/version/openapi"), None),
    "a-pattern": (PathQuestion("get", "/api/v1"), 200),
    "a-pattern-with-nothing-more": (PathQuestion("get", "/api/"), 200),
    "a-pattern-without-its-slash": (PathQuestion("get", "/api"), None),
    "a-pattern-elsewhere": (PathQuestion("get", "/x/api/v1"), None),
    "another-method": (PathQuestion("post", "/version"), None),
    "another-path": (PathQuestion("get", "/metrics"), None),
    "only-in-a-later-line": (PathQuestion("get", "/old"), 404),
    "a-resource": (review(), 201),
    "another-verb-with-its-own-status": (review("delete"), 200),
    "a-verb-that-no-line-has": (review("get"), None),
    "a-resource-in-a-namespace": (review(namespace="default"), None),
    "a-resource-of-another-group": (
        ResourceQuestion("create", ResourceName("", "selfsubjectreviews"), None),
        None,
    ),
    "a-subresource": (
        ResourceQuestion("create", ResourceName(REVIEWS.group, REVIEWS.plural, "status"), None),
        None,
    ),
    "a-named-object": (review("delete", name="mine"), None),
}


@pytest.mark.parametrize(("question", "status"), COVERED.values(), ids=COVERED)
@pytest.mark.usefixtures("file")
def test_a_question_is_covered_or_not(question: Question, status: int | None) -> None:
    """The first line that is about it gives the exact status; a named object never is."""
    found = load_baseline("v1.30.2").expectation(question)

    assert (found and found.status) == status


def test_an_expectation_has_the_reason_and_the_place_of_its_line(file: Path) -> None:
    """A failure shows the line of the baseline that was contradicted."""
    found = load_baseline("v1.36.3").expectation(PathQuestion("get", "/api/v1"))

    assert found is not None
    assert (found.why, found.at) == ("For everybody.", Position(file, 2))


VERSIONS: Final = {
    "before-since": ("v1.27.9", review(), False),
    "since": ("v1.28.0", review(), True),
    "after-since": ("v1.36.3", review(), True),
    "a-minor-of-one-digit-is-no-larger": ("v1.9.0", review(), False),
    "until": ("v1.30.99", PathQuestion("get", "/old"), True),
    "after-until": ("v1.31.0", PathQuestion("get", "/old"), False),
    "before-until": ("v1.9.0", PathQuestion("get", "/old"), True),
    "a-vendors-version": ("v1.31.2-eks-7f9249a", PathQuestion("get", "/old"), False),
    "without-a-patch": ("1.30", PathQuestion("get", "/old"), True),
}


@pytest.mark.parametrize(("version", "question", "covered"), VERSIONS.values(), ids=VERSIONS)
@pytest.mark.usefixtures("file")
def test_a_line_counts_for_its_versions(
    version: str,
    question: Question,
    covered: bool,  # noqa: FBT001 - a case
) -> None:
    """From `since` to `until`, both included, compared as numbers."""
    assert (load_baseline(version).expectation(question) is not None) is covered


MISTAKES: Final = {
    "no-lines": ("lines: [] # here\n", "should be non-empty"),
    "an-unknown-key": (
        "lines:\n  - {why: So., paths: [/a], verbs: {get: 200}}\n  - path: [/b] # here\n",
        "lines[1].path: unknown key 'path'; known here: paths, resources, since, until, verbs, why",
    ),
    "no-reason": (
        "lines:\n  - verbs: {get: 200} # here\n    paths: [/a]\n",
        "lines[0]: 'why' is a required property",
    ),
    "an-empty-reason": (
        "lines:\n  - verbs: {get: 200}\n    paths: [/a]\n    why: '' # here\n",
        "lines[0].why: '' should be non-empty",
    ),
    "nothing-that-it-is-about": (
        "lines:\n  - verbs: {get: 200} # here\n    why: So.\n",
        "lines[0]: resources or paths are required",
    ),
    "verbs-without-a-status": (
        "lines:\n  - verbs: [get] # here\n    paths: [/a]\n    why: So.\n",
        "lines[0].verbs: ['get'] is not of type 'object'",
    ),
    "a-status-in-words": (
        "lines:\n  - verbs: {get: ok} # here\n    paths: [/a]\n    why: So.\n",
        "lines[0].verbs.get: 'ok' is not of type 'integer'",
    ),
    "no-verb": (
        "lines:\n  - verbs: {} # here\n    paths: [/a]\n    why: So.\n",
        "lines[0].verbs: {} should be non-empty",
    ),
    "a-version-as-a-number": (
        "lines:\n  - verbs: {get: 200}\n    paths: [/a]\n    since: 1.30 # here\n    why: So.\n",
        "is not of type 'string'",
    ),
    "a-version-with-a-patch": (
        "lines:\n  - verbs: {get: 200}\n    paths: [/a]\n    since: v1.30.1 # here\n    why: So.\n",
        "'v1.30.1' cannot be here: First Kubernetes version, as 1.28.",
    ),
}


@pytest.mark.parametrize(("text", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_at_its_line(text: str, says: str, tmp_path: Path) -> None:
    """The baseline is the one exception to default deny, so it is read as strictly as the rest."""
    file = tmp_path / "baseline.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(InputError) as caught:
        check_against("baseline", load_documents(file)[0])

    (line,) = [number for number, each in enumerate(text.splitlines(), 1) if "# here" in each]
    assert says in str(caught.value)
    assert Position(file, line) == caught.value.at


def test_a_mistake_stops_the_loading(file: Path) -> None:
    """What is refused is never half read."""
    file.write_text(LINES.replace("why: Who am I.", "because: Who am I."), encoding="utf-8")

    with pytest.raises(InputError, match=r"baseline\.yaml:12: .*unknown key 'because'"):
        load_baseline("v1.36.3")


GRANTED: Final[dict[str, Question]] = {
    "version": PathQuestion("get", "/version"),
    "healthz": PathQuestion("get", "/healthz"),
    "discovery": PathQuestion("get", "/apis/apps/v1"),
    "openapi": PathQuestion("get", "/openapi/v3"),
    "who-am-i": review(),
}
NOT_GRANTED: Final[dict[str, Question]] = {
    "metrics": PathQuestion("get", "/metrics"),
    "root": PathQuestion("get", "/"),
    "logs": PathQuestion("get", "/logs/"),
    "one-check-of-healthz": PathQuestion("get", "/healthz/etcd"),
    "pods": ResourceQuestion("list", ResourceName("", "pods"), None),
    "reviews-of-others": ResourceQuestion(
        "create", ResourceName("authorization.k8s.io", "subjectaccessreviews"), None
    ),
    "tokens-of-others": ResourceQuestion(
        "create", ResourceName("authentication.k8s.io", "tokenreviews"), None
    ),
}


@pytest.fixture(scope="module")
def own() -> Baseline:
    """The package's own baseline of the recorded version."""
    return load_baseline("v1.36.3")


@pytest.mark.parametrize("question", GRANTED.values(), ids=GRANTED)
def test_what_every_service_account_may(own: Baseline, question: Question) -> None:
    """Discovery, health, version, and asking about itself."""
    found = own.expectation(question)

    assert found is not None
    assert found.status in {200, 201}
    assert found.at.file.name == "baseline.yaml"


@pytest.mark.parametrize("question", NOT_GRANTED.values(), ids=NOT_GRANTED)
def test_what_no_service_account_may_by_itself(own: Baseline, question: Question) -> None:
    """The baseline says nothing of it, so that it is denied by default."""
    assert own.expectation(question) is None
