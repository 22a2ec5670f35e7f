"""The pytest side of `--cluster none`, on a project of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from rbac_matrix.recorded import NEWEST, VERSIONS

pytest_plugins = "pytester"

ALONE: Final = """\
def test_alone(judged):
    assert judged.asked
    assert [verdict.sentence for verdict in judged.wrong] == []
"""
GRANT: Final = (Path(__file__).parent / "small/manifests/role.yaml").read_text(encoding="utf-8")
DRIFT: Final = """\
def test_drift(drift):
    assert drift.lines == ()
"""


@pytest.fixture
def project(small_project: pytest.Pytester) -> pytest.Pytester:
    """A project with the scenarios `shop` and `yard`, whose manifests grant what is declared."""
    small_project.makepyfile(test_policy_alone=ALONE)
    return small_project


def write(project: pytest.Pytester, manifest: str) -> None:
    """Write the manifests of both scenarios."""
    role = project.path / "expected" / "manifests" / "role.yaml"
    role.write_text(manifest, encoding="utf-8")


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the project's tests without a cluster, unless another one is asked for."""
    return project.runpytest("--expectations", "expected", "--cluster", "none", *arguments)


def test_what_needs_a_cluster_is_left_out(project: pytest.Pytester) -> None:
    """One item a scenario, with declared cells and the rest."""
    project.makepyfile(
        test_access="def test_access(verdict): pass\ndef test_rest(rest_verdicts): pass\n"
    )

    result = run(project)

    result.assert_outcomes(passed=2, deselected=2)


def test_the_newest_kubernetes_version_is_judged(project: pytest.Pytester) -> None:
    """A commit hook need not wait for the others; ids are the scenarios' names, and cells count."""
    result = run(project, "-v")

    assert "test_policy_alone.py::test_alone[shop] PASSED" in result.stdout.str()
    counted = rf"policy alone, Kubernetes {NEWEST}, \d+ cells: \d+ allowed, \d+ refused"
    assert re.search(counted, result.stdout.str())


def test_a_kubernetes_version_can_be_chosen(project: pytest.Pytester) -> None:
    """Then the ids name it."""
    result = run(project, "--kubernetes-version", "1.34", "-v")

    result.assert_outcomes(passed=2)
    assert "test_policy_alone.py::test_alone[shop:v1.34] PASSED" in result.stdout.str()
    assert "policy alone, Kubernetes v1.34, " in result.stdout.str()


def test_all_kubernetes_versions_can_be_judged(project: pytest.Pytester) -> None:
    """One item a scenario and version, the newest version first."""
    result = run(project, "--kubernetes-version", "all", "-v")

    result.assert_outcomes(passed=2 * len(VERSIONS))
    counted = [f"policy alone, Kubernetes {version}, * cells: *" for version in VERSIONS]
    result.stdout.fnmatch_lines(counted)


NOT_IN_1_34: Final = "mutatingadmissionpolicies.admissionregistration.k8s.io"


def test_a_resource_that_a_version_lacks_is_an_error_that_names_it(
    project: pytest.Pytester,
) -> None:
    """A resource that only newer versions serve cannot be declared for an older one."""
    file = project.path / "expected" / "shop.yaml"
    text = file.read_text(encoding="utf-8").replace("[pods]\n", f"[pods, {NOT_IN_1_34}]\n", 1)
    file.write_text(text.replace("[default]\n", "[default]\n  cluster: true\n", 1), "utf-8")

    newest = run(project)
    older = run(project, "--kubernetes-version", "1.34")

    newest.assert_outcomes(passed=2)
    assert f"no resource '{NOT_IN_1_34}' is served" in older.stdout.str()
    assert "(in Kubernetes v1.34)" in older.stdout.str()


def test_a_version_that_is_not_recorded_is_an_error(project: pytest.Pytester) -> None:
    """It says which there are."""
    result = run(project, "--kubernetes-version", "1.20")

    assert "--kubernetes-version: 1.20 is not recorded; recorded are 1." in result.stdout.str()


def test_a_cluster_has_its_own_version(project: pytest.Pytester) -> None:
    """To choose one for a real cluster would only look as if it did something."""
    for option in (("--kubernetes-version", "1.34"), ("--accept",), ("--base", "main")):
        result = run(project, "--cluster", "embedded", *option)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert f"{option[0]} goes with --cluster none" in result.stderr.str()


WRONG_MANIFESTS: Final = {
    "nothing-granted": (
        GRANT.replace("name: default, namespace", "name: other, namespace"),
        "default may get pods in default, but nothing grants it",
    ),
    "more-granted-than-declared": (
        GRANT.replace("[get]", "[get, list]"),
        "default may not list pods in default, but it is granted",
    ),
    "more-granted-than-anybody-asked": (
        GRANT.replace("[pods]", "[pods, endpoints]"),
        "default may not get endpoints in default, but it is granted",
    ),
}


@pytest.mark.parametrize(("manifest", "sentence"), WRONG_MANIFESTS.values(), ids=WRONG_MANIFESTS)
def test_without_a_cluster_wrong_manifests_fail(
    project: pytest.Pytester, manifest: str, sentence: str
) -> None:
    """The sentence of the first wrong cell, for declared and undeclared cells alike."""
    write(project, manifest)

    result = run(project)

    result.assert_outcomes(failed=2)
    assert f"FAILED test_policy_alone.py::test_alone[shop] - {sentence}" in result.stdout.str()


@pytest.fixture
def accepted(project: pytest.Pytester) -> pytest.Pytester:
    """The project with its access accepted, and the test that compares it."""
    project.makepyfile(test_drift=DRIFT)
    run(project, "--accept", "-k", "drift").assert_outcomes(passed=2, deselected=2)
    return project


def test_a_green_run_draws_no_grid_unless_asked(project: pytest.Pytester) -> None:
    """A commit hook waits for nothing that nobody reads."""
    without = run(project)
    wanted = run(project, "-v")

    assert "A scenario" not in without.stdout.str()
    wanted.stdout.fnmatch_lines(["shop  A scenario", "    pods  *", "yard  A scenario"])


def test_a_red_run_shows_causes_grids_and_annotations(project: pytest.Pytester) -> None:
    """As a run on a cluster does: the rule and its line, then the wrong cells among the others."""
    write(project, GRANT.replace("[pods]", "[pods, endpoints]"))

    result = run(project, "--annotations", "github")

    result.stdout.fnmatch_lines(
        [
            "*= access that is not as declared =*",
            "default may not get endpoints in default, but it is granted",
            "  granted:  expected/manifests/role.yaml:5: RoleBinding default/reader *",
            "  declared: expected/shop.yaml:8: no line allows it to default (default deny)",
            "shop  A scenario",
            "    pods  *",
            "    endpoints  *",
            "policy alone, Kubernetes *",
            "::error file=expected/manifests/role.yaml,line=5,*",
            "::error file=expected/shop.yaml,line=8,*",
        ]
    )


def test_the_summary_has_every_version(project: pytest.Pytester) -> None:
    """One heading each, with the number of all cells."""
    run(project, "--kubernetes-version", "all", "--report-dir", "report")

    text = (project.path / "report/summary.md").read_text(encoding="utf-8")
    for version in VERSIONS:
        heading = rf"^## ✅ [\d,]{{5,}} cells as declared \(policy alone, Kubernetes {version}\)$"
        assert re.search(heading, text, re.MULTILINE)


def test_junit_files_count_the_cells_of_a_scenario(project: pytest.Pytester) -> None:
    """Each is in one count, and each wrong one is named with the line of its rule."""
    write(project, GRANT.replace("[pods]", "[pods, endpoints]"))

    run(project, "-k", "shop", "--junit-xml", "junit.xml", "-o", "junit_family=xunit1")

    case = ET.parse(project.path / "junit.xml").getroot()[0][0]  # noqa: S314 - our own file
    (properties, *_) = case
    found = {str(each.get("name")): str(each.get("value")) for each in properties}
    counted = [int(found[name]) for name in ("allowed", "refused", "not as declared")]
    assert int(found["cells"]) == sum(counted) > 1000
    assert counted[2] == 1
    assert found["wrong"].startswith("default may not get endpoints in default, but it is granted;")
    assert found["wrong"].endswith("manifest: expected/manifests/role.yaml:5")


def test_what_is_not_accepted_yet_fails(project: pytest.Pytester) -> None:
    """It says how to accept it."""
    project.makepyfile(test_drift=DRIFT)

    result = run(project, "-k", "drift")

    result.assert_outcomes(failed=2, deselected=2)
    assert "no access of shop is accepted yet" in result.stdout.str()
    assert "to accept: nox -s accept, and commit expected/accepted/shop.txt" in result.stdout.str()


def test_accepting_says_what_it_wrote(project: pytest.Pytester) -> None:
    """A line for each file that changed; accepting it again changes nothing."""
    project.makepyfile(test_drift=DRIFT)

    first = run(project, "--accept", "-k", "drift").stdout.str()
    second = run(project, "--accept", "-k", "drift").stdout.str()

    assert "accepted in expected/accepted/shop.txt: 1 lines added, 0 removed" in first
    assert "accepted in expected/accepted/yard.txt: 1 lines added, 0 removed" in first
    assert "accepted in" not in second


def test_a_drift_fails_with_its_sentence(accepted: pytest.Pytester) -> None:
    """Though every declared cell is as declared; the place is the accepted file."""
    write(accepted, GRANT.replace("[get]", "[get, list]"))

    result = run(accepted, "-k", "shop and drift")

    sentence = "newly allowed: default/default may list pods in default (expected/manifests/role.y"
    assert f"FAILED test_drift.py::test_drift[shop] - {sentence}" in result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            f"{sentence}aml:5)",
            "  granted:  expected/manifests/role.yaml:5: RoleBinding *, bound in *role.yaml:11",
            "to accept: nox -s accept, and commit expected/accepted/shop.txt",
        ]
    )


def test_a_drift_is_told_to_ci_with_its_line(accepted: pytest.Pytester) -> None:
    """Beside the manifest's line, first in the summary, and as a property of the test."""
    write(accepted, GRANT.replace("[get]", "[get, list]"))

    ci = ("--annotations", "github", "--step-summary", "step.md", "--junit-xml", "junit.xml")
    result = run(accepted, "-k", "shop and drift", *ci, "-o", "junit_family=xunit1")

    sentence = "default/default may list pods in default"
    granted = "granted: expected/manifests/role.yaml:5: RoleBinding default/reader of Role reader"
    command = (
        "::error file=expected/manifests/role.yaml,line=5,title=access that is not as declared%2C "
        "not as accepted::default may not list pods in default, but it is granted%0Adeclared: "
        "expected/shop.yaml:8: no line allows it to default (default deny)%0A"
        f"newly allowed: {sentence}%0A{granted}, bound in "
    )
    assert command in result.stdout.str()
    summary = (accepted.path / "step.md").read_text(encoding="utf-8").splitlines()
    assert summary[0] == "## ❌ Access is not as accepted: 1 cell newly allowed"
    assert summary[4].startswith("| **newly allowed** | `shop` | `default/default` | `list pods` |")
    assert "| `expected/manifests/role.yaml:5` | `RoleBinding" in summary[4]
    case = ET.parse(accepted.path / "junit.xml").getroot()[0][0]  # noqa: S314 - our own file
    (property_,) = [each for each in case[0] if each.get("name") == "newly allowed"]
    assert str(property_.get("value")).startswith(f"{sentence}; {granted}")


def test_access_is_accepted_for_the_newest_version(accepted: pytest.Pytester) -> None:
    """Older versions have other stock roles: for them the manifests are judged, not compared."""
    run(accepted, "--kubernetes-version", "all", "-k", "drift").assert_outcomes(
        passed=2, deselected=2 * len(VERSIONS)
    )
    run(accepted, "--kubernetes-version", "1.34").assert_outcomes(passed=2, deselected=1)


def git(project: pytest.Pytester, *arguments: str) -> None:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    subprocess.run(["git", "-C", str(project.path), *who, *arguments], check=True)


@pytest.fixture
def widened(accepted: pytest.Pytester) -> pytest.Pytester:
    """The project as the branch main, and on it a verb more that is accepted, not committed."""
    git(accepted, "init", "--quiet", "--initial-branch", "main")
    git(accepted, "add", "--all")
    git(accepted, "commit", "--quiet", "--message", "base")
    write(accepted, GRANT.replace("[get]", "[get, watch]"))
    run(accepted, "--accept", "-k", "drift")
    return accepted


def test_changes_since_a_base_are_told_to_ci(widened: pytest.Pytester) -> None:
    """First in the step's summary, with links, and as warnings: they are no failure."""
    ci = ("--annotations", "github", "--step-summary", "step.md", "--repository-url", "https://h/r")
    result = run(widened, "-k", "drift and shop", "--base", "main", *ci)

    result.assert_outcomes(passed=1, deselected=3)
    command = (
        "::warning file=expected/manifests/role.yaml,line=5,title=newly allowed since main::"
        "default/default may watch pods in default%0Agranted: expected/manifests/role.yaml:5: "
    )
    assert command in result.stdout.str()
    summary = (widened.path / "step.md").read_text(encoding="utf-8")
    assert summary.startswith("## Access since `main`: 2 cells newly allowed\n")
    link = (
        r"\[`expected/manifests/role\.yaml:5`\]\(https://h/r/blob/[0-9a-f]{40}/expected/manifests/"
    )
    assert re.search(rf"\| {link}role\.yaml#L5\) \|", summary)


def test_changes_since_a_base_are_shown_and_written(widened: pytest.Pytester) -> None:
    """The same table in a log and in the report folder; it fails nothing by itself."""
    result = run(widened, "-k", "drift", "--base", "main", "--report-dir", "report")

    result.assert_outcomes(passed=2, deselected=2)
    table = (widened.path / "report" / "access-changes.md").read_text(encoding="utf-8")
    assert table.startswith("## Access since `main`: 2 cells newly allowed\n")
    assert [line.split(" | ")[:2] for line in table.splitlines()[4:-1]] == [
        ["| **newly allowed**", "`shop`"],
        ["| **newly allowed**", "`yard`"],
    ]
    assert table in result.stdout.str()


def test_a_base_that_is_none_ends_the_run(accepted: pytest.Pytester) -> None:
    """A typo would otherwise look as if nothing had changed."""
    git(accepted, "init", "--quiet")

    result = run(accepted, "--base", "mian")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--base: 'mian' is no revision of" in result.stderr.str()
