"""The records of `verdicts.json` in an order to read, and as compact as a page can carry them.

A text of a record mostly repeats what its row says already: the subject, the verb, the resource,
the scope. Those are replaced by placeholders, and what is equal then is kept once. The 18 MB of
17,000 records become half a megabyte, which a browser reads in a few milliseconds.
"""

from __future__ import annotations

import collections
import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rbac_matrix.cell import VERBS, ResourceName
from rbac_matrix.verdict import printable

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

_Value = TypeVar("_Value", bound="Hashable")
STATES: Final = ("allowed", "denied", "wrong", "not asked")
JUDGES: Final = ("policy", "review", "request")
_TABLES: Final = ("scenarios", "subjects", "scopes", "questions")
_IN_THE_ROW: Final = frozenset(
    ("scenario", "subject", "group", "resource", "subresource", "name", "namespace", "path")
)
_ELSEWHERE: Final = frozenset(("verb", "state", "cause", "judges", "request"))
_FIRST_PLACEHOLDER: Final = 0xE000  # for private use, so not printable: no text has it


@dataclass(frozen=True)
class Row:
    """A row of a matrix: all verbs of one subject, resource or path, and scope.

    Attributes:
        scenario: Its name.
        subject: `namespace/name`.
        scope: The namespace; empty at cluster scope.
        resource: The resource and the object's name; None for a path.
        path: The path; empty for a resource.
    """

    scenario: str
    subject: str
    scope: str
    resource: tuple[ResourceName, str] | None
    path: str

    @property
    def what(self) -> str:
        """`jobs.batch/status`, `endpoints "blog"`, `/metrics`."""
        if self.resource is None:
            return self.path
        resource, name = self.resource
        return f'{resource} "{name}"' if name else str(resource)

    @property
    def user(self) -> str:
        """The user name that the API server gives the subject's token."""
        return f"system:serviceaccount:{self.subject.replace('/', ':')}"

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """What the row says, for each of `_TABLES`; the page shows the first of each."""
        resource, name = self.resource or (ResourceName("", ""), "")
        group, plural, subresource = resource.group, resource.plural, resource.subresource
        return (
            (self.scenario,),
            (self.subject, self.user, self.subject.partition("/")[2]),
            (self.scope,),
            (self.what, self.path, plural, group, subresource, name),
        )


@dataclass(frozen=True)
class Entry:
    """A cell as the page shows it.

    Attributes:
        row: Where it stands.
        verb: Its column.
        state: One of `STATES`.
        cause: The number of the cause that it shares with others; None where it is not wrong.
        texts: Everything else that the record says, by its key; safe to look at.
    """

    row: Row
    verb: str
    state: str
    cause: int | None
    texts: Mapping[str, str]


def entries(cells: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The records in the order of the page.

    Scenarios, subjects and namespaces stay in the order in which they come; below them resources
    are sorted by group and name, and paths are last.
    """
    records = [{key: _shown(value) for key, value in cell.items()} for cell in cells]
    scenarios = _numbered(record["scenario"] for record in records)
    subjects = _numbered(record["subject"] for record in records)
    scopes = _numbered((record["scenario"], record["namespace"]) for record in records)
    verbs = _numbered([*VERBS, *(record["verb"] for record in records)])

    def order(record: Mapping[str, Any]) -> tuple[int | str, ...]:
        return (
            scenarios[record["scenario"]],
            subjects[record["subject"]],
            *(record[key] for key in ("path", "group", "resource", "subresource", "name")),
            not record["namespace"],
            scopes[record["scenario"], record["namespace"]],
            verbs[record["verb"]],
        )

    return [_entry(record) for record in sorted(records, key=order)]


def pack(found: Sequence[Entry]) -> dict[str, Any]:
    """Entries as tables of texts and columns of numbers into them; `page/data.js` reads it."""
    fields = list(dict.fromkeys(key for entry in found for key in entry.texts))
    verbs = _numbered([*VERBS, *(entry.verb for entry in found)])
    tables = [_Table() for _ in _TABLES]
    texts, kinds = _Table(), _Table()
    rows: list[list[int]] = []
    cells: list[tuple[int, int, int]] = []
    own_files = _own_files(found)
    for row, of_row in groupby(found, key=lambda entry: entry.row):
        parts = row.parts
        own = list(of_row)
        stock = _is_stock(own, own_files[row.scenario])
        rows.append([*map(_Table.number, tables, parts), stock, len(cells)])
        said = [text for part in parts for text in part]
        for entry in own:
            places = _placeholders([*said, entry.verb])
            kind = tuple(
                texts.number(_abridged(entry.texts.get(field, ""), places)) for field in fields
            )
            cells.append((verbs[entry.verb], STATES.index(entry.state), kinds.number(kind)))
    return {
        "states": STATES,
        "verbs": list(verbs),
        "fields": fields,
        **{name: table.values for name, table in zip(_TABLES, tables, strict=True)},
        "texts": texts.values,
        "kinds": kinds.values,
        "rows": _columns(rows, len(_TABLES) + 2),
        "cells": _columns(cells, 3),
    }


class _Table:
    """Different values, each with its number."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def number(self, value: Hashable) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> list[Hashable]:
        return list(self._numbers)


def _shown(value: object) -> Any:  # noqa: ANN401 - JSON
    """A value with every text safe to look at; nothing, in whatever form, is an empty text."""
    if isinstance(value, str):
        return value if value.isprintable() else printable(value)
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return value or ""


def _entry(record: Mapping[str, Any]) -> Entry:
    row = Row(
        record["scenario"],
        record["subject"],
        record["namespace"],
        None
        if record["path"]
        else (
            ResourceName(record["group"], record["resource"], record["subresource"]),
            record["name"],
        ),
        record["path"],
    )
    texts = {judge: record["judges"].get(judge, "") for judge in JUDGES}
    for key, value in record.items():
        if key in ("declared", "manifest"):
            texts[key] = f"{value['file']}:{value['line']}" if value else ""
        elif key not in _IN_THE_ROW and key not in _ELSEWHERE:
            texts[key] = value if isinstance(value, str) else json.dumps(value)
    texts["request_line"] = record["request"]
    return Entry(row, record["verb"], record["state"], record["cause"] or None, texts)


def _own_files(found: Iterable[Entry]) -> dict[str, str]:
    """The expectations file of each scenario: the one that declares most of its cells."""
    files: dict[str, collections.Counter[str]] = {}
    for entry in found:
        files.setdefault(entry.row.scenario, collections.Counter())[_file(entry)] += 1
    return {scenario: counted.most_common(1)[0][0] for scenario, counted in files.items()}


def _is_stock(cells: Iterable[Entry], own_file: str) -> bool:
    """Whether a row is granted, but only what every ServiceAccount is on a stock cluster.

    That is declared in the baseline, not in the scenario's own file.
    """
    granted = [entry for entry in cells if entry.state != "denied"]
    return bool(granted) and all(
        entry.state == "allowed" and _file(entry) != own_file for entry in granted
    )


def _file(entry: Entry) -> str:
    return entry.texts["declared"].rpartition(":")[0]


def _placeholders(said: Iterable[str]) -> list[tuple[str, str]]:
    """The texts to replace, the longest first, with what takes their place."""
    numbered = {text: chr(_FIRST_PLACEHOLDER + n) for n, text in enumerate(said) if text}
    return sorted(numbered.items(), key=lambda item: -len(item[0]))


def _abridged(text: str, places: Iterable[tuple[str, str]]) -> str:
    for said, placeholder in places:
        text = text.replace(said, placeholder)
    return text


def _numbered(values: Iterable[_Value]) -> dict[_Value, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _columns(table: Sequence[Sequence[int]], width: int) -> list[list[int]]:
    return [list(column) for column in zip(*table, strict=True)] or [[] for _ in range(width)]
