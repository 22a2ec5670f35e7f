"""Annotations that GitHub shows beside the lines of a pull request.

Source of the escaping: packages/core/src/command.ts of actions/toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.accepted import ALLOWED
from rbac_matrix.report.harmless import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rbac_matrix.errors import Position
    from rbac_matrix.report.causes import Cause
    from rbac_matrix.report.drift import Difference, Drift
    from rbac_matrix.report.repository import Repository
    from rbac_matrix.since import Comparison

SHOWN: Final = 10
"""GitHub shows this many errors of a step, and as many warnings and notices."""
SHOWN_SENTENCES: Final = 10
"""Of one annotation; the others are counted."""


@dataclass(frozen=True)
class _Remark:
    """What is to be said at a line.

    Attributes:
        title: What it is about, in a few words.
        sentences: What is to be said.
        reasons: What the sentences have in common.
        number: For how many cells it speaks.
    """

    title: str
    sentences: tuple[str, ...]
    reasons: tuple[str, ...]
    number: int


def error_commands(
    found: Iterable[Cause], drifts: Iterable[Drift], repository: Repository
) -> list[str]:
    """Commands to GitHub's runner, one for each line that is the cause of what is wrong.

    Args:
        found: What is not as declared.
        drifts: What is not as accepted.
        repository: The folder that GitHub knows files from.
    """
    remarks = [_remarks_of_cause(cause) for cause in found]
    for drift in drifts:
        remarks += _remarks_of_drift(drift)
    return _commands("error", remarks, repository)


def change_commands(comparison: Comparison, repository: Repository) -> list[str]:
    """Commands to GitHub's runner, one for each line that changed the access since a revision.

    What is newly allowed is a warning, anything else a notice: neither is a failure.

    Args:
        comparison: What changed.
        repository: As for `error_commands`.
    """
    levels: dict[str, list[dict[Position | None, _Remark]]] = {"warning": [], "notice": []}
    for each in comparison.differences:
        title = f"{each.change.kind} since {comparison.base}"
        remark = _Remark(title, (each.change.sentence,), _reasons(each), len(each.change.cells))
        level = "warning" if each.change.kind == ALLOWED else "notice"
        levels[level].append(dict.fromkeys(each.at or (None,), remark))
    return [
        command
        for level, remarks in levels.items()
        for command in _commands(level, remarks, repository)
    ]


def _remarks_of_cause(cause: Cause) -> dict[Position | None, _Remark]:
    """What is to be said where: first at the rule, which a pull request may have changed."""
    title = "not as declared"
    sentences = tuple(verdict.sentence for verdict in cause.verdicts)
    rule, expectation = cause.rule, cause.expectation
    found: dict[Position | None, _Remark] = {}
    if rule.at and rule.grants:
        declared = f"declared: {expectation.at}: {expectation.why}"
        found[rule.at] = _Remark(title, sentences, (declared,), len(sentences))
    place = f"{rule.at}: " if rule.at else ""
    because = (f"{rule.label}: {place}{rule.text}",) if rule.text else ()
    found[expectation.at] = _Remark(title, sentences, because, len(sentences))
    return found


def _remarks_of_drift(drift: Drift) -> Iterator[dict[Position | None, _Remark]]:
    title = "not as accepted"
    for each in drift.differences:
        reasons = (*_reasons(each), drift.remedy)
        remark = _Remark(title, (each.headline,), reasons, len(each.change.cells))
        yield dict.fromkeys(each.at or (drift.at,), remark)
    if drift.wrong:
        yield {drift.at: _Remark(title, drift.wrong, (drift.remedy,), 0)}


def _reasons(told: Difference) -> tuple[str, ...]:
    return tuple(f"{each.label}: {each}" for each in told.reasons)


def _commands(
    level: str, found: Sequence[dict[Position | None, _Remark]], repository: Repository
) -> list[str]:
    """One command for each line, and one that counts what has none."""
    places: dict[Position | None, dict[_Remark, None]] = {}
    for remarks in found:
        for at, remark in remarks.items():
            places.setdefault(at, {})[remark] = None
    shown = [*places] if len(places) <= SHOWN else [*places][: SHOWN - 1]
    commands = [_command(level, [*places[at]], at, repository) for at in shown]
    if len(places) > SHOWN:
        elsewhere = [remarks for remarks in found if not remarks.keys() & {*shown}]
        cells = sum(max(each.number for each in remarks.values()) for remarks in elsewhere)
        more = f"and {cells:,} more cells" if cells else "and other lines about the same cells"
        title = next(remark.title for remarks in found for remark in remarks.values())
        last = _Remark(title, (f"{more}: see the summary of the run",), (), 0)
        commands.append(_command(level, [last], None, repository))
    return commands


def _command(
    level: str, remarks: Sequence[_Remark], at: Position | None, repository: Repository
) -> str:
    said = [short(line) for line in _lines(remarks)]
    about = "access that is " if level == "error" else ""
    title = ", ".join(dict.fromkeys(short(remark.title) for remark in remarks))
    properties = {"title": f"{about}{title}"}
    if at is not None and (file := repository.file(at)):
        properties = {"file": file, "line": str(at.line), **properties}
    elif at is not None:
        said.append(f"at: {short(str(at))}")
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {written}::{'%0A'.join(map(_data, said))}"


def _lines(remarks: Sequence[_Remark]) -> list[str]:
    """As many sentences as are shown, each group with its reasons."""
    lines: list[str] = []
    room = SHOWN_SENTENCES
    for remark in remarks:
        if room > 0:
            lines += [*remark.sentences[:room], *remark.reasons]
        room -= len(remark.sentences)
    return [*lines, f"and {-room:,} more"] if room < 0 else lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
