"""A headless Chromium, the reports that it opens, and what it measured."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from rbac_matrix.cell import VERBS
from rbac_matrix.offline import judge_offline, stock_cluster, verdicts_of
from rbac_matrix.recorded import NEWEST
from rbac_matrix.report.html import write_html
from rbac_matrix.report.verdicts_file import verdicts_document
from rbac_matrix.scenario_file import built_in_samples, load_scenario

FOLDER: Final = Path(__file__).parent
REPOSITORY: Final = FOLDER.parents[1]
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OpenReport = Callable[..., Page]

_MEASURED: Final = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium or Chrome of this host: nothing is downloaded."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        reason = f"there is no {', '.join(PROGRAMS)} on PATH (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: CI must look at the report", pytrace=False)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """A run with something of everything: 44 cells, 5 of them wrong."""
    return _document("small")


@pytest.fixture(scope="session")
def hostile() -> dict[str, Any]:
    """A run whose every name and text is an attack."""
    return _document("hostile")


@pytest.fixture(scope="session")
def large() -> dict[str, Any]:
    """20,000 cells of 15 subjects; a wildcard turned 2,000 of them wrong."""
    return {**_document("small"), "cells": [_cell(number) for number in range(20_000)]}


@pytest.fixture(scope="session")
def widened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The job robot's scenario with a resource more in its Role, by the policy judge."""
    folder = tmp_path_factory.mktemp("widened")
    shutil.copytree(REPOSITORY / "manifests" / "job-robot", folder / "manifests" / "job-robot")
    role = folder / "manifests" / "job-robot" / "role.yaml"
    text = role.read_text(encoding="utf-8")
    role.write_text(text.replace("resources: [pods]", "resources: [pods, secrets]"), "utf-8")
    (folder / "tests" / "access").mkdir(parents=True)
    file = folder / "tests" / "access" / "job-robot.yaml"
    shutil.copy(REPOSITORY / "tests" / "access" / "job-robot.yaml", file)
    stock = stock_cluster(NEWEST)
    judged = judge_offline(load_scenario(file, stock.discovery, built_in_samples()), stock)
    verdicts = [*verdicts_of(judged, stock)]
    return verdicts_document("embedded", f"{NEWEST}.0", verdicts, datetime.now(UTC))


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complains of; a test that provokes it takes it away again."""
    return []


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path, complaints: list[str]) -> Iterator[OpenReport]:
    """Open the report of a document, or a page without one; any complaint fails the test."""
    file = tmp_path / "report.html"
    contexts = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def opened(
        document: dict[str, Any] | None,
        width: int = 1400,
        scheme: str = "light",
        *,
        javascript: bool = True,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=javascript,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)  # ms
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda sent: sent.url == file.as_uri() or complaints.append(sent.url))
        if document is not None:
            page.goto(write_html(file, document).as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()

    assert complaints == []


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Take a line for the end of the run."""
    return request.config.stash.setdefault(_MEASURED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was measured."""
    for line in terminalreporter.config.stash.get(_MEASURED, []):
        terminalreporter.line(line)


def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _cell(number: int) -> dict[str, Any]:
    """A record as a run writes it: each subject has 41 resources in 4 scopes, and 8 verbs."""
    verb = VERBS[number % 8]
    scope = ("shop", "bystander", "kube-system", None)[number // 8 % 4]
    resource = f"resources{number // 32 % 41}"
    subject = number // (32 * 41)
    wrong = scope == "shop" and subject % 4 == 0 and number % 10 < 8
    allowed = not wrong and scope == "bystander" and number // 32 % 41 < 3
    scenario, user = f"scenario-{subject // 2}", f"robot-{subject}"
    where = f"in {scope}" if scope else "at cluster scope"
    said = "allowed" if wrong or allowed else "denied"
    granted = f"RoleBinding {scope}/robots of Role robots, rule 1" if said == "allowed" else ""
    status = 200 if wrong or allowed else 403
    return {
        "id": f"{scenario}:{user}:{scope or '-'}:{verb}:{resource}.example.com",
        "scenario": scenario,
        "subject": f"shop/{user}",
        "verb": verb,
        "group": "example.com",
        "resource": resource,
        "subresource": "",
        "name": None,
        "namespace": scope,
        "path": None,
        "state": "wrong" if wrong else "allowed" if allowed else "denied",
        "expected": 200 if allowed else 403,
        "why": f"no line allows it to {user} (default deny)",
        "declared": {"file": f"tests/access/{scenario}.yaml", "line": subject + 10},
        "outcome": "unexpectedly allowed" if wrong else "as expected",
        "sentence": f"{user} may not {verb} {resource}.example.com {where} ({status})",
        "judges": dict.fromkeys(("policy", "review", "request"), said),
        "granted": granted or None,
        "nearest": f"no rule of any role that is bound to it speaks of {resource}",
        "manifest": {"file": f"manifests/{scenario}/role.yaml", "line": 7} if granted else None,
        "documented": None,
        "not_requested": None,
        "request": f"GET /apis/example.com/v1/{resource}/sample",
        "ask_again": f"kubectl auth can-i {verb} {resource} --as=system:serviceaccount:shop:{user}",
        "answer": "ok" if status == 200 else "denied by RBAC",
        "status": status,
        "message": f'{resource} "sample" is forbidden to {user}',
        "cause": subject // 4 + 1 if wrong else None,
    }
