"""`verdicts.json`: every cell with what was expected and what came, for machines."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Final

from rbac_matrix.cell import PathQuestion
from rbac_matrix.report.causes import causes
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime
    from pathlib import Path

    from rbac_matrix.cell import Question
    from rbac_matrix.errors import Position
    from rbac_matrix.verdict import Verdict

SCHEMA: Final = "rbac-matrix/verdicts/v2"
FILE: Final = "verdicts.json"


def verdicts_document(
    provider: str, kubernetes_version: str, verdicts: Collection[Verdict], ended: datetime
) -> dict[str, Any]:
    """The content of the file; it holds no token and nothing that a subject could read.

    Args:
        provider: The kind of cluster.
        kubernetes_version: Its version.
        verdicts: One a cell.
        ended: When the run ended, with a time zone.
    """
    found = enumerate(causes(verdicts), 1)
    numbers = {id(verdict): number for number, cause in found for verdict in cause.verdicts}
    # A few hundred lines decide tens of thousands of cells.
    place = functools.cache(_place)
    return {
        "schema": SCHEMA,
        "provider": provider,
        "kubernetes_version": kubernetes_version,
        "ended": ended.isoformat(timespec="seconds"),
        "cells": [_record(verdict, numbers.get(id(verdict)), place) for verdict in verdicts],
    }


def write_verdicts(folder: Path, document: dict[str, Any]) -> Path:
    """Write `verdicts.json` of a document into the report folder, which is made when absent.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    head = {key: value for key, value in document.items() if key != "cells"}
    # A cell a line, so that text tools can search, compare and cut a report of any size; written
    # line by line, because all of it at once is most of the memory that a run would need.
    with file.open("w", encoding="utf-8") as stream:
        stream.write(f'{json.dumps(head)[:-1]}, "cells": [')
        for number, record in enumerate(document["cells"]):
            stream.write(f"{',' if number else ''}\n{json.dumps(record)}")
        stream.write("\n]}\n")
    return file


def _record(
    verdict: Verdict, cause: int | None, place: Callable[[Position], dict[str, Any]]
) -> dict[str, Any]:
    cell, expectation, answer = verdict.cell, verdict.expectation, verdict.answer
    evidence = verdict.evidence
    judges = {name: str(opinion) for name, opinion in evidence.opinions.items()} if evidence else {}
    granted = nearest = None
    if rule := evidence and evidence.policy:
        judges["policy"] = rule.said  # Why is said beside it.
        granted, nearest = (rule.reason, None) if rule.allowed else (None, rule.reason)
    return {
        "id": cell.id,
        "scenario": cell.scenario,
        "subject": str(cell.subject),
        **_question(cell.question),
        "state": _state(verdict),
        "expected": expectation.status or 403,
        "why": expectation.why,
        "declared": place(expectation.at),
        "outcome": str(verdict.outcome),
        "sentence": verdict.sentence,
        "judges": judges,
        "granted": granted or None,
        "nearest": nearest or None,
        "manifest": place(rule.at) if rule and rule.at else None,
        "documented": verdict.documented or None,
        "not_requested": evidence.not_requested or None if evidence else None,
        "request": verdict.request.line if verdict.request else None,
        "ask_again": verdict.ask_again,
        "answer": str(answer.answer_class) if answer else None,
        "status": answer.status if answer else None,
        "message": answer.message if answer else verdict.reason,
        "cause": cause,
    }


def _place(at: Position) -> dict[str, Any]:
    return {"file": at.shown, "line": at.line}


def _state(verdict: Verdict) -> str:
    """What a matrix shows of a cell."""
    if verdict.outcome is Outcome.NOT_ASKED:
        return "not asked"
    if not verdict.as_expected:
        return "wrong"
    return "allowed" if verdict.expectation.status else "denied"


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
