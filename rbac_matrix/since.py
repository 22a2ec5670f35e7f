"""What changed in the access of scenarios since a git revision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rbac_matrix.accepted import KINDS, access_of
from rbac_matrix.errors import InputError, Position
from rbac_matrix.offline import judge_offline, stock_cluster
from rbac_matrix.report.drift import differences, granted
from rbac_matrix.revision import revision
from rbac_matrix.scenario_file import built_in_samples, expectation_files, load_scenario
from rbac_matrix.yaml_file import load_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rbac_matrix.accepted import Change
    from rbac_matrix.offline import Judged
    from rbac_matrix.report.drift import Difference, Reason
    from rbac_matrix.revision import Revision


@dataclass(frozen=True)
class Comparison:
    """What changed since a revision.

    Attributes:
        base: The revision, as it was asked for.
        commit: Its full hash.
        differences: What is newly allowed, then what is newly denied, then what is granted by
            another; within each by scenario.
        notes: What could not be compared, and why.
    """

    base: str
    commit: str
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def changes_since(
    base: str, judged: Sequence[Judged], paths: Sequence[Path], kubernetes_version: str
) -> Comparison:
    """The changes of all scenarios since a revision.

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
        found = [
            difference
            for name in sorted({*before, *after} - unread)
            for difference in _differences(name, before.get(name), after.get(name), at_base)
        ]
        found.sort(key=lambda each: KINDS.index(each.change.kind))
        return Comparison(base, at_base.commit, tuple(found), tuple(notes))


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


def _differences(
    name: str, before: Judged | None, after: Judged | None, at_base: Revision
) -> list[Difference]:
    access = access_of(before) if before else {}
    allowed = before.allowed if before else {}

    def there(places: Iterable[Position]) -> tuple[Position, ...]:
        return tuple(Position(at_base.there(place.file), place.line) for place in places)

    def formerly(change: Change) -> Reason:
        found = granted(access[change.cells[0]].by, change.cells, allowed)
        at, beside = there(found.at), there(found.beside)
        return replace(found, label="was", at=at, beside=beside, revision=at_base.name)

    return differences(name, access, after, formerly)
