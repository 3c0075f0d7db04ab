"""What the OpenAPI description says of an answer, held against the answer itself (a contract test of every answer)."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import jsonschema_rs
import requests
import servers
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.routing import Map, Rule
from werkzeug.test import run_wsgi_app

from receiver import runtime
from receiver.settings import Settings
from receiver.web import create_app
from receiver.web.openapi import document
from receiver.web.staff.browser import is_page

METHODS = ("get", "post")

MEANT_FOR_PROGRAMS = ("WWW-Authenticate", "Retry-After", "Accept-Encoding")
"""Headers that a sender acts on: they are sent where they are described, and nowhere else."""

SENT_AT_TIMES = (403,)
"""Where such a header depends on why: a token without the scope is told which; one that may not see a source is not."""

UNROUTED = (400, 404, 405, 414, 417, 431, 501)
"""What the description says of all requests at once: those that lead to no operation, and those that are not HTTP."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A request, by its method and its path without percent-encoding, and what was answered."""

    method: str
    path: str
    status: int
    headers: Headers
    body: bytes


@cache
def plain_app() -> Flask:
    """The application over a database that is never asked."""
    settings = Settings(_env_file=None, secret_keys="A" * 43 + "=", database_url="sqlite:///unused.db")
    return create_app(runtime.start(settings))


@cache
def described() -> Document:
    """The document that `/openapi.json` serves."""
    return document(plain_app(), "")


def operations(api: Document) -> dict[str, Document]:
    """Every operation by its name."""
    return {made["operationId"]: made for path in api["paths"].values() for made in path.values()}


@contextmanager
def watched(api: Document | None = None) -> Iterator[list[str]]:
    """Hold every answer of this process's applications, and of servers that it has started, against a description.

    The list that is given fills with the faults found. It sits around the whole WSGI application, so that it sees
    callbacks too, which never come to Flask's own signals.
    """
    found: list[str] = []
    call, send = Flask.__call__, requests.Session.send

    def calling(app: Flask, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if app.import_name != "receiver":
            return call(app, environ, start_response)  # The simulator's applications answer as the banks do.
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        parts, status, headers = run_wsgi_app(lambda *given: call(app, *given), environ, buffered=True)
        body = b"".join(parts)
        exchange = Exchange(environ["REQUEST_METHOD"], path, int(status.split()[0]), headers, body)
        found.extend(faults(api or described(), app.url_map, exchange))
        start_response(status, list(headers))
        return [body]

    def sending(session: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        answer = send(session, request, **more)
        if not more.get("stream") and any(str(request.url).startswith(f"{url}/") for url in servers.STARTED):
            path = unquote(urlsplit(str(request.url)).path, errors="replace")
            given = Headers(list(answer.headers.items()))
            exchange = Exchange(str(request.method), path, answer.status_code, given, answer.content)
            found.extend(faults(api or described(), plain_app().url_map, exchange))
        return answer

    with patch.object(Flask, "__call__", calling), patch.object(requests.Session, "send", sending):
        yield found


def faults(api: Document, routes: Map, exchange: Exchange) -> list[str]:
    """How a real answer differs from what is described: its status, media type, headers and shape."""
    if is_page(exchange.path):
        return []  # Pages are for people: docs/staff.md has them.
    rule, allowed = _route(routes, exchange)
    at = f"{exchange.method} {exchange.path} answers {exchange.status}"
    if rule is None:
        return _faults_unrouted(api, exchange, allowed, at)
    operation = _operation(api, rule, exchange)
    if operation is None:
        return []  # A route of the test's own; that the application has none is a test in test_openapi.
    told = operation["responses"].get(str(exchange.status))
    if told is None:
        return [f"{at}, which is not described"]
    kind, _ = parse_options_header(exchange.headers.get("Content-Type"))
    if kind not in told["content"]:
        return [f"{at} as {kind or 'nothing'}, which is not described"]
    return _faults_of_headers(told.get("headers", {}), exchange, at) + _faults_of_body(
        api, told["content"][kind].get("schema"), kind, exchange, at
    )


def _route(routes: Map, exchange: Exchange) -> tuple[Rule | None, set[str]]:
    """The route of a request; where there is none, the methods that its path would take."""
    adapter = routes.bind("receiver.example")
    try:
        rule, _ = adapter.match(exchange.path, exchange.method, return_rule=True)
    except HTTPException:
        return None, set(adapter.allowed_methods(exchange.path))
    return rule, set()


def _operation(api: Document, rule: Rule, exchange: Exchange) -> Document | None:
    if rule.rule.startswith("/webhooks/"):
        has_channel = "/" in exchange.path.removeprefix("/webhooks/")
        path = "/webhooks/{source}/{channel}" if has_channel else "/webhooks/{source}"
    else:
        path = re.sub(r"<(?:[a-z]+:)?(\w+)>", r"{\1}", rule.rule)
    method = "get" if exchange.method == "HEAD" else exchange.method.lower()
    found: Document | None = api["paths"].get(path, {}).get(method)
    return found


def _faults_unrouted(api: Document, exchange: Exchange, allowed: set[str], at: str) -> list[str]:
    """What the description promises besides the operations: a problem document, and `Allow` beside a 405."""
    kind, _ = parse_options_header(exchange.headers.get("Content-Type"))
    if exchange.status not in UNROUTED or kind != "application/problem+json":
        return [f"{at} as {kind or 'nothing'}, and there is no such operation"]
    named = {name.strip() for name in exchange.headers.get("Allow", "").split(",") if name.strip()}
    if named != (allowed if exchange.status == 405 else set()):
        return [f"{at} with Allow: {exchange.headers.get('Allow')}, but the path takes {', '.join(sorted(allowed))}"]
    return _faults_of_body(api, {"$ref": "#/components/schemas/Problem"}, kind, exchange, at)


def _faults_of_headers(told: Mapping[str, Any], exchange: Exchange, at: str) -> list[str]:
    described = [name for name in MEANT_FOR_PROGRAMS if name in told and exchange.status not in SENT_AT_TIMES]
    sent = [name for name in MEANT_FOR_PROGRAMS if name in exchange.headers]
    lacking = [f"{at} without {name}, which is described" for name in described if name not in sent]
    return lacking + [f"{at} with {name}, which is not described" for name in sent if name not in told]


def _faults_of_body(api: Document, shape: Document | None, kind: str, exchange: Exchange, at: str) -> list[str]:
    if shape is None or exchange.method == "HEAD":
        return []
    try:
        value = json.loads(exchange.body) if kind.endswith("json") else exchange.body.decode()
    except ValueError as error:
        return [f"{at}: {error}"]
    validator = _validator(json.dumps(shape), json.dumps(api["components"]["schemas"]))
    return [f"{at}: {error.message} at {error.instance_path}" for error in validator.iter_errors(value)]


@cache
def _validator(shape: str, schemas: str) -> jsonschema_rs.Draft202012Validator:
    components = {"schemas": _closed(json.loads(schemas))}
    return jsonschema_rs.Draft202012Validator({**json.loads(shape), "components": components}, validate_formats=True)


def _closed(schema: Any) -> Any:
    """The same without room for a field that is not described: the published one leaves it to answers that grow."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **closed} if "properties" in schema and "type" in schema else closed
