"""The HTML report in a real browser: what it shows, how it is used, and how fast it is."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    OpenReport = Callable[..., Page]
    Document = dict[str, Any]

LIMIT: Final = 300.0  # milliseconds that opening and filtering 20,000 cells may take
ATTEMPTS: Final = 3  # of which the best counts
DOM_LIMIT: Final = 6_000  # elements, whatever the number of cells
DENIED: Final = "\N{EN DASH}"
SIZES: Final = (400, 1400)
SCHEMES: Final = ("light", "dark")


def cell(page: Page, name: str) -> Locator:
    """The button of a cell, by how a screen reader says it."""
    return page.locator("#tables").get_by_role("button", name=name, exact=True)


def unfold(page: Page) -> None:
    """Open what is folded away."""
    folds = page.locator("#tables details:not([open]) > summary")
    while folds.count():
        folds.first.click()


def shown(page: Page) -> set[str]:
    """What the cells that the filter lets through say."""
    unfold(page)
    return set(
        page.locator("#tables button.cell:not(.beside)").evaluate_all(
            "cells => cells.map((cell) => cell.getAttribute('aria-label'))"
        )
    )


def said(record: Document) -> str:
    """What the cell of a record says."""
    resource = record["path"] or record["resource"]
    if not record["path"]:
        resource += f".{record['group']}" if record["group"] else ""
        resource += f"/{record['subresource']}" if record["subresource"] else ""
        resource += f' "{record["name"]}"' if record["name"] else ""
        resource += f" in {record['namespace']}" if record["namespace"] else " at cluster scope"
    return f"{record['verb']} {resource}: {record['state']}"


# --- what it shows ------------------------------------------------------------------------------


def test_every_cell_is_in_the_matrix_and_in_the_counts(
    open_report: OpenReport, small: Document
) -> None:
    """Each cell is there once, by its state; what is uninteresting is folded, not left out."""
    page = open_report(small)

    assert shown(page) == {said(record) for record in small["cells"]}
    assert page.locator("#tables button.cell").count() == len(small["cells"])
    assert page.locator(".counts").inner_text().split() == [
        *("✗", "5", "wrong", "✓", "9", "allowed", DENIED, "29", "denied", "?", "1", "not", "asked")
    ]


TOLD: Final = ("sentence", "why", "granted", "nearest", "not_requested", "request", "ask_again")


def place(written: Document | None) -> str:
    """How a page says where something is written."""
    return f"{written['file']}:{written['line']}" if written else ""


def test_a_cell_opens_its_verdict(open_report: OpenReport, small: Document) -> None:
    """Every text of the record is in the dialog: why, the judges, the rule, how to ask again."""
    page = open_report(small)
    names = [said(record) for record in small["cells"]]
    unfold(page)
    for record in small["cells"]:
        same = names.count(said(record))
        if same > 1:
            continue  # the stock paths of each subject are read alike
        cell(page, said(record)).click()
        text = page.locator("#verdict").inner_text()

        judges = [said.partition(": ")[2] for said in record["judges"].values()]
        places = [place(record[key]) for key in ("declared", "manifest")]
        for wanted in (*(record[key] for key in TOLD), *judges, *places):
            assert (wanted or "") in text
        assert record["message"] in text
        assert record["id"] in text
        page.keyboard.press("Escape")


def test_the_first_screen_names_permission_and_line(
    open_report: OpenReport, small: Document
) -> None:
    """Without scrolling: who could do what, the manifest line that grants it, what was expected."""
    page = open_report(small)
    first = page.locator(".problem").first
    box = first.bounding_box()

    assert box is not None
    assert box["y"] + box["height"] < 900
    assert " ".join(first.inner_text().split()) == (
        "team-a/clerk unexpectedly allowed get list watch secrets in team-a "
        "Granted by manifests/shop/role.yaml:7 "
        "RoleBinding team-a/clerk of Role clerk to ServiceAccount team-a/clerk, rule 1 "
        "Expected tests/access/shop.yaml:12 no line allows it to clerk (default deny) "
        "Scenario shop"
    )


def test_all_subjects_are_put_together(open_report: OpenReport, small: Document) -> None:
    """The other view counts subjects in a cell, and opening it lists them."""
    page = open_report(small)
    page.get_by_label("All subjects").check()
    cell(page, "get secrets in team-a: wrong for 1 of 2").click()
    dialog = page.locator("#verdict")

    assert dialog.get_by_role("heading").inner_text() == "Who may get secrets in team-a?"
    assert [each.strip() for each in dialog.locator("li").all_inner_texts()] == [
        "✗ team-a/clerk wrong, shop",
        f"{DENIED} team-a/porter denied, shop",
    ]

    dialog.get_by_role("button", name="team-a/porter").click()

    assert "porter may not get secrets" in dialog.get_by_role("heading", level=2).inner_text()

    dialog.get_by_role("button", name="Back").click()

    assert dialog.locator("li").count() == 2


def test_it_says_what_is_wrong_without_javascript(open_report: OpenReport, small: Document) -> None:
    """A viewer that runs no scripts still gets counts and causes, and is told what it misses."""
    page = open_report(small, javascript=False)

    assert page.locator(".problem").count() == 3
    assert "need JavaScript" in page.locator("noscript").inner_text()
    assert not page.locator("#filters").is_visible()


def test_a_widened_role_is_seen_in_its_cell(open_report: OpenReport, widened: Document) -> None:
    """On the first screen, and in each of its cells: the permission and the manifest's line."""
    page = open_report(widened)
    first = " ".join(page.locator(".problem").first.inner_text().split())

    assert first.startswith(
        "default/job-robot unexpectedly allowed get list watch secrets in default Granted by "
    )
    for verb in ("get", "list", "watch"):
        cell(page, f"{verb} secrets in default: wrong").click()
        dialog = page.locator("#verdict")
        granted = dialog.locator("section", has_text="Granted by")

        assert dialog.get_by_role("heading", level=2).inner_text() == (
            f"job-robot may not {verb} secrets in default, but it is granted"
        )
        assert granted.locator(".place").inner_text().endswith("manifests/job-robot/role.yaml:7")

        page.keyboard.press("Escape")


# --- filters ------------------------------------------------------------------------------------

LISTS: Final = 6  # cells of the small report whose verb is list
FILTERS: Final[dict[str, tuple[dict[str, str], Callable[[Document], bool]]]] = {
    "subject": (
        {"Subject": "team-a/porter"},
        lambda record: record["subject"] == "team-a/porter",
    ),
    "namespace": ({"Namespace": "team-b"}, lambda record: record["namespace"] == "team-b"),
    "cluster-scope": ({"Namespace": "cluster scope"}, lambda record: record["namespace"] is None),
    "verb": ({"Verb": "list"}, lambda record: record["verb"] == "list"),
    "resource": ({"Resource or path": "secrets"}, lambda record: record["resource"] == "secrets"),
    "path": ({"Resource or path": "/metrics"}, lambda record: record["path"] == "/metrics"),
    "only-wrong": ({"Only wrong": ""}, lambda record: record["state"] == "wrong"),
    "text": (
        {"Text": "SCALE web"},
        lambda record: (record["name"], record["subresource"]) == ("web", "scale"),
    ),
    "a-line-of-a-manifest": (
        {"Text": "manifests/bank/role.yaml:10"},
        lambda record: place(record["manifest"]) == "manifests/bank/role.yaml:10",
    ),
    "an-id": (
        {"Text": "shop:clerk:team-a:get:secrets"},
        lambda record: record["id"] == "shop:clerk:team-a:get:secrets",
    ),
    "several": (
        {"Subject": "team-a/clerk", "Verb": "get", "Only wrong": ""},
        lambda record: (record["verb"], record["state"]) == ("get", "wrong"),
    ),
    "nothing": ({"Text": "no such text"}, lambda _: False),
}


@pytest.mark.parametrize(("fields", "wanted"), FILTERS.values(), ids=FILTERS)
def test_a_filter_lets_exactly_its_cells_through(
    fields: dict[str, str],
    wanted: Callable[[Document], bool],
    open_report: OpenReport,
    small: Document,
) -> None:
    """The matrix shows them, the live region counts them, and "Show all" brings back the rest."""
    page = open_report(small)
    for label, value in fields.items():
        field = page.locator("#filters").get_by_label(label, exact=True)
        if label == "Text":
            field.fill(value)
        elif label == "Only wrong":
            field.check()
        else:
            field.select_option(label=value)
    expected = [record for record in small["cells"] if wanted(record)]

    assert shown(page) == {said(record) for record in expected}
    assert page.get_by_role("status").inner_text() == f"{len(expected)} of 44 cells"

    page.get_by_role("button", name="Show all").click()

    page.get_by_role("status").get_by_text("44 cells", exact=True).wait_for()


def test_a_filter_is_in_the_address(open_report: OpenReport, small: Document) -> None:
    """Who is sent the address sees the same cells; a link within the page changes nothing."""
    page = open_report(small)
    page.locator("#subject").select_option(label="team-a/clerk")
    page.locator("#scope").select_option(label="team-a")
    page.locator("#text").fill("role.yaml:7 watch")
    page.get_by_label("Only wrong").check()
    cells = shown(page)
    address = page.url

    assert address.partition("#")[2] == (
        "subject=team-a%2Fclerk&scope=team-a&text=role.yaml%3A7+watch&wrong=1"
    )
    assert len(cells) == 2

    other = open_report(None)
    other.goto(address)

    assert shown(other) == cells

    other.evaluate("location.hash = '#matrix'")

    assert shown(other) == cells

    other.evaluate("location.hash = '#view=subjects&verb=list&scope=no-such&subject=<b>'")
    other.get_by_role("status").get_by_text(f"{LISTS} of 44 cells", exact=True).wait_for()

    assert other.get_by_label("All subjects").is_checked()

    other.get_by_role("button", name="Show all").click()
    other.get_by_role("status").get_by_text("44 cells", exact=True).wait_for()

    assert other.url.endswith("report.html#")


# --- keyboard and screen readers ----------------------------------------------------------------


def test_the_matrix_is_used_by_keyboard(open_report: OpenReport, small: Document) -> None:
    """Tab reaches a grid once, arrows move in it, Enter opens, Escape gives the focus back."""
    page = open_report(small)

    def focused() -> str:
        return str(page.evaluate("document.activeElement.getAttribute('aria-label')"))

    page.locator(".scenario > summary").first.focus()
    page.keyboard.press("Tab")

    assert focused() == "get configmaps in team-a: allowed"

    keys = {
        "ArrowRight": "list configmaps in team-a: allowed",
        "ArrowDown": "list configmaps in team-b: denied",
        "End": "deletecollection configmaps in team-b: denied",
        "Home": "get configmaps in team-b: denied",
        "ArrowUp": "get configmaps in team-a: allowed",
        "PageDown": "get secrets in team-a: wrong",
        "Control+End": "list leases.coordination.k8s.io in team-b: wrong",
        "ArrowLeft": "list leases.coordination.k8s.io in team-b: wrong",  # the end of the row
        "Control+Home": "get configmaps in team-a: allowed",
    }
    for key, name in keys.items():
        page.keyboard.press(key)
        assert focused() == name, key

    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.textContent") == (
        "clerk may get configmaps in team-a (200)"
    )

    page.keyboard.press("Escape")

    assert not page.locator("#verdict").is_visible()
    assert focused() == "get configmaps in team-a: allowed"

    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"  # out of the grid


def test_wrong_cells_are_walked_through_in_their_order(
    open_report: OpenReport, small: Document
) -> None:
    """From one verdict to the next, round and round, in the order of the causes."""
    page = open_report(small)
    page.locator(".problem .verb").first.click()
    dialog = page.locator("#verdict")
    seen = []
    for _ in range(6):
        seen.append(dialog.get_by_role("heading", level=2).inner_text().split(",")[0])
        dialog.get_by_role("button", name="Next").click()

    assert seen == [
        "clerk may not get secrets in team-a",
        "clerk may not list secrets in team-a",
        "clerk may not watch secrets in team-a",
        "clerk may watch configmaps in team-a",
        "clerk may not list leases.coordination.k8s.io in team-b",
        "clerk may not get secrets in team-a",
    ]


def test_a_command_is_copied(open_report: OpenReport, small: Document) -> None:
    """One press, and the command is in the clipboard."""
    page = open_report(small)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".problem .verb").first.click()
    page.locator("#verdict .command button").last.click()

    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == (
        "kubectl auth can-i get secrets --as=system:serviceaccount:team-a:clerk -n team-a"
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_axe_finds_nothing(
    width: int, scheme: str, open_report: OpenReport, small: Document
) -> None:
    """No violation of accessibility rules, in whatever state the page is."""
    page = open_report(small, width, scheme)
    rules = {"resultTypes": ["violations"]}

    def check(state: str) -> None:
        found = Axe().run(page, options=rules)

        assert found.violations_count == 0, f"{state}: {found.generate_report()}"

    check("as opened")
    unfold(page)
    check("unfolded")
    page.get_by_label("Text").fill("secrets")
    check("filtered")
    page.get_by_label("Text").fill("no such text")
    check("nothing found")
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("All subjects").check()
    check("all subjects")
    cell(page, "get secrets in team-a: wrong for 1 of 2").click()
    check("a list of subjects")
    page.locator("#verdict li button").first.click()
    check("a verdict")


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("document", ["small", "hostile"])
def test_nothing_is_wider_than_the_page(
    width: int, document: str, open_report: OpenReport, request: pytest.FixtureRequest
) -> None:
    """However long a name is, a reader scrolls down only."""
    page = open_report(request.getfixturevalue(document), width)

    assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.locator(".problem .verb").first.click()

    assert page.locator("#verdict").evaluate("it => it.scrollWidth <= it.clientWidth")


def test_it_prints_all_scenarios(open_report: OpenReport, small: Document) -> None:
    """On paper every scenario is open and nothing is there to press; afterwards it is as before."""
    page = open_report(small)
    page.locator(".scenario > summary").first.click()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.locator(".scenario > .body > .subject").count() == 3
    assert not page.locator("#filters").is_visible()
    assert page.locator(".problem").first.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")

    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")

    assert page.locator("#filters").is_visible()


# --- safety -------------------------------------------------------------------------------------


def test_hostile_names_are_only_text(open_report: OpenReport, hostile: Document) -> None:
    """Markup, scripts and control characters in any field are shown, never carried out."""
    page = open_report(hostile)
    for view in ("By scenario", "All subjects"):
        page.get_by_label(view).check()
        buttons = page.locator("#tables button.cell")
        for number in range(buttons.count()):
            buttons.nth(number).click()
            page.keyboard.press("Escape")
    page.locator(".problem .verb").first.click()

    assert "why <img src=x onerror=\"window.attacked='why'\">" in page.inner_text("#verdict")
    assert page.evaluate("window.attacked") is None
    assert page.locator("img, b[id], main script, dialog script").count() == 0
    assert not re.search("[\u0000-\u0008\u001b\u202a-\u202e\u2066-\u2069]", page.content())


def test_the_policy_of_the_page_runs_no_other_script(
    open_report: OpenReport, small: Document, complaints: list[str]
) -> None:
    """Were markup to get through all the same, the browser would refuse to run it."""
    page = open_report(small)
    refused = page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => {
              resolve(event.effectiveDirective);
            });
            const script = document.createElement("script");
            script.textContent = "window.attacked = true";
            document.body.append(script);
        })"""
    )

    complaints.clear()  # of the refusal

    assert refused == "script-src-elem"
    assert page.evaluate("window.attacked") is None


# --- speed --------------------------------------------------------------------------------------

AFTER_PAINT: Final = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
CHANGES: Final = {
    "only wrong": "form.elements.wrong.checked = true",
    "subject": "form.elements.subject.selectedIndex = 3",
    "namespace": "form.elements.scope.selectedIndex = 1",
    "verb": "form.elements.verb.selectedIndex = 2",
    "resource": "form.elements.question.selectedIndex = 5",
    "text": "form.elements.text.value = 'robot-3 delete'",
    "every cell": "form.elements.text.value = 'robot'",
    "all subjects": "form.elements.view.value = 'subjects'",
}


class Stopwatch:
    """How long a page is busy and a reader waits.

    The machine may be busy too, with other programs: only the processor time of the page's own
    thread, which reads, computes, lays out and paints, says something about the page.
    """

    def __init__(self, page: Page) -> None:
        """Start."""
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._page = page
        self._before = 0.0
        self._began = time.monotonic()

    def restart(self) -> None:
        """Count from here."""
        self._before = self._busy()
        self._began = time.monotonic()

    def stop(self) -> tuple[float, float]:
        """Milliseconds of processor time, and of waiting, until what was drawn is painted."""
        self._page.evaluate(AFTER_PAINT)
        waited = time.monotonic() - self._began
        return (self._busy() - self._before) * 1000, waited * 1000

    def _busy(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def test_20000_cells_open_and_filter_at_once(
    open_report: OpenReport, large: Document, measured: Callable[[str], None]
) -> None:
    """Opening, and each filter, take under 300 ms until painted; the document stays small."""
    times: dict[str, list[tuple[float, float]]] = {"open": []}
    file = open_report(large).url
    for _ in range(ATTEMPTS):
        page = open_report(None)
        watch = Stopwatch(page)
        page.goto(file)
        times["open"].append(watch.stop())
    elements = 0
    for name, change in CHANGES.items():
        for _ in range(ATTEMPTS):
            page.get_by_role("button", name="Show all").click()
            page.evaluate(AFTER_PAINT)
            watch.restart()
            page.evaluate(
                f"""() => {{
                    const form = document.getElementById("filters");
                    {change};
                    form.dispatchEvent(new Event("input"));
                }}"""
            )
            times.setdefault(name, []).append(watch.stop())
            elements = max(elements, page.evaluate("document.querySelectorAll('*').length"))
    best = {name: tuple(map(min, zip(*taken, strict=True))) for name, taken in times.items()}
    each = ", ".join(f"{name} {busy:.0f} ({waited:.0f})" for name, (busy, waited) in best.items())
    measured(
        f"report of {len(large['cells'])} cells, at most {elements} elements; milliseconds of "
        f"processor time (and until painted), best of {ATTEMPTS}: {each}"
    )

    assert {name: busy for name, (busy, _) in best.items() if busy >= LIMIT} == {}
    assert elements < DOM_LIMIT
