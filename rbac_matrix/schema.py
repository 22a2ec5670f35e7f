"""Checking documents against the package's JSON schemas, with the line of what is wrong."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from rbac_matrix.errors import InputError
from rbac_matrix.yaml_file import json_path

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

    from rbac_matrix.yaml_file import PositionedDocument


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """The validator of `schemas/<name>.schema.json`; that it is a schema is for a test to say."""
    # Imported late: a command that only plans or lists has no use for it, and it takes 0.1 s.
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - see the line above

    file = resources.files("rbac_matrix") / "schemas" / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def check_against(name: str, document: PositionedDocument) -> None:
    """Refuse a document that the schema `name` refuses.

    Raises:
        InputError: At the line of the deepest mistake that explains the refusal.
    """
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - see validator

    error = best_match(validator(name).iter_errors(document.plain))
    if error is None:
        return
    path = [*error.absolute_path]
    if "propertyNames" in error.absolute_schema_path:
        path.append(error.instance)
    unknown = _unknown_keys(error)
    path += unknown[:1]
    message = f"{json_path(path)}: {_sentence(error, unknown)}"
    raise InputError(document.position(path), message)


def _sentence(error: ValidationError, unknown: list[str]) -> str:
    """What is wrong in this project's words, where jsonschema's are about schemas."""
    part: Any = error.schema
    match error.validator:
        case "additionalProperties":
            known = ", ".join(sorted(part["properties"]))
            return f"unknown key {', '.join(map(repr, unknown))}; known here: {known}"
        case "anyOf":
            return str(part["$comment"])
        case "enum":
            return f"{error.instance!r} is not one of {', '.join(map(str, part['enum']))}"
        case "not" | "pattern":
            return f"{error.instance!r} cannot be here: {part['description']}"
        case _:
            return error.message


def _unknown_keys(error: ValidationError) -> list[str]:
    if error.validator != "additionalProperties":
        return []
    part: Any = error.schema
    instance: Any = error.instance
    return [key for key in instance if key not in part["properties"]]
