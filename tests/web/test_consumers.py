"""`/api/v1/consumers/<name>/…`: reading from a committed position, committing it, moving it on purpose."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from admin.looking import noted
from bank import BankSigner, deposit
from conftest import StandingClock, add_source, make_token
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from web.reading import Headers, assert_problem, get, got, send, send_deposits, spoilt
from werkzeug.test import TestResponse

from receiver.runtime import Runtime
from receiver.store import consumers, feed
from receiver.store.database import Database, StoreUnavailable
from receiver.store.tables import FeedHead, table_of
from receiver.web import create_app

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: the queries are tested on each in `tests/store/test_consumers.py`."""
    return sqlite_url


BATCH = "application/cloudevents-batch+json"
LEDGER = "/api/v1/consumers/ledger"
OTHER = "/api/v1/consumers/other"


def post(client: FlaskClient, path: str, token: Headers, **fields: Any) -> TestResponse:
    return client.post(path, headers=token, json=fields)


def posted(client: FlaskClient, path: str, token: Headers, **fields: Any) -> dict[str, Any]:
    """POST; return what it answers, which must be 200."""
    answer = post(client, path, token, **fields)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.get_json()
    return shown


def positions(page: dict[str, Any]) -> list[int]:
    return [entry["position"] for entry in page["data"]]


def test_first_use_begins_at_the_beginning(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    events = send_deposits(client, bank, 3)
    page = got(client, f"{LEDGER}/feed", token)
    assert set(page) == {"data", "next", "has_more"}
    assert [entry["eventid"] for entry in page["data"]] == events
    assert page["has_more"] is False


def test_reading_does_not_move_the_position(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 3)
    pages = [got(client, f"{LEDGER}/feed", token, limit=2) for _ in range(3)]
    assert [positions(page) for page in pages] == [[1, 2]] * 3


def test_an_ack_moves_the_position_to_its_cursor(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 3)
    page = got(client, f"{LEDGER}/feed", token, limit=2)
    answer = posted(client, f"{LEDGER}/ack", token, cursor=page["next"])
    assert answer == {"consumer": "ledger", "cursor": page["next"]}
    assert positions(got(client, f"{LEDGER}/feed", token)) == [3]


def test_the_position_survives_a_restart(client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime) -> None:
    send_deposits(client, bank, 3)
    posted(client, f"{LEDGER}/ack", token, cursor=got(client, f"{LEDGER}/feed", token, limit=2)["next"])
    restarted = create_app(parts).test_client()
    assert positions(got(restarted, f"{LEDGER}/feed", token)) == [3]


def test_an_earlier_cursor_does_not_move_back_and_answers_the_later_position(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 4)
    early = got(client, f"{LEDGER}/feed", token, limit=1)["next"]
    late = got(client, f"{LEDGER}/feed", token, limit=3)["next"]
    posted(client, f"{LEDGER}/ack", token, cursor=late)
    assert posted(client, f"{LEDGER}/ack", token, cursor=early)["cursor"] == late
    assert positions(got(client, f"{LEDGER}/feed", token)) == [4]


def test_two_readers_of_one_name_lose_nothing(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    """The slower one's ack comes last: what both have read is committed, and nothing beyond."""
    send_deposits(client, bank, 6)
    slow = got(client, f"{LEDGER}/feed", token, limit=2)
    fast = got(client, f"{LEDGER}/feed", token, limit=3)
    posted(client, f"{LEDGER}/ack", token, cursor=fast["next"])
    posted(client, f"{LEDGER}/ack", token, cursor=slow["next"])
    rest = got(client, f"{LEDGER}/feed", token)
    assert sorted({*positions(slow), *positions(fast), *positions(rest)}) == [1, 2, 3, 4, 5, 6]
    assert positions(rest) == [4, 5, 6]


def test_reading_ahead_goes_by_after_and_leaves_the_position(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 5)
    first = got(client, f"{LEDGER}/feed", token, limit=2)
    second = got(client, f"{LEDGER}/feed", token, limit=2, after=first["next"])
    assert positions(second) == [3, 4]
    assert positions(got(client, f"{LEDGER}/feed", token)) == [1, 2, 3, 4, 5]
    posted(client, f"{LEDGER}/ack", token, cursor=second["next"])
    assert positions(got(client, f"{LEDGER}/feed", token)) == [5]


def test_a_cursor_of_something_else_is_not_acknowledged(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 3)
    own = got(client, f"{LEDGER}/feed", token, limit=2)["next"]
    foreign = [
        got(client, "/api/v1/feed", token, limit=2)["next"],
        got(client, f"{OTHER}/feed", token, limit=2)["next"],
        got(client, "/api/v1/events", token, limit=2)["next"],
        *spoilt(own),
    ]
    for cursor in foreign:
        assert_problem(post(client, f"{LEDGER}/ack", token, cursor=cursor), 400, "ursor")
        assert_problem(get(client, f"{LEDGER}/feed", token, after=cursor), 400, "ursor")
    assert positions(got(client, f"{LEDGER}/feed", token)) == [1, 2, 3]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b'"x"', b"{", b"{}", b"\xff", b"[" * 100_000),
        *(b'{"cursor":%s}' % value for value in (b"null", b"1", b'""', b'"\\u0000"', b'"\\ud800"', b'["x"]')),
    ],
    ids=lambda body: repr(body[:24]),
)
@pytest.mark.parametrize("call", ["ack", "seek"])
def test_a_body_that_is_not_what_it_takes_is_refused(
    client: FlaskClient, token: Headers, call: str, body: bytes
) -> None:
    sent = body.replace(b"cursor", b"to") if call == "seek" else body
    assert_problem(client.post(f"{LEDGER}/{call}", headers=token, data=sent), 400)


def test_a_position_that_was_never_given_out_is_refused(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    """As a cursor from before a restore is: the database that gave it out was further."""
    send_deposits(client, bank, 3)
    own, plain = (got(client, path, token)["next"] for path in (f"{LEDGER}/feed", "/api/v1/feed"))
    with parts.database.write() as connection:
        connection.execute(update(table_of(FeedHead)).values(position=2))
    refused = "not given out by this database"
    assert_problem(post(client, f"{LEDGER}/ack", token, cursor=own), 400, refused)
    assert_problem(post(client, f"{LEDGER}/seek", token, to=own), 400, refused)
    assert_problem(post(client, f"{LEDGER}/seek", token, to=plain), 400, refused)
    assert_problem(get(client, f"{LEDGER}/feed", token, after=own), 400, refused)
    assert_problem(get(client, "/api/v1/feed", token, after=plain), 400, refused)


def test_seeking_to_the_beginning_the_end_and_cursors(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 5)
    own = got(client, f"{LEDGER}/feed", token, limit=2)["next"]
    plain = got(client, "/api/v1/feed", token, limit=3)["next"]
    expected = {"end": [], "beginning": [1, 2, 3, 4, 5], own: [3, 4, 5], plain: [4, 5]}
    for to, left in expected.items():
        answer = posted(client, f"{LEDGER}/seek", token, to=to)
        assert set(answer) == {"consumer", "cursor"}
        assert positions(got(client, f"{LEDGER}/feed", token)) == left
        assert positions(got(client, f"{LEDGER}/feed", token, after=answer["cursor"])) == left


@pytest.mark.parametrize("to", ["beginning", "end"])
def test_a_page_from_before_a_seek_does_not_undo_it(
    client: FlaskClient, bank: BankSigner, token: Headers, to: str
) -> None:
    send_deposits(client, bank, 5)
    posted(client, f"{LEDGER}/ack", token, cursor=got(client, f"{LEDGER}/feed", token, limit=2)["next"])
    under_way = got(client, f"{LEDGER}/feed", token, limit=2)
    moved = posted(client, f"{LEDGER}/seek", token, to=to)
    ahead = got(client, f"{LEDGER}/feed", token, after=under_way["next"])
    assert positions(ahead) == [5]
    for read in (under_way, ahead):
        assert posted(client, f"{LEDGER}/ack", token, cursor=read["next"]) == moved
    page = got(client, f"{LEDGER}/feed", token)
    assert positions(page) == ([1, 2, 3, 4, 5] if to == "beginning" else [])
    assert posted(client, f"{LEDGER}/ack", token, cursor=page["next"])["cursor"] == page["next"]
    assert got(client, LEDGER, token)["cursor"] == page["next"]
    posted(client, f"{LEDGER}/seek", token, to=under_way["next"])
    assert positions(got(client, f"{LEDGER}/feed", token)) == [5]


def test_a_poll_that_waits_while_the_consumer_is_moved_does_not_undo_it(
    app: Flask, client: FlaskClient, bank: BankSigner, token: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, wait_for_commit = threading.Event(), Database.wait_for_commit

    def tell_and_wait(database: Database, seen: int, seconds: float) -> bool:
        waits.set()
        return wait_for_commit(database, seen, seconds)

    monkeypatch.setattr(Database, "wait_for_commit", tell_and_wait)
    send_deposits(client, bank, 3)
    posted(client, f"{LEDGER}/ack", token, cursor=got(client, f"{LEDGER}/feed", token)["next"])
    pages: list[dict[str, Any]] = []
    poll = threading.Thread(target=lambda: pages.append(got(app.test_client(), f"{LEDGER}/feed", token, wait=30)))
    poll.start()
    assert waits.wait(60)
    posted(client, f"{LEDGER}/seek", token, to="beginning")
    send(client, bank.sign(deposit(transactionId="next")))
    poll.join()
    posted(client, f"{LEDGER}/ack", token, cursor=pages[0]["next"])
    assert positions(got(client, f"{LEDGER}/feed", token)) == [1, 2, 3, 4]


def test_a_seek_is_noted_and_one_that_is_refused_is_not(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    send_deposits(client, bank, 3)
    posted(client, f"{LEDGER}/seek", token, to="end")
    posted(client, f"{LEDGER}/seek", token, to="beginning")
    post(client, f"{LEDGER}/seek", token, to="nonsense")
    assert noted(parts) == [
        ("token:app", "consumer.moved", {"consumer": "ledger", "from": None, "to": 3}),
        ("token:app", "consumer.moved", {"consumer": "ledger", "from": 3, "to": 0}),
    ]


def test_seeking_to_the_end_passes_over_what_has_no_position_yet(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 2)
    posted(client, f"{LEDGER}/seek", token, to="end")
    event_id = send(client, bank.sign(deposit(transactionId="next")))
    assert [entry["eventid"] for entry in got(client, f"{LEDGER}/feed", token)["data"]] == [event_id]


def test_another_consumers_cursor_is_no_place_to_seek_to(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 2)
    for cursor in (got(client, f"{OTHER}/feed", token)["next"], "nonsense", "-1", "0", "1.5", "Beginning", "2026"):
        assert_problem(post(client, f"{LEDGER}/seek", token, to=cursor), 400)


@pytest.mark.parametrize(
    ("to", "left"),
    [
        ("2026-03-04T11:59:59Z", [1, 2, 3]),
        ("2026-03-04T12:00:00Z", [1, 2, 3]),
        ("2026-03-04t12:02:00z", [3]),
        ("2026-03-04T12:00:00.000001Z", [2, 3]),
        ("2026-03-04T12:01:00+00:00", [2, 3]),
        ("2026-03-04T13:01:00.000001+01:00", [3]),
        ("2026-03-04T12:02:00Z", [3]),
        ("2026-03-04T12:02:01Z", []),
        ("2030-01-01T00:00:00Z", []),
    ],
)
def test_seeking_to_a_time_leads_to_the_first_entry_of_that_time_or_later(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock, to: str, left: list[int]
) -> None:
    for number in range(3):
        send(client, bank.sign(deposit(transactionId=f"FT{number}")))
        clock.forward(60)
    posted(client, f"{LEDGER}/seek", token, to=to)
    assert positions(got(client, f"{LEDGER}/feed", token)) == left


def test_a_time_is_looked_up_before_anything_is_locked(
    client: FlaskClient, token: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def spied(step: str, act: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: [steps.append(step), act(*given)][1]  # type: ignore[func-returns-value]

    monkeypatch.setattr(feed, "position_at", spied("look", feed.position_at))
    monkeypatch.setattr(Database, "write", spied("write", Database.write))
    posted(client, f"{LEDGER}/seek", token, to="2026-03-04T12:00:00Z")
    assert steps[-2:] == ["look", "write"]


@pytest.mark.parametrize(
    "to", ["2026-03-04", "2026-03-04T12:00:00", "1900-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]
)
def test_a_time_without_a_zone_or_out_of_range_is_refused(client: FlaskClient, token: Headers, to: str) -> None:
    assert_problem(post(client, f"{LEDGER}/seek", token, to=to), 400, "`to`")


@pytest.mark.parametrize("name", ["-a", ".a", "_a", "a%20b", "%C3%A4", "a%00", "x" * 65, "%0A", "a%0A"])
def test_a_wrong_name_is_refused(client: FlaskClient, token: Headers, name: str) -> None:
    path = f"/api/v1/consumers/{name}"
    assert_problem(get(client, f"{path}/feed", token), 400, "name")
    assert_problem(post(client, f"{path}/ack", token, cursor="x"), 400, "name")
    assert_problem(post(client, f"{path}/seek", token, to="end"), 400, "name")


@pytest.mark.parametrize(("method", "call"), [("GET", "feed"), ("POST", "ack"), ("POST", "seek")])
def test_a_consumer_needs_the_scope_of_the_feed(client: FlaskClient, parts: Runtime, method: str, call: str) -> None:
    path = f"{LEDGER}/{call}"
    assert_problem(client.open(path, method=method), 401)
    other = make_token(parts, "events:read")
    assert_problem(client.open(path, method=method, headers=other), 403, "feed:read")


def test_a_token_limited_to_sources_sees_these_alone_and_the_cursor_goes_to_the_end(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    add_source(parts, "other")
    send_deposits(client, bank, 2)
    send_deposits(client, bank, 2, "other")
    send(client, bank.sign(deposit(transactionId="last")))
    limited = make_token(parts, sources=("other",), name="limited")
    page = got(client, f"{LEDGER}/feed", limited, limit=2)
    assert (positions(page), page["has_more"]) == ([3, 4], False)
    posted(client, f"{LEDGER}/ack", limited, cursor=page["next"])
    with parts.database.write() as connection:
        consumers.change(connection, "ledger", owner="limited", shared_with=["app"])
    assert got(client, f"{LEDGER}/feed", make_token(parts))["data"] == []


def test_a_batch_is_a_bare_array_and_the_cursor_in_its_link_can_be_acknowledged(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 3)
    answer = client.get(f"{LEDGER}/feed?limit=2", headers={**token, "Accept": BATCH})
    assert (answer.status_code, answer.content_type) == (200, BATCH)
    assert [entry["position"] for entry in json.loads(answer.data)] == [1, 2]
    target, _, relation = answer.headers["Link"].removeprefix("<").partition(">")
    assert relation == '; rel="next"'
    assert target.startswith(f"{LEDGER}/feed?")
    (cursor,) = parse_qs(urlsplit(target).query)["after"]
    following = client.get(target, headers={**token, "Accept": BATCH})
    assert [entry["position"] for entry in json.loads(following.data)] == [3]
    posted(client, f"{LEDGER}/ack", token, cursor=cursor)
    assert positions(got(client, f"{LEDGER}/feed", token)) == [3]


def test_a_consumer_waits_for_the_entry_that_comes(
    app: Flask, client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    signed = bank.sign(deposit())
    sender = threading.Timer(0.4, lambda: send(app.test_client(), signed))
    started = time.monotonic()
    sender.start()
    page = got(client, f"{LEDGER}/feed", token, wait=20)
    sender.join()
    assert positions(page) == [1]
    assert 0.3 < time.monotonic() - started < 20


def test_what_is_not_wanted_is_not_walked_over_again(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    """The cursor goes through to the head, whatever stands in between."""
    send_deposits(client, bank, 3)
    page = got(client, "/api/v1/feed", token, type="bcb.job.completed")
    assert (page["data"], page["has_more"]) == ([], False)
    assert page["next"] == got(client, "/api/v1/feed", token)["next"]


def test_a_database_that_cannot_be_written_is_503(
    client: FlaskClient, bank: BankSigner, token: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_deposits(client, bank, 1)
    cursor = got(client, f"{LEDGER}/feed", token)["next"]

    def fail(_: Database) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Database, "write", fail)
    assert_problem(post(client, f"{LEDGER}/ack", token, cursor=cursor), 503)
    assert positions(got(client, f"{LEDGER}/feed", token)) == [1]
