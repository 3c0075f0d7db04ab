"""What the description says of an answer, held against the answer itself."""

from functools import cache
from typing import Any

import jsonschema_rs
from flask import Flask, Request, Response
from werkzeug.routing import Rule

from receiver.web.openapi import document

METHODS = ("get", "post")

Document = dict[str, Any]


@cache
def described(app: Flask) -> Document:
    return document(app, "")


def operations(api: Document) -> dict[str, Document]:
    """Every operation by its name."""
    return {made["operationId"]: made for path in api["paths"].values() for made in path.values()}


def faults(app: Flask, request: Request, answer: Response) -> list[str]:
    """How a real answer differs from what is described: its status, media type, headers and shape."""
    rule = request.url_rule
    if rule is None:
        return []  # No route was found, so that there is no operation.
    operation = operations(described(app))[_name(rule)]
    at = f"{request.method} {rule.rule} answers {answer.status_code}"
    told = operation["responses"].get(str(answer.status_code))
    if told is None:
        return [f"{at}, which is not described"]
    if answer.mimetype not in told["content"]:
        return [f"{at} as {answer.mimetype}, which is not described"]
    shape = told["content"][answer.mimetype].get("schema")
    if shape is None or request.method == "HEAD":
        return []
    if "$ref" not in shape:
        plain = jsonschema_rs.Draft202012Validator(shape)
        return [f"{at}: {error.message}" for error in plain.iter_errors(answer.get_data(as_text=True))]
    validator = _validator(app, shape["$ref"])
    return [f"{at}: {error.message} at {error.instance_path}" for error in validator.iter_errors(answer.get_json(True))]


def _name(rule: Rule) -> str:
    endpoint: str = rule.endpoint
    return endpoint.rpartition(".")[2]


@cache
def _validator(app: Flask, reference: str) -> jsonschema_rs.Draft202012Validator:
    api = described(app)
    return jsonschema_rs.Draft202012Validator(
        {"$ref": reference, "components": _closed(api["components"])}, validate_formats=True
    )


def _closed(schema: Any) -> Any:
    """The same without room for a field that is not described: the published one leaves it to answers that grow."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **closed} if "properties" in schema and "type" in schema else closed
