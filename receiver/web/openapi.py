"""The OpenAPI 3.1 document, made from the routes and the models that each view reads and writes with."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

from receiver import __version__
from receiver.web.operation import AS_CSV, LINK, Content, Operation, operation_of
from receiver.web.schemas.base import Answer, Body, ListPage, Problem, Shape
from receiver.web.staff.browser import is_page

Document = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"

ABOUT = """\
Times are RFC 3339 in UTC; amounts are decimal strings. Answers may gain fields: ignore what you do not know.

Below `/api/v1` nothing is passed over: a query parameter or field that is not known, and one that is given twice where
one value is taken, is a 400 that names it.

Errors are problem documents (RFC 9457). Besides those listed with each operation: 400 to what is not HTTP, 404 where
there is no such path, 405 with `Allow` to another method, 414 and 431 to a request line or headers that are too large,
417 to an expectation other than `100-continue`, 501 to a `Transfer-Encoding` other than `chunked` alone.
`HEAD` is answered wherever `GET` is.
"""

ANY_REQUEST = {
    414: "The request line is too long.",
    417: "An expectation other than `100-continue`.",
    431: "The headers are too large.",
    501: "A `Transfer-Encoding` other than `chunked` alone.",
}

HEADERS = {
    401: {"WWW-Authenticate": "What proof is asked for."},
    403: {"WWW-Authenticate": "The scope that is asked for, where the token lacks it."},
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
        if is_page(rule.rule):
            continue  # Pages are for people; docs/staff.md has them.
        view = app.view_functions[rule.endpoint]
        described = operation_of(view)
        if described is None:
            raise NotDescribed(rule.rule)
        models |= _models(described)
        for path in described.forms or [_path(rule)]:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                made = _operation(inspect.getdoc(view) or "", described, path)
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


def _operation(docstring: str, described: Operation, path: str) -> Document:
    summary, _, more = docstring.partition("\n")
    needs = f"Scope `{described.scope}`." if described.scope else "No token is asked for."
    parameters = [
        *(given for given in _parameters(described.path, "path") if f"{{{given['name']}}}" in path),
        *_parameters(described.query, "query"),
        *_parameters(described.headers, "header"),
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
        made["requestBody"] = _body(described.body)
    made["responses"] = {str(status): answer for status, answer in sorted(_answers(described))}
    return made


def _tag(path: str) -> str:
    words = path.strip("/").split("/")
    return "callbacks" if words[0] == "webhooks" else words[2] if words[0] == "api" else "operations"


def _parameters(model: type[Shape] | None, place: str) -> Iterator[Document]:
    """Describe the fields of a model as parameters of a path, a query or a header."""
    for name, schema in (model.model_json_schema()["properties"] if model else {}).items():
        del schema["title"]
        made: Document = {"name": name, "in": place, "description": schema.pop("description"), "schema": schema}
        if place != "header" and "examples" in schema:
            made["example"] = schema.pop("examples")[0]
        if place == "path":
            made["required"] = True
        if place == "query":
            made["allowEmptyValue"] = True
        yield made


def _body(body: Sequence[type[Body]] | Content) -> Document:
    if isinstance(body, Content):
        return {"description": body.about, "required": True, "content": _content(body)}
    shapes = [_reference(model) for model in body]
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    about = " Or: ".join(inspect.getdoc(model) or "" for model in body)
    return {"description": about, "required": True, "content": {"application/json": {"schema": schema}}}


def _answers(described: Operation) -> Iterator[tuple[int, Document]]:
    for status, answer in described.answers.items():
        content = answer if isinstance(answer, Content) else shows(answer)
        yield status, _answer(content)
    for status, about in {**_problems(described), **described.problems}.items():
        yield status, _answer(Content(about, {"application/problem+json": Problem}, HEADERS.get(status, {})))


def shows(model: type[Answer]) -> Content:
    """Describe a model's JSON, and the CSV of a list; its docstring says what it is."""
    about = inspect.getdoc(model) or ""
    if issubclass(model, ListPage):
        return Content(f"{about} The CSV has its cursor in `Link`.", {"application/json": model, **AS_CSV}, LINK)
    return Content(about, {"application/json": model})


def _problems(described: Operation) -> dict[int, str]:
    """List the problems that an operation may answer without saying so."""
    found = dict(ANY_REQUEST)
    if described.scope:
        found[400] = "A parameter is not known here, or not what it takes; `detail` names it."
    if described.takes_body:
        found[400] = "The body, or a parameter, is not what is taken; `detail` says why."
    if described.body or described.takes_body:
        found[413] = "The body is too large."
    if described.scope:
        found[401] = "There is no valid token."
        found[403] = "The token lacks the scope, or may not see what was asked for."
    if described.asks_database:
        found[503] = "The database is unavailable, or the receiver can't answer just now."
    return found


def _answer(content: Content) -> Document:
    made: Document = {"description": content.about, "content": _content(content)}
    if content.headers:
        made["headers"] = {
            name: {"description": about, "schema": {"type": "string"}} for name, about in content.headers.items()
        }
    return made


def _content(content: Content) -> Document:
    return {kind: {"schema": _shape(shape)} if shape else {} for kind, shape in content.types.items()}


def _models(described: Operation) -> set[type[BaseModel]]:
    """Return the models of an operation's body and answers; those of its parameters have no name in the document."""
    found: list[Any] = [] if isinstance(described.body, Content) else [*described.body]
    for answer in described.answers.values():
        found += answer.types.values() if isinstance(answer, Content) else [answer]
    return {each for each in found if isinstance(each, type)}


def _shape(given: type[BaseModel] | Mapping[str, Any]) -> Document:
    return _reference(given) if isinstance(given, type) else dict(given)


def _reference(model: type[BaseModel]) -> Document:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _schemas(models: set[type[BaseModel]]) -> Mapping[str, Any]:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, made = models_json_schema([(model, _mode(model)) for model in ordered], ref_template=REFERENCE)
    schemas: Mapping[str, Any] = made["$defs"]
    return schemas


def _mode(model: type[BaseModel]) -> JsonSchemaMode:
    """Describe a body as it is read, an answer as it is written."""
    return "validation" if issubclass(model, Body) else "serialization"
