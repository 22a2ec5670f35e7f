"""Stories without a cluster: the order of steps, the page of claims, and what is measured."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.answer import AnswerClass
from rbac_matrix.errors import InputError, RbacMatrixError
from rbac_matrix.stories.claims import collected_claims
from rbac_matrix.stories.flags import Program
from rbac_matrix.stories.image import story_recipe
from rbac_matrix.stories.pod_exec import Ran, run_here
from rbac_matrix.stories.stage import Stage, curl_answer

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = "pytester"

STORY: Final = """\
import pytest
from rbac_matrix.errors import RbacMatrixError

pytestmark = pytest.mark.steps

@pytest.mark.claim("It begins.", today="true", how="it does")
def test_first():
    '''It begins.'''

def test_second():
    '''It goes wrong.'''
    raise RbacMatrixError("pod default/web cannot run")

def test_third():
    '''It would go on.'''

def test_fourth():
    '''And on.'''
"""


@pytest.fixture(name="story")
def _story(pytester: pytest.Pytester) -> pytest.Pytester:
    """A story of four steps whose second one fails."""
    pytester.makeconftest('pytest_plugins = ["rbac_matrix.plugin", "rbac_matrix.stories.plugin"]')
    (pytester.mkdir("tests") / "stories").mkdir()
    file = pytester.path / "tests" / "stories" / "test_web_shop.py"
    file.write_text(STORY, encoding="utf-8")
    return pytester


def test_steps_after_a_failed_one_are_skipped(story: pytest.Pytester) -> None:
    """One failure, told as a sentence with its step and line; the rest names it and is not told."""
    result = story.runpytest("-ra")

    result.assert_outcomes(passed=1, failed=1, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "pod default/web cannot run",
            "the step: It goes wrong.",
            "at: *test_web_shop.py:12",
            "SKIPPED*the step before failed: test_second",
        ]
    )
    result.stdout.no_fnmatch_line("*raise RbacMatrixError*")


def test_step_alone_is_an_error(story: pytest.Pytester) -> None:
    """A step whose beginning is not selected would fail for want of it, so it says that instead."""
    result = story.runpytest("-k", "third")

    result.assert_outcomes(errors=1, deselected=3)
    result.stdout.fnmatch_lines(["*comes after test_first*so run tests/stories/test_web_shop.py"])


def test_claims_are_collected_and_not_run(
    story: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has its document, its test and what of it holds; pytest says nothing meanwhile."""
    (claim,) = collected_claims(story.path / "tests" / "stories")

    assert (claim.scenario, claim.text, claim.today) == ("web-shop", "It begins.", "true")
    assert (claim.file, claim.function) == ("tests/stories/test_web_shop.py", "test_first")
    assert capsys.readouterr().out == ""


def test_malformed_claim_is_named_with_its_line(story: pytest.Pytester) -> None:
    """A claim that says neither true nor since when it changed is an error with file and line."""
    file = story.path / "tests" / "stories" / "test_web_shop.py"
    file.write_text(STORY.replace('today="true"', 'today="mostly"'), encoding="utf-8")

    with pytest.raises(InputError, match=r"test_web_shop.py:6: test_first: a claim is"):
        collected_claims(file.parent)


def test_stories_that_cannot_be_collected_are_an_error(story: pytest.Pytester) -> None:
    """Without their claims the pages would say less than the tests do; pytest's words are told."""
    file = story.path / "tests" / "stories" / "test_web_shop.py"
    file.write_text("import nothing_of_this_name", encoding="utf-8")

    with pytest.raises(RbacMatrixError, match="No module named 'nothing_of_this_name'"):
        collected_claims(file.parent)


@pytest.mark.parametrize(
    ("ran", "expected"),
    [
        pytest.param(Ran(("curl",), 0, '{"items": []}\n200', ""), AnswerClass.OK, id="ok"),
        pytest.param(Ran(("curl",), 7, "\n000", "refused"), AnswerClass.NO_ANSWER, id="no-answer"),
        pytest.param(Ran(("curl",), 1, "", "no pod"), AnswerClass.NO_ANSWER, id="no-pod"),
        pytest.param(
            Ran(("curl",), 0, '{"message": "Unauthorized"}\n401', ""),
            AnswerClass.UNAUTHENTICATED,
            id="401",
        ),
    ],
)
def test_what_curl_got_has_a_class(ran: Ran, expected: AnswerClass) -> None:
    """The status behind the body decides, and a curl that failed got no answer."""
    assert curl_answer(ran).answer_class is expected


def test_story_image_is_named_after_what_goes_in() -> None:
    """Another base or another node, whose kubectl it takes, is another image."""
    names = {story_recipe(*each).name for each in [("a", "n"), ("b", "n"), ("a", "m"), ("", "n")]}

    assert len(names) == 4


def test_story_image_starts_from_a_python() -> None:
    """Without a base of the caller's, the recipe's own default is asked for its Python version."""
    assert story_recipe("", "node").arguments["BASE"].startswith("python:3")


def test_flags_are_read_from_a_command() -> None:
    """A flag has its value, `true` where it has none; a command can be had without some."""
    program = Program(("/bin/server", "--key-file=/a=b", "--key-file-of-others=/c", "--quiet", "x"))

    assert program.flags == {"key-file": "/a=b", "key-file-of-others": "/c", "quiet": "true"}
    assert program.without(["key-file", "quiet"]) == ["/bin/server", "--key-file-of-others=/c", "x"]


def test_command_here_gets_only_its_own_environment() -> None:
    """A program that runs here instead of in a pod sees the variables that it is given."""
    program = "import os, sys; print(os.environ); sys.exit(3)"
    ran = run_here([sys.executable, "-I", "-c", program], {"KEY": "value"})

    assert ran.code == 3, f"{ran}"
    assert "'KEY': 'value'" in ran.out
    assert "PATH" not in ran.out


def test_pod_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    """A pod that failed because it was ended is no pod that cannot run."""
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    stays = {"metadata": {"name": "web-1"}, "status": ready}
    ends = {
        "metadata": {"name": "web-2", "deletionTimestamp": "2026-11-22T00:00:00Z"},
        "status": {"phase": "Failed"},
    }
    answers = iter([{"items": [stays, ends]}, {"items": [stays]}])
    admin: Any = SimpleNamespace(request=lambda *_, **__: next(answers))
    nothing: Any = SimpleNamespace(mark=int)
    stage = Stage(tmp_path, nothing, admin, nothing)

    assert stage.wait_until_ready("app=web") == ["web-1"]
