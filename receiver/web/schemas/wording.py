"""What a question takes, in words: the texts of a 400, made from the same JSON Schema that describes the API."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from receiver.admin.names import SHOWN_CHARACTERS, nearest
from receiver.web.schemas.base import DECIMAL, NO_NUL, Shape

Schema = Mapping[str, Any]

SAYS = "says"
"""The type of an error (`PydanticCustomError`) that has its whole text already."""


def refusal(model: type[Shape], error: ValidationError, marks: Collection[str] = ()) -> str:
    """Name what was wrong and say what it takes: what is not known, else the first thing.

    What is not known goes first, because one that is missing is most often there under a name that was typed wrong.
    `marks` are fields of other models that the same could have been.
    """
    errors = error.errors(include_url=False)
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    if first["type"] == SAYS:
        return first["msg"]
    if first["type"] == "extra_forbidden":
        known = set(_known_beside(model.model_json_schema(), first["loc"]))
        return unknown(str(first["loc"][-1]), known.union(marks if len(first["loc"]) == 1 else ()))
    schema: Schema = model.model_json_schema()
    definitions: Schema = schema.get("$defs", {})
    name: str | None = None
    for part in first["loc"]:
        properties = _resolved(schema, definitions).get("properties", {})
        if part not in properties:
            break
        name, schema = str(part), properties[part]
    if name is None:
        return first["msg"]
    said = str(first.get("ctx", {}).get("error", "")) or takes(schema, definitions)
    return f"Send `{name}`: {said}." if first["type"] == "missing" else f"`{name}` takes {said}."


def given_twice(name: str) -> str:
    """Say that a parameter or field was given several times that takes one value."""
    return f"`{name}` is given more than once; it takes one value."


def unknown(name: str, known: Collection[str]) -> str:
    """Name a parameter or field that is not known, the nearest one that is, and all that are."""
    shown = f"`{name[:SHOWN_CHARACTERS]}` is not known here"
    if not known:
        return f"{shown}; nothing is taken."
    return f"{shown}; the nearest is `{nearest(name, known)}`. There are: {', '.join(sorted(known))}."


def _known_beside(schema: Schema, place: Sequence[int | str]) -> Collection[str]:
    """Return the names of the fields that there are where the last one of a place is not known."""
    definitions: Schema = schema.get("$defs", {})
    schema = _resolved(schema, definitions)
    for part in place[:-1]:
        schema = _resolved(schema["properties"][part], definitions)
    return set(schema.get("properties", ()))


def takes(schema: Schema, definitions: Schema) -> str:
    """Say what fits a JSON Schema."""
    schema = _resolved(schema, definitions)
    if "anyOf" in schema:
        kinds = [takes(each, definitions) for each in schema["anyOf"] if each.get("type") != "null"]
        return ", or ".join(kinds)
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return f"one of: {', '.join(schema['enum'])}"
    match schema.get("type"):
        case "array" if "maxItems" in schema:
            return f"a list of up to {schema['maxItems']}"
        case "array":
            # Of a query, whose parameters may each stand several times.
            return takes(schema["items"], definitions)
        case "integer":
            return f"a whole number{_bounds(schema)}"
        case "boolean":
            return "`true` or `false`"
        case "number":
            return f"a number{_bounds(schema)}"
        case "object":
            return f"an object with any of: {_names(schema)}"
        case _:
            return _text(schema)


def _names(schema: Schema) -> str:
    return ", ".join(sorted(schema["properties"]))


def _text(schema: Schema) -> str:
    if schema.get("pattern") == DECIMAL:
        return "an amount such as 1000.00"
    least = f"{schema['minLength']}" if "minLength" in schema else "up"
    length = f" of {least} to {schema['maxLength']} characters" if "maxLength" in schema else ""
    return f"a text{length}{', without NUL' if schema.get('pattern') == NO_NUL else ''}"


def _bounds(schema: Schema) -> str:
    return f" from {schema['minimum']} to {schema['maximum']}" if {"minimum", "maximum"} <= set(schema) else ""


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    found: Schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found
