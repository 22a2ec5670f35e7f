"""What people and CI systems read of a run, compared with golden files of one small scenario."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from markdown_it import MarkdownIt

from rbac_matrix.answer import Answer
from rbac_matrix.cell import (
    VERBS,
    Cell,
    PathQuestion,
    ResourceName,
    ResourceQuestion,
    Subject,
)
from rbac_matrix.discovery import recorded_discovery
from rbac_matrix.errors import Position
from rbac_matrix.judges.opinion import Opinion
from rbac_matrix.judges.written_policy import PolicyJudge
from rbac_matrix.progress import Stage
from rbac_matrix.report.annotations import SHOWN as SHOWN_ANNOTATIONS
from rbac_matrix.report.annotations import error_commands
from rbac_matrix.report.causes import is_wrong
from rbac_matrix.report.failure import SentenceRepr
from rbac_matrix.report.grid import SHOWN_ROWS, Mark, make_grid
from rbac_matrix.report.harmless import harmless, speaks_unicode
from rbac_matrix.report.junit import cell_properties, rest_properties
from rbac_matrix.report.markdown import LIMIT, append_summary, summary_of
from rbac_matrix.report.packed import entries
from rbac_matrix.report.problems import problems
from rbac_matrix.report.repository import Repository
from rbac_matrix.report.run_report import RunReport, peak_memory
from rbac_matrix.report.screen import (
    SHOWN_CAUSES,
    Screen,
    can_show_symbols,
    failure_lines,
    grid_lines,
    sentence_lines,
)
from rbac_matrix.report.terminal import counts, time_line
from rbac_matrix.report.verdicts_file import verdicts_document
from rbac_matrix.requests import Request
from rbac_matrix.scenario import Expectation, Scenario
from rbac_matrix.scenario_file import load_scenario
from rbac_matrix.verdict import Evidence, Outcome, Verdict, judge, not_asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.cell import Question

    Golden = Callable[[str, str], None]

EXPECTATIONS: Final = """\
scenario: shop
title: A clerk and a guard
manifests: manifests
ask:
  namespaces: [default, bystander]
  cluster: true
  resources: [pods, pods/log, secrets, nodes]
subjects:
  - serviceAccount: clerk
    namespace: default
    allow:
      - verbs: {get: 200, list: 200, watch: 200}
        resources: [pods]
        namespaces: [default, bystander]
        why: Role clerk grants get, list and watch on pods.
      - verbs: {get: 200}
        resources: [pods/log]
        namespaces: [default]
        needs: kubelet
        why: Role clerk grants get on pods/log.
    deny:
      - verbs: [get]
        resources: [secrets]
        namespaces: [default]
        why: A clerk reads no secrets.
  - serviceAccount: guard
    namespace: default
    allow: []
"""
MANIFESTS: Final = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: clerk, namespace: default}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: guard, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: clerk}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get, list]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
  - {apiGroups: [""], resources: [secrets], verbs: [list]}
  - {apiGroups: [apps], resources: ["*"], verbs: [get, list, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: clerk}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clerk}
subjects: [{kind: ServiceAccount, name: clerk, namespace: default}]
"""
BASELINE: Final = Expectation(200, "For everybody.", Position(Path("baseline.yaml"), 5))
BESIDES: Final = ("deployments.apps", "deployments.apps/scale", "daemonsets.apps", "configmaps")
"""Resources of the closed world."""
TIMES: Final = {Stage.CLUSTER: 4.04, Stage.PREPARE: 0.9, Stage.ASK: 2.0, Stage.JUDGE: 0.25}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunReport:
    """The run of a scenario whose Role lacks a verb, and grants what nobody declared."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/objects.yaml").write_text(MANIFESTS, encoding="utf-8")
    (tmp_path / "shop.yaml").write_text(EXPECTATIONS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # Places are shown as they are found from here.
    scenario = load_scenario(tmp_path / "shop.yaml", recorded_discovery(), {})
    return report_of(scenario, [*declared(scenario), *besides(scenario)])


@pytest.fixture
def green(shop: RunReport) -> RunReport:
    """The same run with what is wrong left out."""
    fine = [each for each in shop.verdicts if each.as_expected]
    return replace(shop, verdicts=fine, counted=counts(fine))


def report_of(scenario: Scenario, verdicts: list[Verdict]) -> RunReport:
    """A run with one scenario."""
    found = ("embedded v1.36.3", counts(verdicts), [scenario], verdicts)
    return RunReport(*found, TIMES, 1280, 150 * 2**20)


def declared(scenario: Scenario) -> list[Verdict]:
    """The declared cells, by the manifests; no log can be read."""
    return [
        not_asked(cell, expectation, "it needs a kubelet")
        if expectation.needs
        else judged(scenario, cell, expectation)
        for cell, expectation in scenario.expectations.items()
    ]


def besides(scenario: Scenario) -> list[Verdict]:
    """Some of the closed world, and a path that everybody may read."""
    found = []
    for subject in scenario.subjects:
        for scope in ("default", "bystander"):
            for text in BESIDES:
                resource = ResourceName.parse(text)
                verbs = [verb for verb in VERBS if not resource.subresource or verb != "list"]
                for verb in verbs:
                    cell = Cell("shop", subject, ResourceQuestion(verb, resource, scope))
                    found.append(judged(scenario, cell, scenario.defaults[subject]))
        healthy = Cell("shop", subject, PathQuestion("get", "/healthz"))
        yes = Opinion(allowed=True, reason="ClusterRoleBinding system:public-info-viewer")
        found.append(judge(healthy, BASELINE, Evidence(yes, yes)))
    return found


def not_asked_of(report: RunReport) -> list[Verdict]:
    """The declared cells of a run's scenario that need a kubelet."""
    (scenario,) = report.scenarios
    return [each for each in declared(scenario) if each.outcome is Outcome.NOT_ASKED]


def judged(scenario: Scenario, cell: Cell, expectation: Expectation) -> Verdict:
    """The verdict of a cell that the cluster answers as the manifests say."""
    policy = PolicyJudge(scenario.objects, [])
    (opinion,) = policy.opinions(cell.subject, [cell.question])
    if not opinion.allowed:
        opinion = policy.denial(cell.subject, cell.question)
    evidence = Evidence(opinion, opinion)
    if opinion.allowed:
        asked = Request("GET", f"/{cell.question.verb}"), Answer(200), Answer(200)
        evidence = Evidence(opinion, opinion, *asked)
    return judge(cell, expectation, evidence)


def end_of_run(report: RunReport, screen: Screen) -> str:
    """All that the terminal shows of a run."""
    lines = [*failure_lines(report.causes, screen), "", *grid_lines(report.grids, screen), ""]
    lines += sentence_lines([report.counted, time_line(report)], screen)
    return "\n".join([*lines, ""])


SCREENS: Final = {
    "wide": Screen(160),
    "narrow": Screen(60),
    "log": Screen(100, wraps=False),
    "ascii": Screen(100, unicode=False),
    "colour": Screen(100, colour=True),
}


@pytest.mark.parametrize("name", SCREENS)
def test_the_terminal_shows_failures_then_the_grid(
    name: str, shop: RunReport, golden: Golden
) -> None:
    """Wide, narrow, as a log without folded sentences, without Unicode, and with colours."""
    golden(f"terminal-{name}.txt", end_of_run(shop, SCREENS[name]))


def test_a_green_run_shows_the_grid_alone(green: RunReport, golden: Golden) -> None:
    """What is allowed, and what a line declares refused; the rest is counted."""
    golden("terminal-green.txt", end_of_run(green, Screen(100)))


@pytest.mark.parametrize("width", [60, 61, 80, 99])
def test_no_line_is_wider_than_the_terminal(width: int, shop: RunReport) -> None:
    """Whatever its width: a line that wraps by itself breaks the columns."""
    lines = end_of_run(shop, Screen(width)).splitlines()

    assert [line for line in lines if len(line) > width] == []


def test_ascii_is_all_that_some_terminals_have(shop: RunReport) -> None:
    """No symbol is lost or written as a question mark."""
    text = end_of_run(shop, SCREENS["ascii"])

    assert text.isascii()
    assert {"+", ".", "X", "?"} <= set(text)


def test_scenarios_as_declared_are_one_line_where_others_fail(shop: RunReport) -> None:
    """The one that failed is not to be looked for."""
    (grid,) = shop.grids
    fine = replace(grid, scenario="yard", wrong=0)

    lines = grid_lines([fine, grid], Screen(100))

    assert [line for line in lines if "yard" in line] == ["as declared: yard"]


def test_all_wrong_cells_of_one_rule_are_one_cause(shop: RunReport) -> None:
    """Its sentences are cut, and the rule is said once: a wildcard opens hundreds of cells."""
    text = "\n".join(failure_lines(shop.causes, Screen(200)))

    assert text.count("manifests/objects.yaml:16") == 1
    assert "and 19 more of clerk by the same rule" in text


def test_causes_are_cut_with_a_count(shop: RunReport) -> None:
    """More would push the first ones off the screen."""
    lines = failure_lines(shop.causes * SHOWN_CAUSES, Screen(200))

    assert lines[-1].startswith("and ")
    assert lines[-1].endswith("more cells: see the failures above")


def test_cells_that_were_not_answered_are_one_cause(shop: RunReport) -> None:
    """A probe that died is no fault of a rule, and is told once."""
    dead = Opinion(None, "the probe ended with code -9")
    verdicts = [
        judge(each.cell, each.expectation, Evidence(Opinion(allowed=False, reason=why), dead))
        for each in shop.verdicts
        for why in [f"a rule of {each.cell.question}"]
        if each.cell.subject.name == "guard" and each.expectation.status is None
    ]

    (cause,) = replace(shop, verdicts=verdicts).causes

    assert len(cause.verdicts) == len(verdicts) > 10
    assert cause.rule.text == ""


def test_the_page_tells_the_same_causes(shop: RunReport) -> None:
    """In the same order and with the same cells, by the number that each wrong cell has."""
    ended = datetime(2026, 11, 22, tzinfo=UTC)
    cells = verdicts_document("embedded", "v1.36.3", shop.verdicts, ended)["cells"]

    told = [{entry.texts["id"] for _, entry in one.cells} for one in problems(entries(cells))]

    assert told == [{verdict.cell.id for verdict in cause.verdicts} for cause in shop.causes]
    assert len(told) > 2


def test_a_wildcard_does_not_fill_the_grid(shop: RunReport) -> None:
    """Rows that nobody declared are cut with a count; declared ones never are."""
    (scenario,) = shop.scenarios
    clerk = scenario.subjects[0]
    yes = Opinion(allowed=True, reason="ClusterRoleBinding b of ClusterRole r")
    verdicts = [
        judge(Cell("shop", clerk, PathQuestion("get", f"/{number}")), each, Evidence(yes, yes))
        for number in range(SHOWN_ROWS + 7)
        for each in [scenario.defaults[clerk]]
    ]

    grid = make_grid(scenario, [*shop.verdicts, *verdicts])
    alone = make_grid(scenario, shop.verdicts)

    assert grid.left_out > 0
    assert grid.left_out + len(grid.rows) >= len(alone.rows) + 7
    assert "pods" in {row.what for row in grid.rows}
    assert f"and {grid.left_out} more resources" in "\n".join(grid_lines([grid], Screen(100)))


def test_every_cell_is_in_the_grid_or_counted(shop: RunReport) -> None:
    """Nothing falls between the rows and the counts."""
    (grid,) = shop.grids
    asked = len(shop.verdicts)

    shown = sum(
        len(row.marks)
        * sum(row.where.count(scope) for scope in ("default", "bystander", "cluster"))
        for row in grid.rows
    )

    assert shown + grid.refused + grid.baseline == asked
    assert grid.baseline == 2
    assert [str(subject) for subject in grid.empty] == ["default/guard"]


def test_what_is_no_verb_of_requests_is_a_column_where_it_is_wrong(shop: RunReport) -> None:
    """`impersonate` and the like are asked everywhere and shown only where there is something."""
    (scenario,) = shop.scenarios
    clerk = scenario.subjects[0]
    accounts = ResourceName("", "serviceaccounts")
    said = {"impersonate": True, "use": False}
    verdicts = [
        judge(
            Cell("shop", clerk, ResourceQuestion(verb, accounts, "default")),
            scenario.defaults[clerk],
            Evidence(Opinion(allowed, "")),
        )
        for verb, allowed in said.items()
    ]

    grid = make_grid(scenario, verdicts)

    assert grid.verbs == ("impersonate",)
    assert grid.rows[0].marks == {"impersonate": Mark.WRONG}
    assert grid.refused == 1


def test_the_verdicts_are_json(shop: RunReport, golden: Golden) -> None:
    """What is wrong, and one cell of each other outcome, field for field."""
    ended = datetime(2026, 11, 22, 1, 50, tzinfo=UTC)
    others = {each.outcome: each for each in shop.verdicts if not is_wrong(each)}
    shown = [*filter(is_wrong, shop.verdicts), *others.values()]

    document = verdicts_document("embedded", "v1.36.3", shown[:3] + shown[-2:], ended)

    golden(
        "verdicts.json", json.dumps({**document, "cells": [*document["cells"]]}, indent=2) + "\n"
    )


def test_the_summary_is_markdown(shop: RunReport, golden: Golden) -> None:
    """Failures first with their rule and manifest line, then the counts and a table."""
    golden("summary.md", summary_of(shop))


def test_the_summary_of_a_green_run_says_so(green: RunReport) -> None:
    """With what could not be asked, which is no pass."""
    (unread,) = not_asked_of(green)

    text = summary_of(replace(green, verdicts=[*green.verdicts, unread]))

    assert text.startswith("## ✅ 236 cells as declared, 1 not asked (embedded v1.36.3)\n")


def test_the_summary_of_a_broken_run_is_not_green(green: RunReport) -> None:
    """A cluster that died halfway has let no cell go wrong, and proved nothing."""
    text = summary_of(replace(green, exit_code=3))

    assert text.startswith("## ⚠️ 236 cells as declared (embedded v1.36.3)\n")
    assert "The run failed nevertheless: pytest's exit code is 3." in text


@pytest.mark.parametrize("limit", [1_000, 2_000, 3_000, 4_000, LIMIT])
def test_the_summary_keeps_to_its_limit(limit: int, shop: RunReport) -> None:
    """What does not fit is left out and counted; what was found out is always said."""
    text = summary_of(shop, limit)

    assert len(text.encode()) <= limit
    assert text.startswith("## ❌ 31 of 268 cells are not as declared")
    assert ("Left out" in text) == (limit < LIMIT)


def test_a_summary_of_ten_thousand_wrong_cells_fits(shop: RunReport) -> None:
    """Each for another reason and with a long sentence: GitHub refuses a larger one altogether."""
    wrong = filter(is_wrong, shop.verdicts)
    many = [
        replace(each, expectation=Expectation(None, "why " * 300, Position(Path("a.yaml"), number)))
        for number, each in enumerate(list(wrong) * 300)
    ]

    text = summary_of(replace(shop, verdicts=many))

    assert len(text.encode()) <= LIMIT
    left_out = re.search(r"Left out, because GitHub shows no more: .*declared \(([\d,]+)\)", text)
    assert left_out
    assert text.count("\n- **") + int(left_out[1].replace(",", "")) == len(many)


def test_a_summary_leaves_room_for_what_is_there(shop: RunReport, tmp_path: Path) -> None:
    """One step may run pytest several times; the limit is for all of them."""
    file = tmp_path / "step.md"
    file.write_text("x" * (LIMIT - 2_000), encoding="utf-8")

    append_summary(file, [partial(summary_of, shop)])
    first = file.stat().st_size
    append_summary(file, [partial(summary_of, shop)])

    assert LIMIT - 2_000 < first <= LIMIT
    assert file.stat().st_size <= LIMIT


def test_annotations_are_at_the_rule_and_at_the_expectation(
    shop: RunReport, tmp_path: Path, golden: Golden
) -> None:
    """A line each: the manifest's first, because a pull request may have changed it."""
    commands = error_commands(shop.causes, [], Repository(tmp_path))

    golden("annotations.txt", "\n".join([*commands, ""]))


def test_annotations_are_no_more_than_github_shows(shop: RunReport, tmp_path: Path) -> None:
    """The last one says how many cells have none."""
    (first, *_) = shop.causes
    many = [
        replace(
            first,
            verdicts=tuple(
                replace(
                    verdict,
                    expectation=replace(
                        verdict.expectation, at=Position(tmp_path / "a.yaml", line)
                    ),
                    evidence=Evidence(Opinion(allowed=False, reason="")),
                )
                for verdict in first.verdicts
            ),
        )
        for line in range(1, 31)
    ]

    commands = error_commands(many, [], Repository(tmp_path))

    assert len(commands) == SHOWN_ANNOTATIONS
    cells = len(first.verdicts) * (30 - SHOWN_ANNOTATIONS + 1)
    assert commands[-1].endswith(f"::and {cells} more cells: see the summary of the run")


def test_a_file_outside_of_the_repository_is_named_in_the_message(
    shop: RunReport, tmp_path: Path
) -> None:
    """GitHub would look for it within."""
    commands = error_commands(shop.causes, [], Repository(tmp_path / "elsewhere"))

    assert all(command.startswith("::error title=") for command in commands)
    assert any("%0Aat: shop.yaml:9" in command for command in commands)


def test_properties_say_what_was_asked_and_what_came(shop: RunReport) -> None:
    """What does not apply is left out."""
    listed = ResourceQuestion("list", ResourceName("", "secrets"), "default")
    (verdict,) = (each for each in shop.verdicts if each.cell.question == listed and is_wrong(each))

    assert cell_properties(verdict) == [
        ("scenario", "shop"),
        ("subject", "default/clerk"),
        ("verb", "list"),
        ("resource", "secrets"),
        ("namespace", "default"),
        ("expected", "403"),
        ("outcome", "unexpectedly allowed"),
        ("answer", "200 ok"),
        ("declared", "shop.yaml:9"),
        (
            "granted",
            "ClusterRoleBinding clerk of ClusterRole clerk to ServiceAccount default/clerk, rule 3",
        ),
        ("manifest", "manifests/objects.yaml:15"),
        ("request", "GET /list"),
    ]


def test_properties_of_a_rest_count_and_name_each_wrong_cell(shop: RunReport) -> None:
    """With its rule and the manifest's line."""
    rest = [each for each in shop.verdicts if each.expectation == BASELINE or is_wrong(each)]

    properties = rest_properties(rest)

    counted = dict(properties[:3])
    assert counted == {"cells": str(len(rest)), "allowed": "2", "not as declared": "31"}
    wrong = [value for name, value in properties if name == "wrong"]
    assert len(wrong) == 31
    assert (
        "clerk may not list secrets in default, but could (200); granted: ClusterRoleBinding clerk "
        "of ClusterRole clerk to ServiceAccount default/clerk, rule 3; manifest: "
        "manifests/objects.yaml:15"
    ) in wrong


def test_peak_memory_is_in_bytes() -> None:
    """A Python with these libraries takes tens of mebibytes."""
    assert 10 * 2**20 < peak_memory() < 100 * 2**30


EVIL: Final = (
    "\x1b[31mred\x07 [bold]x[/bold] [link=http://e]e[/link]\r\n::error file=x::pwn ##[add-mask]x "
    "<script>alert(1)</script> ![i](http://e/i.png) | `c` **b** _i_ ~~s~~ \u202etxt @all https://e "
    "www.e.org $x$ &lt;"
)
COMMANDS: Final = re.compile(r"^\s*::|##\[", re.MULTILINE)
"""What a runner takes for a command."""


@pytest.fixture
def hostile() -> RunReport:
    """A run whose names, reasons and messages try to be something else than text."""
    who = Subject(EVIL, f"::{EVIL}")
    at = Position(Path(f"/repository/{EVIL},x:y%.yaml"), 3)
    expectation = Expectation(None, EVIL, at)
    rule = Position(Path(f"/repository/{EVIL[:20]}"), 7)
    granted = Opinion(allowed=True, reason=f"RoleBinding {EVIL}", at=rule)
    scenario = Scenario(
        name=EVIL, title=EVIL, file=at.file, objects=(), namespaces=(EVIL,), subjects=(who,),
        resources={}, expectations={}, defaults={}, samples={},
    )  # fmt: skip
    questions: list[Question] = [
        PathQuestion("get", f"/{EVIL}"),
        PathQuestion(EVIL, f"/{EVIL}"),
        ResourceQuestion("get", ResourceName(EVIL, EVIL, EVIL), EVIL, EVIL),
    ]
    answer = Answer(500, EVIL)
    verdicts = [
        judge(Cell(EVIL, who, question), expectation, evidence)
        for question in questions
        for evidence in (
            Evidence(granted, granted, Request("GET", f"/{EVIL}"), Answer(404, EVIL), answer),
            Evidence(granted, granted, Request("GET", f"/{EVIL}"), answer, answer),
        )
    ]
    return RunReport(EVIL, EVIL, [scenario], verdicts)


@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
def test_the_terminal_takes_no_orders(screen: Screen, hostile: RunReport) -> None:
    """No escape, no markup of rich, no workflow command; what was meant can still be read."""
    text = end_of_run(hostile, screen)

    assert not COMMANDS.search(text)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text) if screen.colour else text
    assert all(letter.isprintable() for letter in plain.replace("\n", ""))
    assert "\\x1b[31mred" in plain
    assert "[bold]x[/bold]" in plain


def test_pytests_failure_takes_no_orders(hostile: RunReport) -> None:
    """Neither the sentence, which its summary repeats, nor the explanation."""
    for verdict in hostile.verdicts:
        shown = SentenceRepr(verdict.sentence, verdict.explanation, verdict.expectation.at)
        text = f"{shown.sentence}\n{shown.explanation}\n{shown.reprcrash.message}"

        assert not COMMANDS.search(text)
        assert all(letter.isprintable() for letter in text.replace("\n", ""))


def test_an_explanation_keeps_its_columns(shop: RunReport) -> None:
    """What makes it harmless does not touch what is."""
    for verdict in shop.verdicts:
        shown = SentenceRepr(verdict.sentence, verdict.explanation, verdict.expectation.at)

        assert (shown.sentence, shown.explanation) == (verdict.sentence, verdict.explanation)


def test_the_summary_takes_no_orders(hostile: RunReport) -> None:
    """Rendered, it holds no other element than its own: no link, image, script or mention."""
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])

    html = markdown.render(summary_of(hostile))

    elements = set(re.findall(r"<(\w+)", html))
    assert elements <= {
        "h2", "h3", "ul", "li", "strong", "br", "code", "p", "table", "thead", "tbody", "tr", "th",
        "td",
    }  # fmt: skip
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert {row.count("<t") for row in rows} == {rows[0].count("<t")}
    assert "\x1b" not in html
    assert "[bold]x[/bold]" in html


def test_a_command_stays_one_command(hostile: RunReport) -> None:
    """Each is one line, whose file and message are read back as they were meant."""
    commands = error_commands(hostile.causes, [], Repository(Path("/repository")))

    assert commands
    for command in commands:
        assert len(command.splitlines()) == 1
        head, _, message = command.removeprefix("::").partition("::")
        name, _, properties = head.partition(" ")
        assert name == "error"
        assert set(re.findall(r"(?:^|,)(\w+)=", properties)) <= {"file", "line", "title"}
        assert not re.search(r"[\r\n]|##\[", message)
        assert all(not COMMANDS.search(line) for line in message.split("%0A"))
    assert any("file=" in command and "%2Cx%3Ay%25.yaml" in command for command in commands)


def test_properties_are_of_harmless_letters(hostile: RunReport) -> None:
    """XML has no place for control characters."""
    for verdict in hostile.verdicts:
        for _, value in cell_properties(verdict):
            assert value.isprintable()
    assert all(value.isprintable() for _, value in rest_properties(hostile.verdicts))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("::stop-commands::x", "\\x3a:stop-commands::x", id="at-the-start"),
        pytest.param("  ::error::x", "\\x3a:error::x", id="after-spaces"),
        pytest.param("a\n::error::x", "a ::error::x", id="on-a-new-line"),
        pytest.param("a ##[error]x", "a ##\\x5berror]x", id="the-older-form"),
        pytest.param("a::b", "a::b", id="within-a-line"),
    ],
)
def test_a_workflow_command_is_only_text(text: str, shown: str) -> None:
    """What a runner would obey is shown in another spelling, the rest as it is."""
    assert harmless(text) == shown


@pytest.mark.parametrize(
    ("environment", "speaks"),
    [
        pytest.param({"LANG": "en_US.UTF-8"}, True, id="a-locale"),
        pytest.param({"LANG": "C.utf8"}, True, id="without-a-language"),
        pytest.param({"LANG": "C"}, False, id="the-c-locale"),
        pytest.param({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False, id="as-python-makes-of-it"),
        pytest.param({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, True, id="only-the-letters"),
        pytest.param({"LANG": "de_DE.UTF-8", "LC_ALL": "POSIX"}, False, id="all-of-it"),
        pytest.param({}, False, id="none"),
    ],
)
def test_the_locale_says_whether_there_is_unicode(
    environment: dict[str, str], *, speaks: bool
) -> None:
    """What the user has set counts, not what Python makes of it."""
    assert speaks_unicode(environment) is speaks


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("ascii", False), ("latin-1", False), ("no-such", False), (None, False)],
    ids=str,
)
def test_an_encoding_may_lack_the_symbols(encoding: str | None, *, can: bool) -> None:
    """Then the grid is drawn in ASCII, whatever the locale says."""
    assert can_show_symbols(encoding) is can
