"""The properties of test cases in JUnit's XML, which pytest writes with `--junit-xml`."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from rbac_matrix.cell import PathQuestion
from rbac_matrix.report.causes import is_wrong, rule_of
from rbac_matrix.report.grid import Mark, mark_of
from rbac_matrix.report.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rbac_matrix.offline import Judged
    from rbac_matrix.report.drift import Drift
    from rbac_matrix.verdict import Verdict


def cell_properties(verdict: Verdict) -> list[tuple[str, str]]:
    """What was asked, what was expected, and what came; what does not apply is left out."""
    cell, question, expectation = verdict.cell, verdict.cell.question, verdict.expectation
    if isinstance(question, PathQuestion):
        asked = {"path": question.path}
    else:
        asked = {
            "resource": str(question.resource),
            "name": question.name,
            "namespace": question.scope,
        }
    rule = rule_of(verdict)
    found = {
        "scenario": cell.scenario,
        "subject": str(cell.subject),
        "verb": question.verb,
        **asked,
        "expected": str(expectation.status or 403),
        "outcome": str(verdict.outcome),
        "answer": str(verdict.answer or ""),
        "declared": str(expectation.at),
        rule.label: rule.text,
        "manifest": str(rule.at or ""),
        "request": verdict.request.line if verdict.request else "",
    }
    return [(name, harmless(value)) for name, value in found.items() if value]


def rest_properties(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """How many cells came out how, and each wrong one with its rule and the manifest's line."""
    counts = collections.Counter(mark_of(verdict) for verdict in verdicts)
    return _properties(counts, [*filter(is_wrong, verdicts)])


def judged_properties(judged: Judged) -> list[tuple[str, str]]:
    """The same of what the policy alone says about a scenario."""
    wrongly = sum(verdict.cell in judged.allowed for verdict in judged.wrong)
    allowed, wrong = len(judged.allowed) - wrongly, len(judged.wrong)
    refused = judged.asked - allowed - wrong
    counts = {Mark.ALLOWED: allowed, Mark.REFUSED: refused, Mark.WRONG: wrong}
    return _properties(counts, judged.wrong)


def drift_properties(drift: Drift) -> list[tuple[str, str]]:
    """What is not as accepted: each change by its kind, with the lines that did it."""
    found = [("accepted", text) for text in drift.wrong]
    for each in drift.differences:
        parts = [each.change.sentence, *(f"{why.label}: {why}" for why in each.reasons)]
        found.append((each.change.kind, "; ".join(parts)))
    return [(name, harmless(text)) for name, text in found]


def _properties(counts: Mapping[Mark, int], wrong: Sequence[Verdict]) -> list[tuple[str, str]]:
    found = [("cells", str(sum(counts.values())))]
    found += [(str(mark), str(counts[mark])) for mark in Mark if counts.get(mark)]
    for verdict in wrong:
        rule = rule_of(verdict)
        parts = [verdict.sentence]
        parts += [f"{rule.label}: {rule.text}"] if rule.text else []
        parts += [f"manifest: {rule.at}"] if rule.at else []
        found.append(("wrong", harmless("; ".join(parts))))
    return found
