"""Annotations that GitHub shows beside the lines of a pull request.

Source of the escaping: packages/core/src/command.ts of actions/toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rbac_matrix.report.harmless import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbac_matrix.errors import Position
    from rbac_matrix.report.causes import Cause

SHOWN: Final = 10
"""GitHub shows this many errors of a step."""
SHOWN_SENTENCES: Final = 10
"""Of one annotation; the others are counted."""
TITLE: Final = "access that is not as declared"


@dataclass(frozen=True)
class _Remark:
    """What is to be said at a line: sentences, and what they have in common."""

    sentences: tuple[str, ...]
    reason: str


def error_commands(found: Sequence[Cause], repository: Path) -> list[str]:
    """Commands to GitHub's runner, one for each line that granted or declared what is wrong.

    Args:
        found: What is wrong.
        repository: The folder that GitHub knows files from.
    """
    places: dict[Position, list[_Remark]] = {}
    for cause in found:
        for at, remark in _remarks(cause).items():
            places.setdefault(at, []).append(remark)
    shown = list(places) if len(places) <= SHOWN else list(places)[: SHOWN - 1]
    commands = [_command(_lines(places[at]), at, repository) for at in shown]
    if len(places) > SHOWN:
        elsewhere = (cause for cause in found if not _remarks(cause).keys() & {*shown})
        cells = sum(len(cause.verdicts) for cause in elsewhere)
        more = f"and {cells:,} more cells" if cells else "and other lines about the same cells"
        commands.append(_command([f"{more}: see the summary of the run"]))
    return commands


def _remarks(cause: Cause) -> dict[Position, _Remark]:
    """What is to be said where: first at the rule, which a pull request may have changed."""
    sentences = tuple(verdict.sentence for verdict in cause.verdicts)
    rule, expectation = cause.rule, cause.expectation
    remarks = {}
    if rule.at and rule.grants:
        remarks[rule.at] = _Remark(sentences, f"declared: {expectation.at}: {expectation.why}")
    place = f"{rule.at}: " if rule.at else ""
    because = f"{rule.label}: {place}{rule.text}" if rule.text else ""
    remarks[expectation.at] = _Remark(sentences, because)
    return remarks


def _lines(remarks: Sequence[_Remark]) -> list[str]:
    """As many sentences as are shown, each group with its reason."""
    lines: list[str] = []
    room = SHOWN_SENTENCES
    for remark in remarks:
        if room > 0:
            lines += [*remark.sentences[:room], *([remark.reason] if remark.reason else [])]
        room -= len(remark.sentences)
    return [*lines, f"and {-room:,} more"] if room < 0 else lines


def _command(lines: Sequence[str], at: Position | None = None, repository: Path = Path()) -> str:
    said = [short(line) for line in lines]
    properties = {"title": TITLE}
    if at is not None and at.file.absolute().is_relative_to(repository):
        file = at.file.absolute().relative_to(repository)
        properties = {"file": file.as_posix(), "line": str(at.line), "title": TITLE}
    elif at is not None:
        said.append(f"at: {short(str(at))}")
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {written}::{'%0A'.join(map(_data, said))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
