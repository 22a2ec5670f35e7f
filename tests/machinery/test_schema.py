"""The JSON schemas, and what `check_against` needs of them to speak in sentences."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import pytest
from jsonschema import Draft202012Validator

from rbac_matrix.answer import AnswerClass
from rbac_matrix.cell import PATH_VERBS, VERBS
from rbac_matrix.clusters.plugin import PROVIDERS
from rbac_matrix.report.verdicts_file import SCHEMA
from rbac_matrix.schema import validator
from rbac_matrix.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES: Final = sorted(
    file.name.removesuffix(".schema.json")
    for file in (resources.files("rbac_matrix") / "schemas").iterdir()
)


def subschemas(schema: object, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping within a schema, with its path."""
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            yield from subschemas(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from subschemas(value, f"{path}/{index}")


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_a_schema(name: str) -> None:
    """Each is valid JSON Schema of the draft that it names, and has a title."""
    schema = validator(name).schema

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["title"]


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_somewhere(name: str) -> None:
    """A misspelt `$ref` would only be noticed by the first document that reaches it."""
    schema = validator(name).schema
    defined = {f"#{path}" for path, _ in subschemas(schema)}

    references = {part["$ref"] for _, part in subschemas(schema) if "$ref" in part}

    assert references <= defined


@pytest.mark.parametrize("name", [name for name in NAMES if name != "verdicts"])
def test_what_a_pattern_refuses_can_be_explained(name: str) -> None:
    """Refusals by pattern, `not` and `anyOf` quote the schema's own words, so it has some."""
    unexplained = [
        path
        for path, part in subschemas(validator(name).schema)
        if (("pattern" in part or "not" in part) and "description" not in part)
        or ("anyOf" in part and "$comment" not in part)
    ]

    # What is under `not` or `if`, and a choice of an `anyOf`, decides but is never the error.
    decides = re.compile(r"/(not|if|anyOf/\d+)$")
    assert [path for path in unexplained if not decides.search(path)] == []


@pytest.mark.parametrize("name", ["baseline", "disagreements", "expectations", "verdicts"])
def test_unknown_keys_are_refused_everywhere(name: str) -> None:
    """Every mapping of ours that names its keys takes no others."""
    lenient = [
        path
        for path, part in subschemas(validator(name).schema)
        if part.get("type") == "object" and "additionalProperties" not in part
    ]

    assert lenient == []


def test_the_schemas_and_the_code_have_the_same_words() -> None:
    """A verb, an outcome or a class that only one of both knows could never be written or read."""
    cell = validator("verdicts").schema["properties"]["cells"]["items"]["properties"]

    verbs = validator("expectations").schema["$defs"]["verb"]["enum"]
    assert verbs == list(dict.fromkeys((*VERBS, *PATH_VERBS)))
    assert validator("disagreements").schema["$defs"]["verb"]["enum"] == list(VERBS)
    assert cell["outcome"]["enum"] == [str(each) for each in Outcome]
    assert cell["answer"]["enum"] == [*map(str, AnswerClass), None]
    assert validator("verdicts").schema["properties"]["schema"]["const"] == SCHEMA
    providers = validator("verdicts").schema["properties"]["provider"]["enum"]
    assert {"auto", "none", *providers} == set(PROVIDERS)  # Neither is where a report is from.
