"""What changed since a git revision: the files of it, and the table for a pull request."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rbac_matrix.offline import judge_offline, stock_cluster
from rbac_matrix.recorded import NEWEST
from rbac_matrix.report.annotations import change_commands
from rbac_matrix.report.changes import since_summary
from rbac_matrix.report.markdown import LIMIT, code
from rbac_matrix.report.repository import Repository
from rbac_matrix.report.screen import Screen, change_lines
from rbac_matrix.revision import RevisionError, revision
from rbac_matrix.scenario_file import built_in_samples, expectation_files, load_scenario
from rbac_matrix.since import changes_since

if TYPE_CHECKING:
    from collections.abc import Callable

    from rbac_matrix.since import Comparison

GRANT: Final = (Path(__file__).parent / "small/manifests/role.yaml").read_text(encoding="utf-8")
MANIFEST: Final = GRANT.replace("reader", "till").replace("[get]", "[get, list]")
EVERYTHING: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: boss}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
"""


class Project:
    """A git repository with scenarios in a folder of it."""

    def __init__(self, folder: Path, write: Callable[..., Path]) -> None:
        """Make it, with the scenario `shop`, as the commit that `base` names."""
        self.folder, self._write = folder, write
        self.git("init", "--quiet", "--initial-branch", "base")
        self.scenario("shop", MANIFEST)
        self.commit()
        self.git("switch", "--quiet", "--create", "work")

    @property
    def access(self) -> Path:
        """The folder of expectations."""
        return self.folder / "part" / "access"

    def git(self, *arguments: str) -> str:
        """Run git as nobody in particular."""
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
        return subprocess.run(
            ["git", "-C", str(self.folder), *who, *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")

    def scenario(self, name: str, manifest: str) -> None:
        """Write a scenario."""
        self._write(self.access, name, manifest, f"../manifests/{name}")

    def table(self, base: str = "base", limit: int = LIMIT, page: str = "") -> str:
        """The same as the table that a pull request gets, with the page of its repository."""
        repository = Repository(self.folder, page, "c0")
        return since_summary(self.changes(base), limit, repository)

    def changes(self, base: str = "base") -> Comparison:
        """The changes of the working tree since a revision."""
        stock = stock_cluster(NEWEST)
        judged = [
            judge_offline(load_scenario(file, stock.discovery, built_in_samples()), stock)
            for file in expectation_files(self.access)
        ]
        return changes_since(base, judged, [self.access], NEWEST)


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_scenario: Callable[..., Path]
) -> Project:
    """A repository whose working folder is the current one."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, write_scenario)


HEAD: Final = """\
## Access since `base`: {}

|  | scenario | ServiceAccount | what | where | line | because | cells |
|---|---|---|---|---|---|---|--:|
"""
ROWS: Final = slice(4, -1)
ROLE_FILE: Final = "part/manifests/shop/role.yaml"


def test_nothing_changed(project: Project) -> None:
    """A sentence says so; a table without rows would look like a broken one."""
    assert project.table() == (
        "## Access since `base`: nothing newly allowed, nothing newly denied\n\n"
    )


def test_a_changed_role_is_a_row_for_each_change(project: Project) -> None:
    """With what grants it now, what it lacks now, and what granted it then."""
    project.scenario("shop", MANIFEST.replace("[get, list]", "[get, watch]"))

    till = "RoleBinding default/till of Role till"
    assert project.table() == HEAD.format("1 cell newly allowed, 1 newly denied") + (
        "| **newly allowed** | `shop` | `default/default` | `watch pods` | `in default` "
        f"| `{ROLE_FILE}:5` | `{till}`, bound in `{ROLE_FILE}:11` | 1 |\n"
        "| **newly denied** | `shop` | `default/default` | `list pods` | `in default` "
        f"| `{ROLE_FILE}:5` | `Role till grants get, watch on pods, not list`<br>"
        f"was: `base:{ROLE_FILE}:5`: `{till}`, bound in `base:{ROLE_FILE}:11` | 1 |\n\n"
    )


def test_a_changed_binding_is_what_did_it(project: Project) -> None:
    """The rule was there before, but nobody was bound to it."""
    project.scenario(
        "shop", MANIFEST.replace("subjects: [{kind: ServiceAccount", "subjects: [{kind: User")
    )
    project.commit()
    project.scenario("shop", MANIFEST)

    (told,) = project.changes("HEAD").differences

    assert [(place.line, place.shown) for place in told.at] == [(11, ROLE_FILE)]
    assert str(told.reasons[0]) == (
        f"{ROLE_FILE}:11: RoleBinding default/till of Role till, by the rule in {ROLE_FILE}:5"
    )


def test_lines_lead_to_the_commit_that_has_them(project: Project) -> None:
    """What is allowed now to the one that is checked out, what was allowed before to the base."""
    project.scenario("shop", MANIFEST.replace("[get, list]", "[get, watch]"))
    base = project.git("rev-parse", "base").strip()

    table = project.table(page="https://github.example/o/r")

    address = "https://github.example/o/r/blob"
    assert f"| [`{ROLE_FILE}:5`]({address}/c0/{ROLE_FILE}#L5) | `RoleBinding" in table
    assert f"[`base:{ROLE_FILE}:5`]({address}/{base}/{ROLE_FILE}#L5)" in table


def test_a_table_keeps_to_its_limit(project: Project) -> None:
    """Rows that are too many are counted; without room for the heading there is nothing."""
    for number in range(40):
        project.scenario(f"yard-{number}", EVERYTHING)

    whole, table = project.table(), project.table(limit=4_000)
    left_out = re.search(r"Left out, because GitHub shows no more: changes \((\d+)\)\.", table)

    assert len(table.encode()) <= 4_000 < len(whole.encode())
    assert left_out
    assert table.count("newly allowed**") + int(left_out[1]) == whole.count("newly allowed**") == 80
    assert project.table(limit=100) == ""


@pytest.fixture
def varied(project: Project) -> Comparison:
    """Something of everything that can happen to access."""
    project.scenario("attic", MANIFEST.replace("till", "hatch"))
    project.scenario("yard", MANIFEST.replace("till", "gate"))
    project.commit()
    project.git("branch", "--force", "base")
    (project.access / "attic.yaml").unlink()
    services = MANIFEST.replace("till", "notes").replace("[pods]", "[services]")
    watched = MANIFEST.replace("[get, list]", "[get, watch]")
    project.scenario("shop", f"{watched}---\n{services}")
    project.scenario("yard", MANIFEST.replace("till", "fence"))
    return project.changes()


def test_changes_as_a_pull_request_shows_them(
    varied: Comparison, project: Project, golden: Callable[[str, str], None]
) -> None:
    """The table, with links, and the annotations at the lines that did it."""
    stable = replace(varied, commit="b" * 40)
    repository = Repository(project.folder, "https://github.example/o/r", "c" * 40)

    golden("changes.md", since_summary(stable, repository=repository))
    golden("changes-annotations.txt", "\n".join([*change_commands(stable, repository), ""]))


@pytest.mark.parametrize("width", [72, 120])
def test_changes_as_a_terminal_shows_them(
    width: int, varied: Comparison, golden: Callable[[str, str], None]
) -> None:
    """A sentence each, first what is newly allowed, and below it the lines that did it."""
    lines = change_lines(varied.differences, Screen(width))

    assert all(len(line) <= width for line in lines)
    golden(f"changes-{width}.txt", "\n".join([*lines, ""]))


def test_new_and_removed_scenarios_count(project: Project) -> None:
    """What a new scenario allows is newly allowed, what a removed one allowed newly denied."""
    (project.access / "shop.yaml").unlink()
    project.scenario("yard", EVERYTHING)

    rows = project.table().splitlines()[ROWS]

    assert [row.split(" | ")[:4] for row in rows] == [
        ["| **newly allowed**", "`yard`", "`default/default`", "`* *`"],
        ["| **newly allowed**", "`yard`", "`default/default`", "`* /*`"],
        ["| **newly denied**", "`shop`", "`default/default`", "`get, list pods`"],
    ]
    assert "`part/manifests/yard/role.yaml:5` | `ClusterRoleBinding boss of ClusterRole" in rows[0]
    assert (
        f"`base:{ROLE_FILE}:5` | `the scenario is gone`<br>was: `base:{ROLE_FILE}:5`: `RoleBinding "
        "default/till of Role till`, bound in `base:"
    ) in rows[2]


def test_any_two_revisions_can_be_compared(project: Project) -> None:
    """A base is what git takes for one; what is not committed counts on this side only."""
    project.scenario("shop", MANIFEST.replace("[get, list]", "[get]"))
    project.commit()
    commit = project.git("rev-parse", "HEAD").strip()

    assert "**newly denied**" in project.table()
    assert "nothing newly allowed" in project.table(commit[:10])
    assert "**newly denied**" in project.table("HEAD~1")


def test_comparing_changes_nothing(project: Project) -> None:
    """Neither the working tree nor the repository: it runs where others work, and in hooks."""
    project.scenario("shop", MANIFEST.replace("[get, list]", "[get]"))
    before = (project.git("status", "--porcelain"), sorted(project.folder.rglob("*")))

    project.table()

    assert (project.git("status", "--porcelain"), sorted(project.folder.rglob("*"))) == before


def test_a_base_that_cannot_be_read_is_a_note(project: Project) -> None:
    """A pull request that mends a file, or changes its format, still gets its table."""
    good = (project.access / "shop.yaml").read_text(encoding="utf-8")
    (project.access / "shop.yaml").write_text(good.replace("title:", "titel:"), encoding="utf-8")
    project.scenario("yard", MANIFEST)
    project.commit()
    (project.access / "shop.yaml").write_text(good, encoding="utf-8")

    table = project.table("HEAD")

    assert "nothing newly allowed" in table
    assert "\nNot compared: `shop: HEAD:part/access/shop.yaml:2: titel: unknown key" in table


HOSTILE: Final = "x|`*<b>@all\\\\|\\n| [a](b) \\e[31m"


def test_hostile_names_stay_in_their_cell(project: Project) -> None:
    """Whatever a manifest calls things, a row has its columns and the text is only text."""
    names = MANIFEST.replace("name: till", f'name: "{HOSTILE}"')
    project.scenario("shop", names.replace("[get, list]", "[get, list, watch]"))

    rows = project.table().splitlines()[ROWS]

    assert len(rows) == 2
    assert {row.count("|") for row in rows} == {9}
    for row in rows:
        assert row.isprintable()
        assert "<b>" in row.split("``")[1]
        assert "<b>" not in re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", row)


def evil_changes(project: Project) -> Comparison:
    """A change whose every name is hostile, and a file's too."""
    names = MANIFEST.replace("name: till", f'name: "{HOSTILE}"')
    project.scenario("shop", names)
    project.commit()
    project.scenario("shop", names.replace("[get, list]", "[get, watch]"))
    folder = project.folder / "part" / "manifests" / "shop"
    (folder / "role.yaml").rename(folder / "a,b:c%0A::error::.yaml")
    return project.changes("HEAD")


def test_annotations_of_hostile_names_stay_one_command_each(project: Project) -> None:
    """Neither a name nor a file ends a command's line, its properties, or begins another one."""
    commands = change_commands(evil_changes(project), Repository(project.folder))

    place = "part/manifests/shop/a%2Cb%3Ac%250A%3A%3Aerror%3A%3A.yaml,line=5"
    assert [command.partition("::")[2].partition("::")[0] for command in commands] == [
        f"warning file={place},title=newly allowed since HEAD",
        f"notice file={place},title=newly denied since HEAD",
    ]
    for command in commands:
        assert command.isprintable()


SPANS: Final = {
    "plain": ("pods", "`pods`"),
    "a-pipe": ("a|b", r"`a\x7cb`"),
    "an-escaped-pipe": (r"a\|b", r"`a\\x7cb`"),
    "a-backtick": ("a`b", "``a`b``"),
    "backticks-at-the-ends": ("`a``", "``` `a`` ```"),
    "two-lines": ("a\nb", "`a b`"),
    "a-terminal-escape": ("\x1b[31m", r"`\x1b[31m`"),
    "nothing": ("", "`   `"),
}


@pytest.mark.parametrize(("text", "span"), SPANS.values(), ids=SPANS)
def test_a_text_is_one_code_span(text: str, span: str) -> None:
    """GitHub splits cells at pipes before it looks for code, and ends code at equal backticks."""
    assert span == code(text)


def test_a_revision_has_the_files_of_its_time(project: Project, tmp_path: Path) -> None:
    """Only what is fetched, and nothing for what it does not have."""
    project.scenario("shop", "changed")
    project.scenario("yard", MANIFEST)
    manifests = tmp_path / "part" / "manifests"

    with revision("base", tmp_path) as found:
        found.fetch([manifests, tmp_path / "nowhere"])
        files = [path for path in found.folder.rglob("*.yaml") if path.is_file()]
        (file,) = files
        text = file.read_text(encoding="utf-8")
        there = found.there(file)
        folder = found.folder

    assert text == MANIFEST
    assert there == manifests / "shop" / "role.yaml"
    assert not folder.exists()


@pytest.mark.parametrize("name", ["nothing", "--help", "base:part", "", "-"])
def test_a_base_that_is_no_revision_is_one_error(project: Project, name: str) -> None:
    """Even one that looks like an option; a shallow clone is the usual reason."""
    with pytest.raises(RevisionError, match=r"is no revision of .*; in a shallow clone"):
        project.table(name)


def test_without_a_repository_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    """Git says so itself."""
    with (
        pytest.raises(RevisionError, match="not a git repository"),
        revision("HEAD", tmp_path),
    ):
        pass


def test_links_are_not_followed(project: Project) -> None:
    """A link of a revision could lead anywhere on this machine."""
    (project.folder / "part" / "manifests" / "shop" / "extra.yaml").symlink_to("/etc/passwd")
    project.commit()
    (project.folder / "part" / "manifests" / "shop" / "extra.yaml").unlink()

    with pytest.raises(RevisionError, match=r"extra\.yaml is no file in HEAD: links are not"):
        project.table("HEAD")


def test_manifests_outside_of_the_repository_are_refused(project: Project) -> None:
    """`../../..` of a revision must not lead out of its folder."""
    file = project.access / "shop.yaml"
    good = file.read_text(encoding="utf-8")
    file.write_text(good.replace("../manifests/shop", "../../../elsewhere"), encoding="utf-8")
    project.commit()
    file.write_text(good, encoding="utf-8")

    with pytest.raises(RevisionError, match="leads out of the repository"):
        project.table("HEAD")
