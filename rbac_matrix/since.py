"""What changed in the access of scenarios since a git revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbac_matrix.accepted import DENIED, access_of, changes
from rbac_matrix.errors import InputError
from rbac_matrix.offline import judge_offline, stock_cluster
from rbac_matrix.report.drift import Row, granted, reason, table
from rbac_matrix.revision import revision
from rbac_matrix.scenario import built_in_samples, expectation_files, load_scenario
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.accepted import Access, Change
    from rbac_matrix.cell import Cell
    from rbac_matrix.errors import Position
    from rbac_matrix.offline import Judged
    from rbac_matrix.revision import Revision


def changes_since(
    base: str, judged: Sequence[Judged], paths: Sequence[Path], kubernetes_version: str
) -> str:
    """The changes of all scenarios since a revision, as a Markdown table.

    Both sides are judged by this code and on the same stock cluster, so that only the manifests
    and the subjects of the expectations files count.

    Args:
        base: The revision: a branch, a tag or a commit.
        judged: The scenarios of the working tree.
        paths: The expectations files and folders, in the working tree; absolute.
        kubernetes_version: The stock cluster's, `v1.36`.

    Raises:
        RevisionError: The revision cannot be read.
    """
    notes: list[str] = []
    with revision(base, paths[0] if paths[0].is_dir() else paths[0].parent) as at_base:
        before = dict(_judged_at(at_base, paths, kubernetes_version, notes))
        after = {each.scenario.name: each for each in judged}
        unread = {note.partition(":")[0] for note in notes}
        rows = [
            row
            for name in sorted({*before, *after} - unread)
            for row in _rows(name, before.get(name), after.get(name), at_base)
        ]
        return table(base, rows, notes)


def _judged_at(
    at_base: Revision, paths: Sequence[Path], kubernetes_version: str, notes: list[str]
) -> Iterator[tuple[str, Judged]]:
    """The scenarios that the revision has; a note for each that this code cannot read."""
    stock, samples = stock_cluster(kubernetes_version), built_in_samples()
    at_base.fetch(paths)
    for path in paths:
        for file in expectation_files(at_base.here(path)):
            if not file.is_file():
                continue
            try:
                at_base.fetch(_folders_of(at_base, file))
                scenario = load_scenario(file, stock.discovery, samples)
            except InputError as error:
                where = f"{at_base.name}:{at_base.relative(error.at.file)}:{error.at.line}"
                notes.append(f"{file.stem}: {where}: {error.message}")
            else:
                yield scenario.name, judge_offline(scenario, stock)


def _folders_of(at_base: Revision, file: Path) -> Iterator[Path]:
    """The folders that an expectations file reads, in the working tree."""
    data: Any = load_documents(file)[0].plain
    for key in ("manifests", "samples"):
        folder = data.get(key) if isinstance(data, dict) else None
        if isinstance(folder, str):
            yield at_base.there(file.parent / folder)


def _rows(
    name: str, before: Judged | None, after: Judged | None, at_base: Revision
) -> Iterator[Row]:
    old: dict[Cell, Access] = access_of(before) if before else {}
    new: dict[Cell, Access] = access_of(after) if after else {}
    for change in changes(old, new):
        yield Row(name, change, _because(change, before, after, at_base))


def _because(change: Change, before: Judged | None, after: Judged | None, at_base: Revision) -> str:
    def shown(place: Position) -> str:
        return f"{at_base.name}:{at_base.relative(place.file)}:{place.line}"

    if change.kind == DENIED and before:
        now = reason(change, after) if after else "the scenario is gone"
        return f"{now}; was by {granted(change, before, shown)}"
    return reason(change, after) if after else ""
