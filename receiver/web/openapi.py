"""The OpenAPI 3.1 document, made from the routes and what each view says of itself."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from receiver import __version__
from receiver.web.describing import Answer, Description, Parameter, description_of
from receiver.web.schemas import Problem

Document = dict[str, Any]

PROBLEM = Answer("", {"application/problem+json": Problem})
REFERENCE = "#/components/schemas/{model}"

ABOUT = """\
Times are RFC 3339 in UTC; amounts are decimal strings. Answers may gain fields: ignore what you do not know.

Errors are problem documents (RFC 9457). Besides those listed with each operation: 400 to what is not HTTP, 404 where
there is no such path, 405 with `Allow` to another method, 414 and 431 to a request line or headers that are too large.
`HEAD` is answered wherever `GET` is.
"""

ANY_REQUEST = {414: "The request line is too long.", 431: "The headers are too large."}

HEADERS = {
    401: {"WWW-Authenticate": "What proof is asked for."},
    415: {"Accept-Encoding": "The content codings that are undone."},
    503: {"Retry-After": "Seconds to wait before the request is sent again."},
}


class NotDescribed(Exception):
    """A route has no description."""


def document(app: Flask, prefix: str) -> Document:
    """Describe every route of an application; `prefix` is the path that a proxy takes off, or empty.

    Raises:
        NotDescribed
    """
    models: set[type[BaseModel]] = {Problem}
    paths: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        description = description_of(view)
        if description is None:
            raise NotDescribed(rule.rule)
        models |= _models(description)
        for path in description.forms or [_path(rule)]:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                made = _operation(inspect.getdoc(view) or "", description, path)
                name = rule.endpoint.rpartition(".")[2] + ("_at_channel" if path.endswith("/{channel}") else "")
                paths.setdefault(path, {})[method.lower()] = {"operationId": name, **made}
    return {
        "openapi": "3.1.1",
        "info": {"title": "Bank callback receiver", "version": __version__, "description": ABOUT},
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(models),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token, `rcv_…`, from `receiver token create`. The scope that an operation "
                    "needs stands in its description.",
                }
            },
        },
    }


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:[a-z]+:)?(\w+)>", r"{\1}", rule.rule)


def _operation(docstring: str, described: Description, path: str) -> Document:
    summary, _, more = docstring.partition("\n")
    needs = f"Scope `{described.scope}`." if described.scope else "No token is asked for."
    parameters = [
        *(_parameter(given, "path") for given in described.path if f"{{{given.name}}}" in path),
        *(_parameter(given, "query") for given in described.query),
        *(_parameter(given, "header") for given in described.headers),
    ]
    made: Document = {
        "summary": summary.rstrip("."),
        "description": "\n\n".join(filter(None, (summary, more.strip(), needs))),
        "tags": [_tag(path)],
        "security": [{"token": []}] if described.scope else [],
    }
    if parameters:
        made["parameters"] = parameters
    if described.body:
        made["requestBody"] = _body(described)
    made["responses"] = {str(status): answer for status, answer in sorted(_answers(described))}
    return made


def _tag(path: str) -> str:
    words = path.strip("/").split("/")
    return "callbacks" if words[0] == "webhooks" else words[2] if words[0] == "api" else "operations"


def _parameter(given: Parameter, place: str) -> Document:
    made: Document = {"name": given.name, "in": place, "description": given.about, "schema": dict(given.schema)}
    if given.example is not None:
        made["example"] = given.example
    if place == "path":
        made["required"] = True
    if place == "query":
        made["allowEmptyValue"] = True
    return made


def _body(described: Description) -> Document:
    assert described.body is not None  # noqa: S101 - for the type checker
    models = [_reference(model) for model in described.body.models]
    schema = models[0] if len(models) == 1 else {"anyOf": models}
    content = {"application/json": {"schema": schema}} if models else {"*/*": {}}
    return {"description": described.body.about, "required": True, "content": content}


def _answers(described: Description) -> Iterator[tuple[int, Document]]:
    for status, answer in described.answers.items():
        yield status, _answer(answer)
    for status, about in {**_problems(described), **described.problems}.items():
        yield status, _answer(Answer(about, PROBLEM.content, HEADERS.get(status, {})))


def _problems(described: Description) -> dict[int, str]:
    """Return the problems that follow from what a description asks for, by their status."""
    found = dict(ANY_REQUEST)
    if described.query:
        found[400] = "A parameter is not what it takes; `detail` names it."
    if described.body:
        found[400] = "The body is not what is taken; `detail` says why."
        found[413] = "The body is too large."
    if described.scope:
        found[401] = "There is no valid token."
        found[403] = "The token lacks the scope, or may not see what was asked for."
    if described.asks_database:
        found[503] = "The database is unavailable, or the receiver can't answer just now."
    return found


def _answer(answer: Answer) -> Document:
    content = {kind: {"schema": _shape(model)} if model else {} for kind, model in answer.content.items()}
    made: Document = {"description": answer.about, "content": content}
    if answer.headers:
        made["headers"] = {
            name: {"description": about, "schema": {"type": "string"}} for name, about in answer.headers.items()
        }
    return made


def _models(described: Description) -> set[type[BaseModel]]:
    shapes = (shape for answer in described.answers.values() for shape in answer.content.values())
    answered = {shape for shape in shapes if isinstance(shape, type)}
    return answered | set(described.body.models if described.body else ())


def _shape(given: type[BaseModel] | Mapping[str, Any]) -> Document:
    return _reference(given) if isinstance(given, type) else dict(given)


def _reference(model: type[BaseModel]) -> Document:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _schemas(models: set[type[BaseModel]]) -> Mapping[str, Any]:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, made = models_json_schema([(model, "validation") for model in ordered], ref_template=REFERENCE)
    schemas: Mapping[str, Any] = made["$defs"]
    return schemas
