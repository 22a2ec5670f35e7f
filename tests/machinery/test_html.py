"""The HTML report as a text: what it says, and that it is safe and small.

tests/report opens it in a browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from rbac_matrix.report.html import SHOWN_PROBLEMS, SHOWN_ROWS, main, report_html
from rbac_matrix.report.packed import entries, pack
from rbac_matrix.report.problems import problems
from rbac_matrix.schema import validator
from rbac_matrix.verdict import printable

DOCUMENTS: Final = Path(__file__).parents[1] / "report"
VOID: Final = frozenset({"meta", "link", "input"})


class Page(HTMLParser):
    """The elements of a page, the text that is seen without scripts, and what scripts hold."""

    def __init__(self, html: str) -> None:
        """Read it."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.raw: dict[str, list[str]] = {"style": [], "script": []}
        self._open: list[str] = []
        self.feed(html)
        self.close()

        assert self._open == [], "elements that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the last one, which has to be this one."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Sort text by where it is."""
        inside = self._open[-1] if self._open else ""
        if inside in self.raw:
            self.raw[inside].append(data)
        elif data.strip() and "noscript" not in self._open:
            self.text.append(" ".join(data.split()))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def document(name: str) -> dict[str, Any]:
    """A recorded verdicts.json."""
    found: dict[str, Any] = json.loads((DOCUMENTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def unpacked(packed: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """The verb, state and texts of each cell, as `page/data.js` reads them."""
    *tables, _, starts = packed["rows"]
    names = ("scenarios", "subjects", "scopes", "questions")
    found = []
    for number, (verb, state, kind) in enumerate(zip(*packed["cells"], strict=True)):
        row = max(place for place, start in enumerate(starts) if start <= number)
        said = [
            text
            for name, column in zip(names, tables, strict=True)
            for text in packed[name][column[row]]
        ]
        said.append(packed["verbs"][verb])
        texts = [
            re.sub(
                "[\ue000-\ue0ff]",
                lambda place, said=said: said[ord(place[0]) - 0xE000],
                packed["texts"][text],
            )
            for text in packed["kinds"][kind]
        ]
        of_cell = dict(zip(packed["fields"], texts, strict=True))
        found.append((packed["verbs"][verb], packed["states"][state], of_cell))
    return found


EXPECTED: Final = """\
rbac-matrix
5 answers are not as declared
3 unexpectedly allowed | 1 unexpectedly denied | 1 the judges disagree
44 questions about 3 ServiceAccounts in 2 scenarios, put to | embedded | Kubernetes | v1.36.3 | . \
| 22 November 2026, 01:50 UTC
✗ | 5 | wrong | ✓ | 9 | allowed | \N{EN DASH} | 29 | denied | ? | 1 | not asked
What is wrong
team-a/clerk | unexpectedly allowed | get | list | watch | secrets | in | team-a
Granted by | manifests/shop/role.yaml:7 | RoleBinding team-a/clerk of Role clerk to ServiceAccount \
team-a/clerk, rule 1
Expected | tests/access/shop.yaml:12 | no line allows it to clerk (default deny)
Scenario | shop
team-a/clerk | unexpectedly denied | watch | configmaps | in | team-a
Nearest rule | manifests/shop/role.yaml:7 | Role clerk grants get, list on configmaps, not watch
Expected | tests/access/shop.yaml:18 | The clerk follows its settings.
Scenario | shop
team-a/clerk | the judges disagree | list | leases.coordination.k8s.io | in | team-b
What came | clerk may not list leases.coordination.k8s.io in team-b, but the judges disagree: \
policy says denied, review says allowed, request says allowed
Nearest rule | no rule of any role that is bound to it speaks of leases.coordination.k8s.io
Expected | tests/access/shop.yaml:12 | no line allows it to clerk (default deny)
Scenario | shop
Who may do what"""


def test_what_is_wrong_is_written_first() -> None:
    """The verdict, the counts, and each cause with its permission and the line of its manifest."""
    page = Page(report_html(document("small")))
    began = page.text.index("rbac-matrix")

    said = " | ".join(page.text[began : page.text.index("Who may do what") + 1])

    assert said == " | ".join(EXPECTED.splitlines())


def test_a_green_run_has_nothing_above_its_matrix() -> None:
    """The headline says so, and there is no list of causes."""
    green = document("small")
    green["cells"] = [cell for cell in green["cells"] if cell["state"] != "wrong"]
    page = Page(report_html(green))

    assert "Every answer is as declared" in page.text
    assert "What is wrong" not in page.text
    assert page.text[0] == "✓ as declared · rbac-matrix"


@pytest.mark.parametrize(
    ("states", "headline"),
    [((), "Nothing was asked"), (("not asked",), "Nothing could be asked")],
    ids=["no-cells", "none-asked"],
)
def test_a_run_without_answers_is_not_called_green(states: tuple[str, ...], headline: str) -> None:
    """What was not asked never counts as passed."""
    found = document("small")
    found["cells"] = [cell for cell in found["cells"] if cell["state"] in states]

    assert headline in Page(report_html(found)).text


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_every_record_is_in_the_page_as_it_is(name: str) -> None:
    """Packing loses nothing: each text comes back, safe to look at, null as nothing."""
    cells = document(name)["cells"]
    page = Page(report_html(document(name)))

    found = unpacked(json.loads(page.raw["script"][0]))

    assert found == [(entry.verb, entry.state, dict(entry.texts)) for entry in entries(cells)]
    texts = {of_cell["id"]: (state, of_cell) for _, state, of_cell in found}
    assert len(texts) == len(cells)
    for cell in cells:
        state, of_cell = texts[printable(cell["id"])]
        assert state == cell["state"]
        for key in ("why", "sentence", "ask_again", "granted", "message"):
            assert of_cell[key] == printable(cell[key] or "")
        for key in ("declared", "manifest"):
            at = cell[key]
            assert of_cell[key] == (f"{printable(at['file'])}:{at['line']}" if at else "")
        assert of_cell["policy"] == printable(cell["judges"].get("policy", ""))


def test_a_field_that_the_page_does_not_know_is_kept() -> None:
    """What a later version writes of a cell is shown by its name."""
    found = document("small")
    found["cells"][0]["known_difference"] = {"judge": "review"}

    packed = pack(entries(found["cells"]))

    assert "known_difference" in packed["fields"]
    assert '{"judge": "review"}' in packed["texts"]


def test_hostile_names_add_no_element_and_no_control_character() -> None:
    """The page of hostile names has the same kinds of elements, attributes and scripts."""
    html = report_html(document("hostile"))
    hostile, small = Page(html), Page(report_html(document("small")))

    def shape(page: Page) -> set[tuple[str, frozenset[str]]]:
        return {(tag, frozenset(attributes)) for tag, attributes in page.elements}

    assert shape(hostile) <= shape(small)
    assert len(hostile.raw["script"]) == len(small.raw["script"]) == 2
    assert not re.search("[<>&]", hostile.raw["script"][0])
    assert not re.search("[^\n\x20-\x7e\xa0-\ud7ff]|[\u2028-\u202e\u2066-\u2069]", html)
    assert "<img src=x onerror=\"window.attacked='why'\">" in " ".join(hostile.text)


def test_it_needs_no_network_and_runs_only_its_own_script() -> None:
    """Nothing is linked, and the policy names the style and the script by their hashes."""
    page = Page(report_html(document("small")))
    links = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "action", "srcset", "poster", "data") and value
    ]
    (policy,) = [meta["content"] for meta in page.attributes("meta") if "http-equiv" in meta]

    assert [link for link in links if not link.startswith(("#", "data:image/svg+xml,"))] == []
    assert not any("://" in text.replace("http://www.w3.org", "") for text in page.raw["style"])
    (style,), (_, script) = page.raw["style"], page.raw["script"]
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (style, script)
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashes[0]}; script-src {hashes[1]}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not any(name.startswith("on") for _, each in page.elements for name in each)


def test_many_problems_are_cut_with_a_count() -> None:
    """The first ones are written out; the numbers of the others are said."""
    (cell,) = [
        cell for cell in document("small")["cells"] if cell["id"] == "shop:clerk:team-a:get:secrets"
    ]
    found = document("small")
    found["cells"] = [
        {
            **cell,
            "resource": f"secrets{row}",
            "cause": line + 1,
            "id": f"{line}-{row}",
        }
        for line in range(SHOWN_PROBLEMS + 3)
        for row in range(SHOWN_ROWS + 2)
    ]
    page = Page(report_html(found))

    assert len(page.attributes("article")) == SHOWN_PROBLEMS
    assert len(page.attributes("button")) == SHOWN_PROBLEMS * SHOWN_ROWS + 1
    assert page.text.count("and 2 cells more of 2 rows: “only wrong” in the matrix shows them") == (
        SHOWN_PROBLEMS
    )
    assert "and 3 problems more: “only wrong” in the matrix shows them" in page.text


def test_cells_are_one_problem_where_one_line_is_the_cause() -> None:
    """The same subject, outcome, expectation and manifest line; too much access comes first."""
    found = problems(entries(document("small")["cells"]))

    assert [
        (
            problem.outcome,
            problem.first.texts["manifest"],
            [entry.verb for _, entry in problem.cells],
        )
        for problem in found
    ] == [
        ("unexpectedly allowed", "manifests/shop/role.yaml:7", ["get", "list", "watch"]),
        ("unexpectedly denied", "manifests/shop/role.yaml:7", ["watch"]),
        ("the judges disagree", "", ["list"]),
    ]


def test_twenty_thousand_cells_stay_small() -> None:
    """Half a megabyte at most, however much the records repeat."""
    cells = document("small")["cells"]
    found = document("small")
    found["cells"] = [
        {**cell, "scenario": f"scenario-{copy}", "id": f"scenario-{copy}:{cell['id']}"}
        for copy in range(20_000 // len(cells) + 1)
        for cell in cells
    ]

    assert len(found["cells"]) > 20_000
    assert len(report_html(found)) < 500_000


def test_the_command_makes_the_page_again(tmp_path: Path) -> None:
    """From a verdicts.json, the same page that the run wrote."""
    target = tmp_path / "again.html"

    main([str(DOCUMENTS / "small.json"), str(target)])

    assert target.read_text(encoding="utf-8") == report_html(document("small"))


BROKEN: Final = {
    "half-a-file": ('{"schema": ', "is not a whole verdicts.json: "),
    "another-schema": ('{"schema": "rbac-matrix/verdicts/v9"}', "has the schema 'rbac-matrix/verd"),
    "no-object": ("[]", "has the schema None, not 'rbac-matrix/verdicts/v2': make the page with"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_the_command_refuses_another_file(content: str, message: str, tmp_path: Path) -> None:
    """A sentence that names the file, and no page."""
    source, target = tmp_path / "verdicts.json", tmp_path / "report.html"
    source.write_text(content, encoding="utf-8")

    with pytest.raises(SystemExit, match=re.escape(f"{source} {message}")):
        main([str(source), str(target)])

    assert not target.exists()


@pytest.mark.parametrize("arguments", [[], ["verdicts.json"]], ids=len)
def test_the_command_says_how_it_is_used(arguments: list[str]) -> None:
    """With too few arguments."""
    with pytest.raises(SystemExit, match=r"usage: python -m rbac_matrix\.report\.html"):
        main(arguments)


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_the_documents_are_what_a_run_writes(name: str) -> None:
    """The recorded ones are valid by the schema."""
    validator("verdicts").validate(document(name))
