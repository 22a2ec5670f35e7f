"""YAML files with the line of every value, and an error where PyYAML would silently keep the last.

ruamel.yaml's round-trip loader keeps positions and refuses duplicate keys. Kubernetes reads YAML
1.1 (`yes` is a boolean there), so that is the version read here: a manifest means to this suite
what it means to kubectl.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MantissaNoDotYAML1_1Warning, MarkedYAMLError, YAMLError

from rbac_matrix.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class _KubernetesYAML(YAML):
    """YAML 1.1 in every document; ruamel.yaml goes back to 1.2 at each `---`."""

    @property
    def version(self) -> tuple[int, int]:
        return (1, 1)

    @version.setter
    def version(self, _: object) -> None:
        pass


class PositionedDocument:
    """One YAML document and the places its values were written at."""

    def __init__(self, file: Path, root: Any) -> None:  # noqa: ANN401 - a parsed document is any JSON value
        """Wrap what the round-trip loader gave.

        Args:
            file: The file that holds the document.
            root: The loader's mapping, list or scalar.
        """
        self.file = file
        self.root = root
        self.plain = _plain(root)

    def position(self, path: Sequence[str | int] = ()) -> Position:
        """Where the value at `path` is written; the nearest parent that is written, otherwise.

        Args:
            path: Keys and list indexes from the root of the document.
        """
        node, line = self.root, _own_line(self.root)
        for step in path:
            lines = getattr(getattr(node, "lc", None), "data", None) or {}
            if step not in lines:
                break
            line = lines[step][0]
            node = node[step]
        return Position(self.file, line + 1)


def load_documents(file: Path) -> list[PositionedDocument]:
    """Every document of a YAML file; empty documents between `---` lines are left out.

    Raises:
        InputError: The file cannot be read, is not YAML, repeats a key, or holds no document.
    """
    loader = _KubernetesYAML(typ="rt")
    loader.allow_duplicate_keys = False
    try:
        text = file.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            # 12e5 is a text in YAML 1.1 and a number in 1.2; that is no news for its reader.
            warnings.simplefilter("ignore", MantissaNoDotYAML1_1Warning)
            roots = list(loader.load_all(text))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Position(file, 1), f"cannot be read: {error}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if "end of stream" in (error.problem or ""):
            mark = error.context_mark or mark  # where what has no end begins
        line = mark.line + 1 if mark else 1
        raise InputError(
            Position(file, line), f"is not YAML: {_first_line(error.problem)}"
        ) from error
    except YAMLError as error:
        raise InputError(Position(file, 1), f"is not YAML: {_first_line(str(error))}") from error
    documents = [PositionedDocument(file, root) for root in roots if root is not None]
    if not documents:
        raise InputError(Position(file, 1), "is empty")
    return documents


def _first_line(text: str | None) -> str:
    return (text or "it cannot be parsed").strip().splitlines()[0]


def _own_line(node: Any) -> int:  # noqa: ANN401 - see PositionedDocument
    return int(getattr(getattr(node, "lc", None), "line", 0) or 0)


def _plain(node: Any) -> Any:  # noqa: ANN401 - see PositionedDocument
    """The document as the builtin types that JSON has."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for builtin in (bool, int, float, str):
        if isinstance(node, builtin):
            return builtin(node)
    return node if node is None else str(node)


def json_path(path: Iterable[str | int]) -> str:
    """A path as people write it: `subjects[0].allow[1].verbs`."""
    shown = ""
    for step in path:
        shown += f"[{step}]" if isinstance(step, int) else f".{step}" if shown else str(step)
    return shown or "the document"
