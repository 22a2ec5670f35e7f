"""A Role that a pull request widens: every output names the same cells and the same line."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="these tests read /proc"),
    pytest.mark.usefixtures("control_plane_programs"),
]

SCENARIO: Final = "job-robot"
WIDER: Final = {"role.yaml": ("resources: [pods]", "resources: [pods, secrets]")}
VERBS: Final = ("get", "list", "watch")
GRANT: Final = "RoleBinding default/job-robot of Role job-robot"
FAILED: Final = 1  # pytest's exit code
DEADLINE: Final = 180.0  # seconds for one scenario on a control plane of its own


class FirstProblem(HTMLParser):
    """The text of the first thing that a page says is wrong, and the data of its cells."""

    def __init__(self, html: str) -> None:
        """Read it."""
        super().__init__()
        self.text: list[str] = []
        self.data = ""
        self._inside = self._over = self._packed = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look out for the article and the data."""
        self._inside |= tag == "article" and not self._over
        self._packed = ("id", "packed") in attrs

    def handle_endtag(self, tag: str) -> None:
        """The first article is over."""
        self._over |= tag == "article"
        self._inside &= tag != "article"

    def handle_data(self, data: str) -> None:
        """Sort text by where it is."""
        if self._packed:
            self.data += data
        elif self._inside:
            self.text += data.split()


@pytest.fixture
def widened(changed_copy: Callable[..., Path]) -> Path:
    """The expectations of a scenario whose Role has one resource more than was accepted."""
    return changed_copy(SCENARIO, SCENARIO, WIDER)


@pytest.fixture
def place(widened: Path) -> str:
    """The line of the rule that was widened."""
    file = widened.parent / "manifests" / SCENARIO / "role.yaml"
    lines = file.read_text().splitlines()
    return f"{file}:{next(number for number, line in enumerate(lines) if 'secrets' in line)}"


def after(lines: list[str], beginnings: list[str]) -> str:
    """The line that follows lines with these beginnings, one after the other."""
    for number in range(len(lines) - len(beginnings)):
        found = lines[number:]
        if all(map(str.startswith, found, beginnings)):
            return found[len(beginnings)]
    pytest.fail(f"no lines {beginnings} in:\n" + "\n".join(lines))


def test_a_cluster_sees_it_and_every_report_says_so(
    widened: Path, place: str, start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """The terminal, the summary, the annotations, JUnit, verdicts.json and the HTML report."""
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    run = start_run(
        "--cluster=embedded", f"--expectations={widened}", f"--report-dir={tmp_path}",
        f"--step-summary={summary}", "--annotations=github",
        f"--repository={widened.parent}", f"--junit-xml={junit}",
    )  # fmt: skip

    assert run.end(DEADLINE) == FAILED, run.tail

    sentences = [f"{SCENARIO} may not {verb} secrets in default, but could (" for verb in VERBS]
    grant = f"{GRANT} to ServiceAccount default/{SCENARIO}, rule 1"
    lines = run.output.splitlines()
    assert after(lines, sentences) == f"  granted:  {place}: {grant}"

    number = place.rpartition(":")[2]
    (command,) = [line for line in lines if line.startswith("::error file=manifests/")]
    assert command.startswith(f"::error file=manifests/{SCENARIO}/role.yaml,line={number},")
    assert all(sentence in command for sentence in sentences)

    told = after(summary.read_text().splitlines(), [f"- **{sentences[0]}", "  **", "  **"])
    assert told == f"  granted: `{place}`: {grant}<br>"

    records = json.loads((tmp_path / "verdicts.json").read_text())["cells"]
    wrong = [record for record in records if record["state"] == "wrong"]
    assert [record["verb"] for record in wrong] == [*VERBS]
    assert {record["resource"] for record in wrong} == {"secrets"}
    manifest = {"file": place.rpartition(":")[0], "line": int(number)}
    assert all(record["manifest"] == manifest for record in wrong)

    page = FirstProblem((tmp_path / "report.html").read_text())
    assert " ".join(page.text).startswith(
        f"default/{SCENARIO} unexpectedly allowed get list watch secrets in default Granted by "
        f"{place} {grant} Expected "
    )
    assert len(json.loads(page.data)["wrong"]) == len(VERBS)
    # Where a text repeats the name of its row there is a placeholder; tests/report opens the cell.
    assert any(text.endswith(f"/role.yaml:{number}") for text in json.loads(page.data)["texts"])

    properties = [each.attrib for each in ET.parse(junit).iter("property")]  # noqa: S314 - our own
    assert properties.count({"name": "manifest", "value": place}) >= len(VERBS)


def test_without_a_cluster_the_accepted_access_says_so(
    widened: Path, place: str, start_run: Callable[..., Run], tmp_path: Path
) -> None:
    """The same cells and the same line as newly allowed: in the terminal and in the summary."""
    summary = tmp_path / "summary.md"
    run = start_run("--cluster=none", f"--expectations={widened}", f"--step-summary={summary}")

    assert run.end(DEADLINE) == FAILED, run.tail

    sentence = f"newly allowed: default/{SCENARIO} may get, list, watch secrets in default"
    lines = run.output.splitlines()
    assert after(lines, [f"{sentence} ({place})"]).startswith(f"  granted:  {place}: {GRANT},")
    sentences = [f"{SCENARIO} may not {verb} secrets in default, but it is" for verb in VERBS]
    (began,) = [number for number, line in enumerate(lines) if "= access that is not as" in line]
    assert after(lines[began:], sentences).startswith(f"  granted:  {place}: {GRANT} to ")
    first, *_, row = summary.read_text().splitlines()[:5]
    assert first == "## ❌ Access is not as accepted: 3 cells newly allowed"
    assert row.startswith(
        f"| **newly allowed** | `{SCENARIO}` | `default/{SCENARIO}` | `get, list, watch secrets` "
        f"| `in default` | `{place}` | `{GRANT}`"
    )
