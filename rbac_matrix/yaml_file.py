"""YAML files with the line of every value, read as kubectl reads them.

kubectl reads YAML 1.1 with exceptions of its own: `yes` and `y` are booleans, a time stays a text,
`1:30` is no number. The same is done here, so that a manifest means to this suite what it means to
kubectl; but a repeated key, of which kubectl keeps the last, is an error. PyYAML parses (in C where
it was built with libyaml), and the values are made here.

Source: resolve.go and decode.go of go.yaml.in/yaml/v2, yaml.go of sigs.k8s.io/yaml.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from rbac_matrix.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = "<<"
_DEEPEST: Final = 1_000  # levels
_NEVER_TOO_DEEP: Final = 10_000  # characters; in C, libyaml's composer can nest as deep
_MOST_REPEATED: Final = 100_000  # values that aliases repeat; more are an attack, not a manifest

_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_PATTERNS: Final = {
    f"{_TAG}bool": re.compile(
        r"y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF"
    ),
    f"{_TAG}null": re.compile(r"~|null|Null|NULL|"),
    f"{_TAG}int": re.compile(
        r"[-+]?(0[bB]_*[01][01_]*|0[oO]_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*"
        r"|0[0-7_]*|[1-9][0-9_]*)"
    ),
    f"{_TAG}float": re.compile(
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}
_BASES: Final = {"0b": 2, "0x": 16, "0o": 8}


class _Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc] # either will do
    """Composes nodes; a plain scalar's tag says what it is."""


for _name, _first in {
    "bool": "yYnNtTfFoO",
    "null": ["~", "n", "N", ""],
    "int": "+-0123456789",
    "float": "+-.0123456789",
}.items():
    _pattern = _PATTERNS[f"{_TAG}{_name}"]
    _Loader.add_implicit_resolver(
        f"{_TAG}{_name}", re.compile(f"(?:{_pattern.pattern})$"), list(_first)
    )


class PositionedDocument:
    """One YAML document and the places its values were written at."""

    def __init__(self, file: Path, root: Node) -> None:
        """Make the values of a parsed document.

        Args:
            file: The file that holds the document.
            root: Its outermost mapping, list or scalar.

        Raises:
            InputError: A key is repeated or is no text, a value is not what its tag says, or an
                alias repeats too much.
        """
        self.file = file
        self.plain = _Values(file).of(root)
        self._root = root

    def position(self, path: Sequence[str | int] = ()) -> Position:
        """Where the value at `path` is written; the nearest parent that is written, otherwise.

        Args:
            path: Keys and list indexes from the root of the document.
        """
        node, at = self._root, self._root
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            at, node = found
        return _position(self.file, at)


def load_documents(file: Path) -> list[PositionedDocument]:
    """Every document of a YAML file; empty documents between `---` lines are left out.

    Raises:
        InputError: The file cannot be read, is not YAML, repeats a key, or holds no document.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Position(file, 1), f"cannot be read: {error}") from error
    try:
        _check_depth(file, text)
        documents = [
            PositionedDocument(file, root) for root in yaml.compose_all(text, Loader=_Loader)
        ]
    except yaml.YAMLError as error:
        line, problem = _problem(error, text)
        raise InputError(Position(file, line), f"is not YAML: {problem}") from error
    except RecursionError as error:
        raise _too_deep(file, 1) from error
    documents = [document for document in documents if document.plain is not None]
    if not documents:
        raise InputError(Position(file, 1), "is empty")
    return documents


def _check_depth(file: Path, text: str) -> None:
    """Refuse what would overflow the stack of the composer in C."""
    if len(text) <= _NEVER_TOO_DEEP:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            raise _too_deep(file, event.start_mark.line + 1 if event.start_mark else 1)


def _too_deep(file: Path, line: int) -> InputError:
    return InputError(Position(file, line), "is not YAML: it is nested too deeply")


class _Values:
    """The values of one document, of the types that JSON has."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: set[Node] = set()
        self._open: set[Node] = set()
        self._repeated = 0

    def of(self, node: Node) -> Any:  # noqa: ANN401 - a document is any JSON value
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self._guard(node)
        self._open.add(node)
        value: Any
        if isinstance(node, SequenceNode):
            value = [self.of(item) for item in node.value]
        else:
            value = self._mapping(node)
        self._open.discard(node)
        return value

    def _guard(self, node: Node) -> None:
        """A few aliases can stand for more values than memory holds."""
        if node in self._open:
            raise self._bad(node, "it contains itself")
        if node in self._seen:
            self._repeated += 1 + len(node.value)
            if self._repeated > _MOST_REPEATED:
                raise self._bad(node, "its aliases repeat too much")
        self._seen.add(node)

    def _mapping(self, node: Node) -> dict[str, Any]:
        value: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, item in node.value:
            key = self._key(key_node)
            if key in value or (key == _MERGE and merged):
                raise self._bad(key_node, f'found duplicate key "{key}"')
            if _is_merge(key_node):
                merged = item.value if isinstance(item, SequenceNode) else [item]
            else:
                value[key] = self.of(item)
        for each in merged:
            if not isinstance(each, MappingNode):
                raise self._bad(each, "<< takes a mapping, or a list of them")
            value = self.of(each) | value
        return value

    def _key(self, node: Node) -> str:
        """A key as the text that it is in JSON."""
        if not isinstance(node, ScalarNode):
            raise self._bad(node, "a key has to be a text")
        value = self._scalar(node)
        if value is None:
            raise self._bad(node, "a key has to be a text, not null")
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value:g}" if isinstance(value, float) else str(value)

    def _scalar(self, node: ScalarNode) -> str | float | bool | None:
        text = str(node.value)
        pattern = _PATTERNS.get(node.tag)
        if pattern is None:
            return text
        if not pattern.fullmatch(text):
            raise self._bad(node, f"{text!r} is not of type {node.tag.removeprefix(_TAG)}")
        match node.tag.removeprefix(_TAG):
            case "bool":
                return text.lower() in _TRUE
            case "int":
                return _integer(text.replace("_", ""))
            case "float":
                return self._float(node, text.replace("_", ""))
            case _:
                return None

    def _float(self, node: Node, text: str) -> float:
        number = float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
        if not math.isfinite(number):
            raise self._bad(node, f"JSON has no number {text}")
        return number

    def _bad(self, node: Node, problem: str) -> InputError:
        return InputError(_position(self._file, node), f"is not YAML: {problem}")


def _integer(text: str) -> int:
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    base = _BASES.get(digits[:2].lower(), 0)
    if base:
        digits = digits[2:]
    elif digits.startswith("0"):
        base = 8
    return int(f"{sign}{digits}", base or 10)


def _is_merge(key: Node) -> bool:
    quoted = isinstance(key, ScalarNode) and key.style
    return key.value == _MERGE and not quoted


def _step(node: Node, step: str | int) -> tuple[Node, Node] | None:
    """The node whose line counts, and the value, one step below; None where nothing is written."""
    if isinstance(node, MappingNode):
        for key, value in _entries(node):
            if key.value == step:
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _entries(node: MappingNode) -> Iterator[tuple[Node, Node]]:
    """The keys and values of a mapping, its own before those that it merges."""
    merged: list[Node] = []
    for key, value in node.value:
        if _is_merge(key):
            merged = value.value if isinstance(value, SequenceNode) else [value]
        else:
            yield key, value
    for each in merged:
        if isinstance(each, MappingNode):
            yield from _entries(each)


def _position(file: Path, node: Node) -> Position:
    return Position(file, node.start_mark.line + 1)


def _problem(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line that PyYAML complains about, from 1, and its complaint in one line."""
    problem, line = str(error), 1
    if isinstance(error, yaml.MarkedYAMLError):
        problem = error.problem or error.context or problem
        mark = error.problem_mark or error.context_mark
        if error.context_mark and mark and mark.index >= len(text.rstrip()):
            mark = error.context_mark  # where what has no end begins
        if mark and text[mark.index : mark.index + 1] == "\t":
            problem = "found a tab where only spaces can indent"
        line = min(mark.line + 1, text.count("\n") + 1) if mark else 1
    elif isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
    return line, problem.strip().splitlines()[0]


def json_path(path: Iterable[str | int]) -> str:
    """A path as people write it: `subjects[0].allow[1].verbs`."""
    shown = ""
    for step in path:
        shown += f"[{step}]" if isinstance(step, int) else f".{step}" if shown else str(step)
    return shown or "the document"
