"""YAML as Kubernetes reads it, with the place of every value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from rbac_matrix.errors import InputError, Position
from rbac_matrix.yaml_file import json_path, load_documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rbac_matrix.yaml_file import PositionedDocument


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], list[PositionedDocument]]:
    """Read a text as a file."""

    def load(text: str) -> list[PositionedDocument]:
        file = tmp_path / "file.yaml"
        file.write_text(text, encoding="utf-8")
        return load_documents(file)

    return load


VALUES: Final[dict[str, tuple[str, Any]]] = {
    "yes-is-a-boolean": ("yes", True),
    "off-is-a-boolean": ("off", False),
    "y-is-a-boolean": ("y", True),
    "quoted-yes-is-a-text": ("'yes'", "yes"),
    "a-tagged-yes-is-a-text": ("!!str yes", "yes"),
    "oN-is-a-text": ("oN", "oN"),
    "a-leading-zero-is-octal": ("0644", 0o644),
    "no-octal-digit-makes-it-a-fraction": ("089", 89.0),
    "a-hexadecimal-number": ("-0x1F", -31),
    "a-binary-number": ("0b101", 5),
    "a-long-number": ("1_000", 1000),
    "a-fraction": ("1.5", 1.5),
    "an-exponent-makes-a-fraction": ("12e5", 1200000.0),
    "a-tagged-fraction": ("!!float 1", 1.0),
    "a-version-is-a-text": ("1.2.3", "1.2.3"),
    "a-time-is-a-text": ("1:30", "1:30"),
    "a-date-stays-a-text": ("2026-11-21", "2026-11-21"),
    "nothing-is-null": ("", None),
    "a-block-text-is-a-text": ("|\n  one\n  two\n", "one\ntwo\n"),
    "an-alias-is-its-value": ("[&x 1, *x]", [1, 1]),
    "a-number-as-a-key-is-a-text": ("{1: a, 1.50: b}", {"1": "a", "1.5": "b"}),
    "yes-as-a-key-is-true-as-a-text": ("{yes: a}", {"true": "a"}),
    "a-merged-mapping": ("[&x {b: 1, c: 2}, {<<: *x, c: 3}]", [{"b": 1, "c": 2}, {"b": 1, "c": 3}]),
    "the-first-of-merged-mappings-counts": ("{<<: [{b: 1}, {b: 2, c: 3}]}", {"b": 1, "c": 3}),
    "a-quoted-merge-is-a-key": ("{'<<': 1}", {"<<": 1}),
    "a-tag-makes-no-object": ("!!python/object:os.system [true]", [True]),
}


@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("before", ["", "first: 1\n---\n"], ids=["first-document", "second"])
def test_values_are_what_kubernetes_makes_of_them(
    load: Callable[[str], list[PositionedDocument]], before: str, text: str, value: object
) -> None:
    """Every document of a file is YAML 1.1, read into nothing but JSON's types."""
    document = load(f"{before}a: {text}")[-1]

    assert {"a": value} == document.plain
    assert type(document.plain["a"]) is type(value)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("a",), 2),
        (("a", 0), 3),
        (("a", 1, "c"), 5),
        (("a", 1, "d", 1), 6),
        (("e",), 7),
        (("a", 1, "absent", "below"), 5),
        (("absent",), 2),
        (("a", 7), 2),
    ],
    ids=lambda value: json_path(value) if isinstance(value, tuple) else f"line-{value}",
)
def test_a_value_has_the_line_that_it_is_written_on(
    load: Callable[[str], list[PositionedDocument]], path: tuple[str | int, ...], line: int
) -> None:
    """A path leads to its line; an absent one to its nearest parent that is written."""
    document = load("# comment\na:\n  - b\n  -\n    c: 1\n    d: [2, 3]\ne: 4\n")[0]

    assert line == document.position(path).line


def test_documents_keep_their_own_lines(
    load: Callable[[str], list[PositionedDocument]],
) -> None:
    """Lines count from the beginning of the file; empty documents are left out."""
    documents = load("---\n# nothing\n---\na: 1\n---\n---\n\nb:\n  c: 2\n")

    assert [document.position().line for document in documents] == [4, 8]
    assert documents[1].position(("b", "c")).line == 9


EXPLODING: Final = (
    "a: &a0 ["
    + "1, " * 20
    + "]\n"
    + "".join(f"b{level}: &a{level} [" + f"*a{level - 1}, " * 20 + "]\n" for level in range(1, 9))
)
BAD: Final = {
    "empty": ("", 1, "is empty"),
    "only-separators": ("---\n---\n", 1, "is empty"),
    "duplicate-key": ("a: 1\nb: 2\na: 3\n", 3, 'duplicate key "a"'),
    "duplicate-key-below": ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, 'duplicate key "b"'),
    "duplicate-key-in-a-later-document": ("a: 1\n---\nb: 1\nb: 2\n", 4, 'duplicate key "b"'),
    "duplicate-key-of-another-type": ("1: a\n'1': b\n", 2, 'duplicate key "1"'),
    "key-that-is-a-list": ("a: 1\n? [b]\n: 2\n", 2, "a key has to be a text"),
    "null-as-a-key": ("a: 1\n~: 2\n", 2, "a key has to be a text, not null"),
    "merge-of-a-text": ("a:\n  <<: b\n", 2, "<< takes a mapping"),
    "value-unlike-its-tag": ("a: 1\nb: !!int x\n", 2, "'x' is not of type int"),
    "number-that-json-lacks": ("a:\n  - .inf\n", 2, "JSON has no number .inf"),
    "alias-within-itself": ("a: 1\nb: &x [*x]\n", 2, "it contains itself"),
    "aliases-that-explode": (EXPLODING, 1, "its aliases repeat too much"),
    "nested-deeply": ("[\n" * 900 + "]" * 900, 1, "it is nested too deeply"),
    "nested-deeply-enough-to-crash-a-parser-in-c": ("[\n" * 50_000, 1001, "nested too deeply"),
    "unclosed-text": ("a: 1\nb: 'c\n\n\n", 2, "unexpected end of stream"),
    "unknown-alias": ("a: 1\nb: *c\n", 2, "undefined alias"),
    "control-character": ("a: 1\nb: \x00\n", 2, "is not YAML: unacceptable character"),
    "unclosed-bracket": ("a: [1\nb: 2\n", 2, "is not YAML"),
}


@pytest.mark.parametrize(("text", "line", "says"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_error_at_its_line(
    load: Callable[[str], list[PositionedDocument]],
    tmp_path: Path,
    text: str,
    line: int,
    says: str,
) -> None:
    """What a lenient parser would guess at is refused."""
    with pytest.raises(InputError, match=says) as caught:
        load(text)

    assert Position(tmp_path / "file.yaml", line) == caught.value.at
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), "the document"),
        (("subjects", 0, "allow", 1, "verbs"), "subjects[0].allow[1].verbs"),
        ((2, "a"), "[2].a"),
    ],
)
def test_paths_read_as_people_write_them(path: tuple[str | int, ...], shown: str) -> None:
    """Indexes are in brackets, keys after dots."""
    assert shown == json_path(path)


def test_places_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a terminal can open with a click is short where it can be."""
    monkeypatch.chdir(tmp_path)

    assert str(Position(tmp_path / "tests" / "a.yaml", 3)) == "tests/a.yaml:3"
    assert str(Position(tmp_path.parent / "a.yaml", 3)) == f"{tmp_path.parent}/a.yaml:3"
