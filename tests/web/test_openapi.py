"""`/openapi.json` and `/docs`: every route is described, and the description is true.

That real answers fit it is checked in every test, by `answers_are_as_described` in `tests/conftest.py`.
"""

import re
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
from bank import BankSigner, deposit
from conftest import make_token
from flask import Flask, Request, jsonify
from flask.testing import FlaskClient
from web.described import METHODS, Document, described, operations
from web.reading import Headers, assert_problem, get, got, send, send_deposits
from werkzeug.datastructures import ImmutableMultiDict

from receiver import runtime
from receiver.runtime import Runtime
from receiver.store.api_tokens import SCOPES
from receiver.web import create_app
from receiver.web.openapi import NotDescribed, document
from receiver.web.staff.browser import is_page

pytestmark = pytest.mark.usefixtures("source")

API = described()

CALLS = [(method, path, made) for path, methods in API["paths"].items() for method, made in methods.items()]
NAMES = [made["operationId"] for _, _, made in CALLS]
SCOPED = [call for call in CALLS if call[2]["security"]]
STORED = [call for call in CALLS if "503" in call[2]["responses"]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what is described does not depend on it."""
    return sqlite_url


def filled(path: str) -> str:
    """A path with something in the place of its parameters."""
    return re.sub(r"{\w+}", "x", path)


def call(client: FlaskClient, method: str, path: str, headers: Headers | None = None) -> Any:
    return client.open(filled(path), method=method.upper(), headers=headers, json={} if method == "post" else None)


def test_it_is_served_without_a_token(client: FlaskClient) -> None:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json() == API


def test_it_is_the_same_in_every_process(client: FlaskClient, parts: Runtime) -> None:
    other = create_app(parts).test_client()
    assert other.get("/openapi.json").data == client.get("/openapi.json").data


def test_it_is_openapi_3_1() -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(API)] == []


@pytest.mark.parametrize("name", API["components"]["schemas"])
def test_every_shape_is_json_schema_2020_12(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    jsonschema_rs.meta.validate({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    jsonschema_rs.Draft202012Validator(schema)


def test_every_route_is_described(app: Flask) -> None:
    expected = {
        (method.lower(), re.sub(r"<(?:[a-z]+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not is_page(rule.rule)
    }
    # One rule takes all that follows /webhooks/.
    expected.remove(("post", "/webhooks/{_rest}"))
    expected |= {("post", "/webhooks/{source}"), ("post", "/webhooks/{source}/{channel}")}
    assert {(method, path) for method, path, _ in CALLS} == expected


def test_a_route_that_is_not_described_is_an_error(app: Flask) -> None:
    app.add_url_rule("/new", "new", lambda: jsonify({}))
    with pytest.raises(NotDescribed, match="/new"):
        document(app, "")


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for _, path, made in CALLS:
        assert made["summary"], path
        assert all(given["description"] for given in made.get("parameters", ())), path
        assert all(answer["description"] for answer in made["responses"].values()), path


@pytest.mark.parametrize(("method", "path", "made"), CALLS, ids=NAMES)
def test_every_part_of_a_path_is_described(method: str, path: str, made: Document) -> None:
    assert method in METHODS
    names = [given["name"] for given in made.get("parameters", ()) if given["in"] == "path"]
    assert names == re.findall(r"{(\w+)}", path)


@pytest.mark.parametrize(("method", "path", "made"), CALLS, ids=NAMES)
def test_the_query_parameters_that_are_read_are_those_described(
    parts: Runtime, token: Headers, method: str, path: str, made: Document
) -> None:
    read: set[str] = set()

    class Recording(ImmutableMultiDict[str, str]):
        def get(self, key: str, *args: Any, **options: Any) -> Any:
            read.add(key)
            return super().get(key, *args, **options)

        def getlist(self, key: str, *args: Any, **options: Any) -> Any:
            read.add(key)
            return super().getlist(key, *args, **options)

    class RecordingRequest(Request):
        @property
        def args(self) -> ImmutableMultiDict[str, str]:
            return Recording()

    app = create_app(parts)
    app.request_class = RecordingRequest
    call(app.test_client(), method, path, token)
    assert read == {given["name"] for given in made.get("parameters", ()) if given["in"] == "query"}


NUMBERS = [
    (path, given["name"], given["schema"]["minimum"], given["schema"]["maximum"])
    for _, path, made in CALLS
    for given in made.get("parameters", ())
    if given["schema"].get("type") == "integer"
]


@pytest.mark.parametrize(("path", "name", "least", "most"), NUMBERS)
def test_the_least_and_most_of_a_number_are_the_real_ones(
    client: FlaskClient, bank: BankSigner, token: Headers, path: str, name: str, least: int, most: int
) -> None:
    send_deposits(client, bank, 1)  # so that nothing is waited for
    for refused in (least - 1, most + 1):
        assert_problem(get(client, filled(path), token, **{name: refused}), 400, f"`{name}`")
    for taken in (least, most):
        answer = get(client, filled(path), token, **{name: taken})
        # Of a path that leads nowhere, something else is wrong.
        assert answer.status_code == 200 or ("{date}" in path and f"`{name}`" not in answer.text)


@pytest.mark.parametrize(("method", "path", "made"), SCOPED, ids=[made["operationId"] for *_, made in SCOPED])
def test_the_scope_is_the_one_that_is_asked_for(
    client: FlaskClient, parts: Runtime, method: str, path: str, made: Document
) -> None:
    (scope,) = re.findall(r"Scope `([a-z:]+)`\.$", made["description"])
    assert call(client, method, path).status_code == 401
    others = make_token(parts, *(other for other in SCOPES if other != scope), name="others")
    refused = call(client, method, path, others)
    assert_problem(refused, 403, scope)
    assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]
    assert call(client, method, path, make_token(parts, scope, name="this")).status_code not in (401, 403)


@pytest.mark.parametrize(
    ("method", "path"),
    [call[:2] for call in CALLS if not call[2]["security"]],
    ids=[made["operationId"] for *_, made in CALLS if not made["security"]],
)
def test_no_token_is_asked_for_where_none_is_described(client: FlaskClient, method: str, path: str) -> None:
    assert call(client, method, path).status_code in (200, 404)


@pytest.mark.parametrize(("method", "path", "made"), CALLS, ids=NAMES)
def test_503_is_described_where_the_database_is_asked(parts: Runtime, method: str, path: str, made: Document) -> None:
    nothing = parts.settings.model_copy(update={"database_url": "postgresql+psycopg://u:p@127.0.0.1:1/nothing"})
    client = create_app(runtime.start(nothing)).test_client()
    answer = call(client, method, path, {"Authorization": "Bearer rcv_x"})
    assert (answer.status_code == 503) == ("503" in made["responses"])
    if answer.status_code == 503:
        assert set(made["responses"]["503"]["headers"]) <= set(answer.headers.keys())


def test_the_feed_is_described_in_both_forms(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 2)
    content = operations(API)["read_feed"]["responses"]["200"]["content"]
    for kind in content:
        answer = client.get("/api/v1/feed?limit=1", headers={**token, "Accept": kind})
        assert answer.mimetype == kind
    assert set(content) == {"application/json", "application/cloudevents-batch+json", "text/csv"}


def test_every_kind_of_answer_fits(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    """One of each, with values in the fields that are mostly empty; the fixture compares."""
    event_id = send(client, bank.sign(deposit()))
    send(client, bank.sign(deposit(), "/webhooks/bcb/deposits"))
    send(client, bank.sign(b"not understood"))
    assert got(client, f"/api/v1/events/{event_id}", token)["timeline"]
    assert get(client, f"/api/v1/events/{event_id}/raw", token).content_type == "application/octet-stream"
    assert got(client, "/api/v1/payments/bcb/FT2384654NXF6", token)["payment_id"]
    page = got(client, "/api/v1/consumers/ledger/feed", token)
    for what, body in (("ack", {"cursor": page["next"]}), ("seek", {"to": "beginning"})):
        assert client.post(f"/api/v1/consumers/ledger/{what}", headers=token, json=body).status_code == 200
    asked = {"dry_run": True, "reason": "a test", "filter": {"source": ["bcb"]}, "per_second": 5, "consumer": "ledger"}
    planned = client.post("/api/v1/replays", headers=token, json=asked)
    assert planned.get_json()["matched"] == 2
    started = client.post("/api/v1/replays", headers=token, json={"plan": planned.get_json()["plan"]})
    assert started.status_code == 202
    replay = f"/api/v1/replays/{started.get_json()['id']}"
    assert got(client, replay, token)["state"] == "running"
    assert client.post(f"{replay}/cancel", headers=token).get_json()["state"] == "cancelled"
    assert client.post(f"{replay}/cancel", headers=token).status_code == 409
    for path in ("/", "/healthz", "/readyz"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("name", "body", "headers", "status"),
    [
        ("receive", b"{}", {}, 401),
        ("receive", b"{}", {"Content-Encoding": "br"}, 415),
        ("receive", b"x" * 1_048_577, {}, 413),
        ("acknowledge", b"x" * 1_048_577, {}, 413),
        ("acknowledge", b"{}", {}, 400),
        ("seek", b"[]", {}, 400),
        ("plan_or_run", b"{}", {}, 400),
    ],
)
def test_refusals_fit(
    client: FlaskClient, token: Headers, name: str, body: bytes, headers: Headers, status: int
) -> None:
    path = next(path for _, path, made in CALLS if made["operationId"] == name)
    answer = client.post(re.sub(r"{\w+}", "bcb", path), data=body, headers={**token, **headers})
    assert_problem(answer, status)
    assert set(operations(API)[name]["responses"][str(status)].get("headers", ())) <= set(answer.headers.keys())


def test_the_public_prefix_stands_before_every_path(parts: Runtime) -> None:
    settings = parts.settings.model_copy(update={"public_path_prefix": "/bank"})
    client = create_app(runtime.start(settings)).test_client()
    assert client.get("/openapi.json").get_json()["servers"] == [{"url": "/bank"}]
    assert "RECEIVER=https://receiver.example/bank\n" in client.get("/docs").text


class Page(HTMLParser):
    """What a page refers to and holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self.ids += [value or "" for name, value in attrs if name == "id"]


def test_the_page_takes_nothing_from_another_host_and_runs_nothing(client: FlaskClient) -> None:
    answer = client.get("/docs")
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "style-src 'unsafe-inline'"} <= set(policy)
    page = Page(answer.text)
    assert [given for given in page.references if given != "openapi.json" and not given.startswith("#")] == []
    assert not page.tags & {"script", "link", "img", "iframe", "form", "object", "embed"}
    assert "@import" not in answer.text
    assert "url(" not in answer.text


def test_every_link_on_the_page_leads_somewhere(client: FlaskClient) -> None:
    page = Page(client.get("/docs").text)
    assert {given[1:] for given in page.references if given.startswith("#")} == set(page.ids)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize(("method", "path", "made"), CALLS, ids=NAMES)
def test_the_page_shows_every_operation_with_an_example(
    client: FlaskClient, method: str, path: str, made: Document
) -> None:
    text = client.get("/docs").text
    shown = text.partition(f'<section id="{made["operationId"]}">')[2].partition("</section>")[0]
    assert f"{method.upper()}</span>" in shown
    assert path in shown
    assert re.search(r"<pre><code>curl .*\$RECEIVER/", shown, re.DOTALL)
    assert ("Bearer $TOKEN" in shown) == bool(made["security"])
