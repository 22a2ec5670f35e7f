"""The pytest side, driven with answers of our own instead of a cluster's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

from rbac_matrix import interrupts_plugin
from rbac_matrix.schema import validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest_plugins = "pytester"

WIRING: Final = 'pytest_plugins = ["rbac_matrix.plugin"]\n'

# The gate with a cluster's answers replaced: as expected, but for those that a test sets.
ANSWERING: Final = f"""\
import pytest
from rbac_matrix import plugin
from rbac_matrix.answer import Answer, AnswerClass
from rbac_matrix.cell import Cell, PathQuestion
from rbac_matrix.clusters.cluster import ClusterError
from rbac_matrix.requests import Request
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.verdict import Evidence, judge, not_asked

{WIRING}
ANSWERS = {{}}
NOT_ASKED = LOST = WIDENED = EMPTY = ()
BROKEN = ""

def refusal(cell):
    user, namespace, verb = cell.subject.username, cell.question.namespace, cell.question.verb
    where = f'in the namespace "{{namespace}}"' if namespace else "at the cluster scope"
    return Answer(403, f'pods "sample" is forbidden: User "{{user}}" cannot {{verb}} resource '
                  f'"pods" in API group "" {{where}}')

class Gate:
    def __init__(self):
        self.verdicts, self.rests = {{}}, {{}}

    def ask(self, scenario):
        if BROKEN:
            raise ClusterError(BROKEN)
        for cell, expectation in scenario.expectations.items():
            if cell.id in LOST:
                continue
            if cell.id in NOT_ASKED:
                self.verdicts[cell] = not_asked(cell, expectation, "it needs a kubelet")
                continue
            expected = Answer(expectation.status) if expectation.status else refusal(cell)
            answer = ANSWERS.get(cell.id, expected)
            request = Request("GET", f"/{{cell.question.verb}}")
            said = Opinion(answer.answer_class is not AnswerClass.DENIED_BY_RBAC, "")
            evidence = Evidence(said, said, request, answer, Answer(200))
            self.verdicts[cell] = judge(cell, expectation, evidence)
        for rest in scenario.rests:
            paths = () if rest.id in EMPTY else ("/metrics", "/logs/", "/configz")
            self.rests[rest] = [self.path(scenario, rest, path) for path in paths]

    def path(self, scenario, rest, path):
        cell = Cell(rest.scenario, rest.subject, PathQuestion("get", path))
        widened = rest.id in WIDENED and path != "/configz"
        said = Opinion(widened, "ClusterRoleBinding b of ClusterRole r" if widened else "")
        return judge(cell, scenario.defaults[rest.subject], Evidence(said, said))

@pytest.fixture(scope="session")
def gate(request):
    request.config.stash[plugin._REPORTED] = ("embedded", "v1.36.3")
    request.config.stash[plugin._GATE] = gate = Gate()
    return gate
"""

REST: Final = """\
def test_rest(rest_verdicts):
    assert rest_verdicts
    assert [verdict.sentence for verdict in rest_verdicts if not verdict.as_expected] == []
"""
TEST: Final = "def test_access(verdict):\n    assert verdict.as_expected\n"

VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


@pytest.fixture
def project(small_project: pytest.Pytester) -> pytest.Pytester:
    """A project with the scenarios `shop` and `yard`, eight cells each, and no cluster."""
    small_project.makepyfile(test_access=TEST)
    return small_project


def run(project: pytest.Pytester, *arguments: str, **settings: object) -> pytest.RunResult:
    """Run the project's tests, with settings of the answering gate where there are some."""
    if settings:
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        project.makeconftest(ANSWERING + lines)
    return project.runpytest("--expectations", "expected", *arguments)


def test_collecting_needs_no_cluster(project: pytest.Pytester) -> None:
    """Each cell is an item whose id is the cell's; the guard of this folder would see a cluster."""
    result = run(project, "--collect-only", "-q")

    wanted = [
        f"test_access.py::test_access[{scenario}:default:default:{verb}:pods]"
        for scenario in ("shop", "yard")
        for verb in VERBS
    ]
    assert [line for line in result.outlines if "::" in line] == wanted


SELECTIONS: Final = {
    "scenario": ("shop", 8),
    "verb": (":delete:", 2),
    "verb-that-begins-like-another": (":deletecollection:", 2),
    "cell": ("yard:default:default:list:pods", 1),
    "several": ("shop and not watch", 7),
}


@pytest.mark.parametrize(("keyword", "count"), SELECTIONS.values(), ids=SELECTIONS)
def test_cells_are_selected_by_keyword(project: pytest.Pytester, keyword: str, count: int) -> None:
    """`-k` takes any part of an id."""
    result = run(project, "-k", keyword, ANSWERS={})

    result.assert_outcomes(passed=count, deselected=16 - count)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("title:", "titel:", "shop.yaml:2: titel: unknown key 'titel'", id="key"),
        pytest.param("[pods]\n", "[pod]\n", "shop.yaml:6: no resource 'pod'", id="resource"),
        pytest.param(": manifests", ": m", "shop.yaml:3: the manifests folder", id="folder"),
    ],
)
def test_a_bad_file_is_one_error_before_anything_is_asked(
    project: pytest.Pytester, old: str, new: str, says: str
) -> None:
    """Collecting ends with the place and the sentence; there is no traceback and no test runs."""
    file = project.path / "expected" / "shop.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")

    result = run(project)

    result.assert_outcomes(errors=1)
    output = result.stdout.str()
    assert f"expected/{says}" in output
    assert "Traceback" not in output
    assert "plugin.py" not in output


@pytest.mark.parametrize(
    ("path", "says"),
    [
        pytest.param("nowhere", "nowhere does not exist (--expectations)", id="missing-path"),
        pytest.param("empty", "no expectations file: nothing would be asked", id="empty-folder"),
    ],
)
def test_nothing_to_ask_is_an_error(project: pytest.Pytester, path: str, says: str) -> None:
    """A gate without a question would always be green."""
    project.mkdir("empty")

    result = project.runpytest("--expectations", path)

    result.assert_outcomes(errors=1)
    assert says in result.stdout.str()


def test_two_scenarios_of_one_name_are_an_error(
    project: pytest.Pytester, write_scenario: Callable[..., Path]
) -> None:
    """Ids begin with the scenario's name, so it is one scenario's only."""
    write_scenario(project.path / "other", "shop")

    result = run(project, "--expectations", "other")

    result.assert_outcomes(errors=1)
    assert "two scenarios are named 'shop'" in result.stdout.str()


DELETE: Final = "shop:default:default:delete:pods"


def test_one_wrong_cell_is_one_failure(project: pytest.Pytester) -> None:
    """Its sentence is in the short summary, what explains it above, and no code is shown."""
    result = run(project, ANSWERS=f"{{'{DELETE}': Answer(200)}}")

    result.assert_outcomes(passed=15, failed=1)
    output = result.stdout.str()
    sentence = "default may not delete pods in default, but could (200)"
    assert f"FAILED test_access.py::test_access[{DELETE}] - {sentence}" in output
    for line in (
        "asked:     GET /delete",
        "as:        system:serviceaccount:default:default",
        "expected:  403 (no line allows it to default (default deny))",
        "declared:  expected/shop.yaml:8",
        "answered:  200 ok",
        "ask again: kubectl auth can-i delete pods --as=system:serviceaccount:default:default",
    ):
        assert line in output
    assert "assert verdict.as_expected" not in output


def test_every_wrong_cell_is_said_at_the_end(project: pytest.Pytester) -> None:
    """With the place that declares it, whatever the width of the terminal, and the counts."""
    result = run(project, ANSWERS=f"{{'{DELETE}': Answer(200)}}")

    result.stdout.fnmatch_lines(
        [
            "*= access that is not as declared =*",
            "default may not delete pods in default, but could (200)",
            "  declared: expected/shop.yaml:8: no line allows it to default (default deny)",
            "shop  A scenario",
            "as declared: yard",
            "embedded v1.36.3, 16 cells: 2 allowed, 13 refused, 1 unexpectedly allowed",
        ]
    )


def test_a_green_run_shows_what_is_allowed(project: pytest.Pytester) -> None:
    """A grid for each scenario, and nothing about failures."""
    result = run(project, ANSWERS={})

    result.stdout.fnmatch_lines(
        ["shop  A scenario", "    pods *", "yard  A scenario", "    pods *"]
    )
    assert "not as declared" not in result.stdout.str()


def test_a_quiet_run_shows_failures_and_counts_alone(project: pytest.Pytester) -> None:
    """As pytest's own `-q`, which leaves out what is fine."""
    result = run(project, "-q", ANSWERS=f"{{'{DELETE}': Answer(200)}}")

    assert "access that is not as declared" in result.stdout.str()
    assert "16 cells: 2 allowed" in result.stdout.str()
    assert "A scenario" not in result.stdout.str()


def test_symbols_are_chosen_by_an_option_too(project: pytest.Pytester) -> None:
    """Where the locale is not what the terminal can show."""
    plain = run(project, "--symbols", "ascii", ANSWERS={}).stdout.str()
    symbols = run(project, "--symbols", "unicode", ANSWERS={}).stdout.str()

    assert "+ allowed  . refused" in plain
    assert "✓ allowed  · refused" in symbols


def test_annotations_are_printed_where_they_are_wanted(project: pytest.Pytester) -> None:
    """By the option, or by what GitHub sets; a line each, relative to the repository."""
    wrong = {"ANSWERS": f"{{'{DELETE}': Answer(200)}}"}

    without = run(project, **wrong)
    wanted = run(project, "--annotations", "github", **wrong)

    assert "::error" not in without.stdout.str()
    wanted.stdout.fnmatch_lines(
        [
            (
                "::error file=expected/shop.yaml,line=8,title=access that is not as declared::"
                "default may not delete pods in default, but could (200)"
            )
        ]
    )


def test_a_workflow_of_github_gets_annotations_and_a_summary(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its variables are the options' defaults; what the step has said already stays."""
    step = project.path / "step.md"
    step.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))

    result = run(project, ANSWERS=f"{{'{DELETE}': Answer(200)}}")

    file = f"{project.path.name}/expected/shop.yaml"
    result.stdout.fnmatch_lines([f"::error file={file},line=8,*"])
    text = step.read_text(encoding="utf-8")
    assert text.startswith("before\n## ❌ 1 of 16 cells are not as declared (embedded v1.36.3)\n")
    assert "| default/default | in default | pods |" in text


def test_a_summary_that_cannot_be_written_changes_no_result(project: pytest.Pytester) -> None:
    """It says so; the verdicts stand."""
    result = run(project, "--step-summary", "no/such/folder", ANSWERS={})

    result.assert_outcomes(passed=16)
    result.stdout.fnmatch_lines(["the summary cannot be appended to no/such/folder*"])


def test_the_report_folder_has_the_summary(project: pytest.Pytester) -> None:
    """Whether or not a workflow wants it."""
    run(project, "--report-dir", "report", ANSWERS={})

    text = (project.path / "report/summary.md").read_text(encoding="utf-8")
    assert text.startswith("## ✅ 16 cells as declared (embedded v1.36.3)\n")


def test_a_run_that_breaks_has_no_green_summary(project: pytest.Pytester) -> None:
    """What was asked before may be as declared; the run proves nothing."""
    run(project, "--report-dir", "report", BROKEN="'etcd has ended with code 1'")

    text = (project.path / "report/summary.md").read_text(encoding="utf-8")
    assert text.startswith("## ⚠️ 0 cells as declared (embedded v1.36.3)\n")


def _one_of_the_passed(suite: str) -> str:
    """The XML with the first of the test cases that have neither failed nor been skipped."""
    cases = re.findall(r" *<testcase .*?</testcase>\n", suite, re.DOTALL)
    passed = [case for case in cases if not re.search("<(failure|skipped)", case)]
    for case in passed[1:]:
        suite = suite.replace(case, "")
    return suite


def test_junit_files_have_the_properties_of_cells(
    project: pytest.Pytester, golden: Callable[[str, str], None]
) -> None:
    """Of each cell what was asked and what came, of a rest the counts and what is wrong."""
    project.makepyfile(test_closed_world=REST)

    run(
        project,
        "--junit-xml",
        "junit.xml",
        "-o",
        "junit_family=xunit1",
        ANSWERS=f"{{'{DELETE}': Answer(200)}}",
        WIDENED=[WIDENED],
        NOT_ASKED=["shop:default:default:patch:pods"],
    )

    document = ET.parse(project.path / "junit.xml")  # noqa: S314 - our own file
    ET.indent(document)
    text = ET.tostring(document.getroot(), encoding="unicode")
    text = text.replace(f"{project.path}/", "")
    shown = re.sub(r'(time(?:stamp)?|hostname)="[^"]*"', r'\1=""', text)
    golden("junit.xml", f"{_one_of_the_passed(shown)}\n")
    suite = document.getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("24", "2", "1")
    found = {}
    for case in suite:
        assert [part.tag for part in case][:1] == ["properties"]
        properties = [(each.get("name"), each.get("value")) for each in case[0]]
        found[str(case.get("name")).partition("[")[2].rstrip("]")] = properties
    assert found[DELETE] == [
        ("scenario", "shop"),
        ("subject", "default/default"),
        ("verb", "delete"),
        ("resource", "pods"),
        ("namespace", "default"),
        ("expected", "403"),
        ("outcome", "unexpectedly allowed"),
        ("answer", "200 ok"),
        ("declared", "expected/shop.yaml:8"),
        ("request", "GET /delete"),
    ]
    assert ("outcome", "not asked") in found["shop:default:default:patch:pods"]
    granted = "granted: ClusterRoleBinding b of ClusterRole r"
    assert found[WIDENED] == [
        ("cells", "3"),
        ("refused", "1"),
        ("not as declared", "2"),
        ("wrong", f"default may not get /metrics, but it is granted; {granted}"),
        ("wrong", f"default may not get /logs/, but it is granted; {granted}"),
    ]


def test_a_cell_without_an_answer_is_an_error(project: pytest.Pytester) -> None:
    """It neither passes nor fails, and says what happened."""
    ended = "Answer(None, 'the probe ended with code -9')"

    result = run(project, ANSWERS=f"{{'{DELETE}': {ended}}}")

    result.assert_outcomes(passed=15, errors=1)
    output = result.stdout.str()
    assert (
        f"ERROR test_access.py::test_access[{DELETE}] - default delete pods in default: not "
        in (output)
    )
    assert "the probe ended with code -9" in output
    assert "NotAnsweredError" not in output


def test_a_cell_that_cannot_be_asked_here_is_skipped(project: pytest.Pytester) -> None:
    """With its reason, which pytest's summary shows."""
    result = run(project, "-rs", NOT_ASKED=[DELETE])

    result.assert_outcomes(passed=15, skipped=1)
    assert "it needs a kubelet" in result.stdout.str()


def test_a_cell_that_was_forgotten_is_an_error(project: pytest.Pytester) -> None:
    """A test whose question was never put cannot pass."""
    run(project, LOST=[DELETE]).assert_outcomes(passed=15, errors=1)


def test_a_broken_cluster_ends_the_run_with_one_sentence(project: pytest.Pytester) -> None:
    """Not one error a cell: without a cluster there is nothing to test."""
    result = run(project, BROKEN="'etcd has ended with code 1'")

    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert result.stdout.str().count("etcd has ended with code 1") == 1
    assert "Traceback" not in result.stdout.str()


def test_a_test_that_fails_for_its_own_reason_shows_it(project: pytest.Pytester) -> None:
    """Only the verdict's own failure is told as a sentence about access."""
    project.makepyfile(test_access="def test_access(verdict):\n    assert 1 == 2, 'its own'\n")

    result = run(project, "-k", DELETE, ANSWERS={})

    result.assert_outcomes(failed=1, deselected=15)
    assert "its own" in result.stdout.str()


def test_the_report_has_every_cell(project: pytest.Pytester) -> None:
    """`verdicts.json` is valid, whatever the outcomes; `report.html` says the same."""
    answers = {
        DELETE: "Answer(200)",
        "shop:default:default:list:pods": "Answer(None, 'TimeoutError')",
        "shop:default:default:watch:pods": "Answer(403, 'quota')",
        "yard:default:default:get:pods": "Answer(404, 'not found')",
    }
    listed = ", ".join(f"'{cell}': {answer}" for cell, answer in answers.items())

    run(
        project,
        "--report-dir",
        "report/deep",
        ANSWERS=f"{{{listed}}}",
        NOT_ASKED=["shop:default:default:patch:pods"],
    )

    file = project.path / "report/deep/verdicts.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    validator("verdicts").validate(document)
    assert (document["provider"], document["kubernetes_version"]) == ("embedded", "v1.36.3")
    outcomes = {cell["id"]: cell["outcome"] for cell in document["cells"]}
    assert len(outcomes) == 16
    assert {outcome for outcome in outcomes.values() if outcome != "as expected"} == {
        "unexpectedly allowed", "not answered", "other status", "not asked",
    }  # fmt: skip
    (deleted,) = [cell for cell in document["cells"] if cell["id"] == DELETE]
    assert deleted["expected"] == 403
    assert deleted["status"] == 200
    assert deleted["sentence"] == "default may not delete pods in default, but could (200)"
    page = file.with_name("report.html").read_text(encoding="utf-8")
    assert "<h1>4 answers are not as declared</h1>" in page


WIDENED: Final = "yard:default:-:everything-else"


def test_the_rest_is_an_item_a_subject_and_scope(project: pytest.Pytester) -> None:
    """Collecting them needs no cluster, and their ids say whose and where."""
    project.makepyfile(test_closed_world=REST)

    result = run(project, "--collect-only", "-q", "-k", "everything")

    assert [line for line in result.outlines if "::" in line] == [
        f"test_closed_world.py::test_rest[{scenario}:default:{scope}:everything-else]"
        for scenario in ("shop", "yard")
        for scope in ("default", "bystander", "kube-system", "-")
    ]


def test_a_wrong_rest_is_one_failure_with_a_line_a_cell(project: pytest.Pytester) -> None:
    """Each wrong cell with its grant, at the place of the subject, and no code."""
    project.makepyfile(test_closed_world=REST)

    result = run(project, WIDENED=[WIDENED])

    result.assert_outcomes(passed=16 + 7, failed=1)
    output = result.stdout.str()
    sentence = "default may not get /metrics, but it is granted, and 1 more of default there"
    assert f"FAILED test_closed_world.py::test_rest[{WIDENED}] - {sentence}" in output
    for line in (
        "default may not get /metrics, but it is granted: ClusterRoleBinding b of ClusterRole r",
        "default may not get /logs/, but it is granted: ClusterRoleBinding b of ClusterRole r",
        "expected:  403 (no line allows it to default (default deny))",
        "declared:  expected/yard.yaml:8",
        "ask again: kubectl auth can-i get /metrics --as=system:serviceaccount:default:default",
    ):
        assert line in output
    assert "/configz, but" not in output
    assert "assert rest_verdicts" not in output


def test_a_rest_that_was_not_asked_fails(project: pytest.Pytester) -> None:
    """Nothing found wrong where nothing was asked is no pass."""
    project.makepyfile(test_closed_world=REST)

    run(project, EMPTY=[WIDENED]).assert_outcomes(passed=16 + 7, failed=1)


def test_without_a_report_folder_nothing_is_written(project: pytest.Pytester) -> None:
    """A run leaves no file that nobody asked for."""
    run(project, ANSWERS={})

    for name in ("verdicts.json", "summary.md"):
        assert not list(project.path.rglob(name))


def test_a_termination_cleans_up_like_ctrl_c(project: pytest.Pytester) -> None:
    """A cancelled CI job ends its fixtures, so that no process or container is left behind."""
    project.makepyfile(
        test_access=(
            "import os, signal, pytest\n"
            "@pytest.fixture\n"
            "def held():\n"
            "    yield\n"
            "    open('released', 'w').close()\n"
            "def test_it(held):\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n"
        )
    )

    result = project.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert (project.path / "released").exists()


def test_an_interrupt_between_two_lines_can_be_shown() -> None:
    """Ctrl-C may come at an instruction without a line; the run still ends as interrupted."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    interrupted.__code__ = interrupted.__code__.replace(co_linetable=b"")
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert None in [entry._rawentry.tb_lineno for entry in caught.traceback]

    interrupts_plugin.pytest_keyboard_interrupt(caught)

    assert "KeyboardInterrupt" in str(caught.getrepr(funcargs=True))
