"""What a question takes, in words: the texts of a 400, made from the same JSON Schema that describes the API."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from receiver.web.schemas.base import DECIMAL, NO_NUL, Shape

Schema = Mapping[str, Any]

SAYS = "says"
"""The type of an error (`PydanticCustomError`) that has its whole text already."""


def refusal(model: type[Shape], error: ValidationError) -> str:
    """Name the first thing that was wrong, and say what it takes."""
    first = error.errors(include_url=False)[0]
    if first["type"] == SAYS:
        return first["msg"]
    schema: Schema = model.model_json_schema()
    definitions: Schema = schema.get("$defs", {})
    name: str | None = None
    for part in first["loc"]:
        properties = _resolved(schema, definitions).get("properties", {})
        if part not in properties:
            break
        name, schema = str(part), properties[part]
    if name is None:
        return f"`{first['loc'][0]}` is not known here. There are: {_names(schema)}." if first["loc"] else first["msg"]
    said = str(first.get("ctx", {}).get("error", "")) or takes(schema, definitions)
    return f"Send `{name}`: {said}." if first["type"] == "missing" else f"`{name}` takes {said}."


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
