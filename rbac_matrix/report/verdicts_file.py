"""`verdicts.json`: every cell with what was expected and what came, for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import PathQuestion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rbac_matrix.cell import Question
    from rbac_matrix.verdict import Verdict

SCHEMA: Final = "rbac-matrix/verdicts/v1"


def write_verdicts(
    folder: Path, provider: str, kubernetes_version: str, verdicts: Iterable[Verdict]
) -> Path:
    """Write the file; it holds no token and nothing that a subject could read.

    Args:
        folder: The report folder; made when absent.
        provider: The kind of cluster.
        kubernetes_version: Its version.
        verdicts: One a cell.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "verdicts.json"
    head = {"schema": SCHEMA, "provider": provider, "kubernetes_version": kubernetes_version}
    # A cell a line, so that text tools can search, compare and cut a report of any size.
    records = ",\n".join(json.dumps(_record(verdict)) for verdict in verdicts)
    file.write_text(f'{json.dumps(head)[:-1]}, "cells": [\n{records}\n]}}\n', encoding="utf-8")
    return file


def _record(verdict: Verdict) -> dict[str, Any]:
    cell, expectation, answer = verdict.cell, verdict.expectation, verdict.answer
    opinions = verdict.evidence.opinions if verdict.evidence else {}
    return {
        "id": cell.id,
        "scenario": cell.scenario,
        "subject": str(cell.subject),
        **_question(cell.question),
        "expected": expectation.status or 403,
        "why": expectation.why,
        "declared": str(expectation.at),
        "outcome": str(verdict.outcome),
        "sentence": verdict.sentence,
        "judges": {name: str(opinion) for name, opinion in opinions.items()},
        "nearest": verdict.nearest or None,
        "not_requested": verdict.evidence.not_requested or None if verdict.evidence else None,
        "request": verdict.request.line if verdict.request else None,
        "answer": str(answer.answer_class) if answer else None,
        "status": answer.status if answer else None,
        "message": answer.message if answer else verdict.reason,
    }


def _question(question: Question) -> dict[str, str | None]:
    if isinstance(question, PathQuestion):
        none = dict.fromkeys(("group", "resource", "subresource", "name", "namespace"))
        return {"verb": question.verb, **none, "path": question.path}
    return {
        "verb": question.verb,
        "group": question.resource.group,
        "resource": question.resource.plural,
        "subresource": question.resource.subresource,
        "name": question.name or None,
        "namespace": question.namespace,
        "path": None,
    }
