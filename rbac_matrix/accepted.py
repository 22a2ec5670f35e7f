"""The accepted access of a scenario: what its manifests grant, in lines that people review.

A line is one subject, one resource or path, and one grant, with the verbs that it allows:

    default/job-robot may get, list pods in default: RoleBinding default/robot of Role robot

A wildcard of a rule stays one (`may * *.apps`), where cells would be hundreds of lines. What every
ServiceAccount may do is left out. Lines are compared cell by cell, so that a change is told with
exactly what became allowed or denied.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rbac_matrix.cell import Cell, PathQuestion, ResourceName, Subject, in_order
from rbac_matrix.errors import InputError, Position
from rbac_matrix.judges.rule import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rbac_matrix.cell import Question
    from rbac_matrix.judges.policy import Grant
    from rbac_matrix.offline import Judged

CORE: Final = "core"
"""How the core group is written behind a wildcard (`*.core`); no group that is served has a name
without a dot but those of Kubernetes itself, and none of them is this."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9*][\w.:/@*-]*|/[\w.:/@*-]*", re.ASCII)
_WORD: Final = r'"(?:[^"\\]|\\.)*"|[^\s",:](?:[^\s",]*[^\s",:])?'
_LINE: Final = re.compile(
    rf"(?P<who>{_WORD}) may (?P<verbs>(?:{_WORD})(?:, (?:{_WORD}))*) (?P<what>{_WORD})"
    rf"(?: named (?P<name>{_WORD}))? (?:everywhere|in (?P<where>{_WORD})): (?P<by>\S.*)"
)


@dataclass(frozen=True)
class Access:
    """What cells have in common that one line stands for.

    Attributes:
        who: The ServiceAccount, `namespace/name`.
        what: A resource, a path, or the wildcard that a rule has for it.
        name: The object, where the rule is for named ones only; empty otherwise.
        where: The namespace; None for a ClusterRoleBinding, which is for all and the cluster.
        by: The binding and the role that grant it.
        every_verb: Whether the rule is for every verb.
    """

    who: str
    what: str
    name: str
    where: str | None
    by: str
    every_verb: bool

    @property
    def is_wildcard(self) -> bool:
        """Whether `what` is a wildcard of resources, not one of them or a path."""
        return self.what.startswith(ALL)

    def covers(self, question: Question) -> bool:
        """Whether a question is about this, whatever its verb."""
        if isinstance(question, PathQuestion):
            return self.what.startswith("/") and _matches_path(self.what, question.path)
        return (
            self.where in (None, question.namespace)
            and self.name in ("", question.name)
            and _matches_resource(self.what, question.resource)
        )

    @property
    def object(self) -> str:
        """What it is about, with the name, as a line writes it."""
        return _word(self.what) + (f" named {_word(self.name)}" if self.name else "")

    @property
    def place(self) -> str:
        """`in default`, `everywhere`."""
        return "everywhere" if self.where is None else f"in {_word(self.where)}"

    def line(self, verbs: Iterable[str]) -> str:
        """The line that allows these verbs."""
        shown = listed([ALL] if self.every_verb else verbs)
        return f"{_word(self.who)} may {shown} {self.object} {self.place}: {self.by}"


@dataclass(frozen=True)
class AcceptedLine:
    """A line that was read.

    Attributes:
        access: What it is about.
        verbs: What it allows; `*` for every verb.
        at: Where it is written.
    """

    access: Access
    verbs: frozenset[str]
    at: Position

    def allows(self, question: Question) -> bool:
        """Whether a question of its subject is accepted by it."""
        return (ALL in self.verbs or question.verb in self.verbs) and self.access.covers(question)


def access_of(judged: Judged) -> dict[Cell, Access]:
    """What a scenario's manifests allow, beyond what every ServiceAccount may."""
    return {
        cell: _access(cell, granted.grant)
        for cell, granted in judged.allowed.items()
        if not granted.baseline
    }


def lines_of(access: Mapping[Cell, Access]) -> list[str]:
    """The lines that stand for cells, sorted."""
    verbs: dict[Access, set[str]] = {}
    for cell, each in access.items():
        verbs.setdefault(each, set()).add(cell.question.verb)
    return sorted({each.line(found) for each, found in verbs.items()})


def text_of(scenario: str, lines: Iterable[str]) -> str:
    """The file that accepts these lines."""
    head = (
        f"# What the manifests of {scenario} allow, beyond what every ServiceAccount may.\n"
        "# Written by `nox -s accept`; read its diff as what a change of manifests changes.\n"
    )
    return head + ("".join(f"{line}\n" for line in lines) or "# That is nothing.\n")


def accept(judged: Judged, file: Path) -> str:
    """Accept what a scenario's manifests allow; says what changed, if anything did."""
    lines = lines_of(access_of(judged))
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    after = text_of(judged.scenario.name, lines)
    if after == before:
        return ""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(after, encoding="utf-8")
    old = {line for line in before.splitlines() if not line.startswith("#")}
    added, removed = len({*lines} - old), len(old - {*lines})
    return f"accepted in {Position(file, 1).shown}: {added} lines added, {removed} removed"


def read_lines(file: Path) -> list[AcceptedLine]:
    """The lines of a file.

    Raises:
        InputError: It cannot be read, or a line is none that this module writes.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Position(file, 1), f"cannot be read: {error}") from error
    return [
        _parsed(line, Position(file, number))
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]


def expand(lines: Iterable[AcceptedLine], judged: Judged) -> dict[Cell, AcceptedLine]:
    """The cells that lines accept, of those that can be asked; the first line counts."""
    accepted: dict[Cell, AcceptedLine] = {}
    for subject, questions in judged.questions.items():
        own = [line for line in lines if line.access.who == str(subject)]
        for question in questions if own else ():
            line = next((line for line in own if line.allows(question)), None)
            if line is not None:
                accepted[Cell(judged.scenario.name, subject, question)] = line
    return accepted


def listed(verbs: Iterable[str]) -> str:
    """Verbs in their order, as a line of accepted access writes them: `get, list, escalate`."""
    return ", ".join(map(_word, in_order(verbs)))


def _access(cell: Cell, grant: Grant) -> Access:
    rule, question = grant.rule, cell.question
    name = ""
    if isinstance(question, PathQuestion):
        what = next(path for path in rule.paths if _matches_path(_path(path), question.path))
        what = _path(what) if what.endswith(ALL) else question.path
    else:
        what = _wildcard(grant, question.resource) or str(question.resource)
        name = question.name if rule.names else ""
    return Access(
        str(cell.subject), what, name, grant.binding.namespace, _by(grant, cell.subject),
        ALL in rule.verbs,
    )  # fmt: skip


def _by(grant: Grant, subject: Subject) -> str:
    """`RoleBinding default/robot of Role robot`, and for which subject unless it is its own."""
    binding, role, bound, written_in = (
        grant.binding,
        grant.role,
        grant.subject,
        grant.rule.written_in,
    )
    binding_name = f"{binding.namespace}/{binding.name}" if binding.namespace else binding.name
    text = f"{binding.kind} {_word(binding_name)} of {role.kind} {_word(role.name)}"
    if written_in != str(role):
        kind, _, name = written_in.partition(" ")
        text += f" (by {kind} {_word(name)})"
    if bound.user != subject.username or bound.kind != "ServiceAccount":
        text += f" to {bound.kind} {_word(bound.name)}"
    return text


def _wildcard(grant: Grant, resource: ResourceName) -> str:
    """The wildcard by which a rule is for a resource; empty where it names it."""
    rule = grant.rule
    if ALL in rule.resources:
        plural, subresource = ALL, ""
    elif (
        f"{ALL}/{resource.subresource}" in rule.resources
        and str(ResourceName("", resource.plural, resource.subresource)) not in rule.resources
    ):
        plural, subresource = ALL, f"/{resource.subresource}"
    else:
        return ""
    group = "" if ALL in rule.groups else f".{resource.group or CORE}"
    return f"{plural}{group}{subresource}"


def _matches_resource(what: str, resource: ResourceName) -> bool:
    if not what.startswith(ALL):
        return what == str(resource)
    pattern = ResourceName.parse(what)
    group = "" if pattern.group == CORE else pattern.group
    return (not pattern.group or group == resource.group) and pattern.subresource in (
        "",
        resource.subresource,
    )


def _path(written: str) -> str:
    """A path of a rule so that it begins with a slash, as all that are asked do."""
    return f"/{ALL}" if written == ALL else written


def _matches_path(what: str, path: str) -> bool:
    return what == path or (what.endswith(ALL) and path.startswith(what.rstrip(ALL)))


def _word(text: str) -> str:
    """A name as it is, or quoted where it could be taken for something else."""
    return text if _PLAIN.fullmatch(text) and not text.endswith(":") else json.dumps(text)


def _unquoted(word: str) -> str:
    return str(json.loads(word)) if word.startswith('"') else word


def _parsed(line: str, at: Position) -> AcceptedLine:
    found = _LINE.fullmatch(line)
    if found is None:
        raise _bad(at)
    try:
        verbs = frozenset(map(_unquoted, re.findall(_WORD, found["verbs"])))
        parts = [_unquoted(found[part] or "") for part in ("who", "what", "name", "where")]
    except ValueError:
        raise _bad(at) from None
    who, what, name, where = parts
    access = Access(who, what, name, where or None, found["by"], ALL in verbs)
    return AcceptedLine(access, verbs, at)


def _bad(at: Position) -> InputError:
    return InputError(at, "is no line of accepted access; `nox -s accept` writes the file")


ALLOWED: Final = "newly allowed"
DENIED: Final = "newly denied"
REGRANTED: Final = "granted by another"
KINDS: Final = (ALLOWED, DENIED, REGRANTED)
"""What can happen to access, first what is to be looked at first."""


@dataclass(frozen=True)
class Change:
    """Access that is other than it was.

    Attributes:
        kind: What happened to it.
        access: What it is about now; before, where it is denied now.
        cells: The cells that changed.
    """

    kind: str
    access: Access
    cells: tuple[Cell, ...]

    @property
    def verbs(self) -> str:
        """The verbs that changed: `get, list`, or a wildcard where there are too many cells."""
        whole = self.access.is_wildcard or self.access.what.startswith("/")
        if self.access.every_verb and whole:
            return ALL
        return listed(cell.question.verb for cell in self.cells)

    @property
    def sentence(self) -> str:
        """`default/job-robot may no longer list pods in default`."""
        may = "may no longer" if self.kind == DENIED else "may"
        access = self.access
        return f"{_word(access.who)} {may} {self.verbs} {access.object} {access.place}"


def changes(before: Mapping[Cell, Access], after: Mapping[Cell, Access]) -> list[Change]:
    """What became allowed, what denied, and what is granted by something else, in this order."""
    found: dict[tuple[str, Access], list[Cell]] = {}
    for cell, access in after.items():
        if cell not in before:
            found.setdefault((ALLOWED, access), []).append(cell)
    for cell, access in before.items():
        if cell not in after:
            found.setdefault((DENIED, access), []).append(cell)
        elif after[cell].by != access.by:
            found.setdefault((REGRANTED, after[cell]), []).append(cell)
    return sorted(
        (Change(kind, access, tuple(cells)) for (kind, access), cells in found.items()),
        key=lambda change: (KINDS.index(change.kind), change.sentence, change.access.by),
    )
