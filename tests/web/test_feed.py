"""`GET /api/v1/feed`: the ordered log as downstream apps read it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bank import BankSigner, deposit, job
from conftest import StandingClock, add_source, make_token
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete
from web.reading import Headers, assert_problem, get, got, send, send_deposits, spoilt

from receiver.runtime import Runtime
from receiver.store.tables import FeedEntry, table_of
from receiver.web import create_app

pytestmark = pytest.mark.usefixtures("source")

FEED = "/api/v1/feed"
BATCH = "application/cloudevents-batch+json"


def everything(client: FlaskClient, token: Headers, **query: Any) -> list[dict[str, Any]]:
    """Follow `next` until there is no more."""
    entries: list[dict[str, Any]] = []
    while True:
        page = got(client, FEED, token, **query)
        entries += page["data"]
        if not page["has_more"]:
            return entries
        assert len(page["data"]) == query["limit"]
        query["after"] = page["next"]


def test_an_entry_is_a_cloudevent_to_the_letter(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    event_id = send(client, bank.sign(deposit()))
    (entry,) = got(client, FEED, token)["data"]
    data = entry.pop("data")
    assert entry.pop("id")
    assert entry == {
        "specversion": "1.0",
        "source": "/sources/bcb",
        "type": "bcb.deposit",
        "subject": "FT2384654NXF6",
        "time": "2026-03-04T12:00:00.000000Z",
        "datacontenttype": "application/json",
        "position": 1,
        "eventid": event_id,
    }
    assert datetime.fromisoformat(entry["time"]) == datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert (data["payment_id"], data["amount"], data["currency"]) == ("FT2384654NXF6", "1000.00", "USD")
    assert (data["claimed_status"], data["proof"]) == ("completed", "signature")


def test_no_attribute_of_an_entry_is_null(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    """CloudEvents 1.0 leaves out what has no value; extension names are lower-case letters and digits."""
    send(client, bank.sign(b"not understood"))
    (entry,) = got(client, FEED, token)["data"]
    assert "subject" not in entry
    assert None not in entry.values()
    assert all(name.isalnum() and name.islower() for name in entry)


def test_the_subject_of_a_job_is_the_job(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send(client, bank.sign(job("job-1")))
    assert [entry["subject"] for entry in got(client, FEED, token)["data"]] == ["job-1"]


def test_ids_are_unique(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 5)
    assert len({entry["id"] for entry in got(client, FEED, token)["data"]}) == 5


def test_an_empty_feed_has_a_cursor_to_go_on_from(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    page = got(client, FEED, token)
    assert set(page) == {"data", "next", "has_more"}
    assert (page["data"], page["has_more"]) == ([], False)
    send(client, bank.sign(deposit()))
    assert len(got(client, FEED, token, after=page["next"])["data"]) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_following_next_gives_every_entry_once_in_order(
    client: FlaskClient, bank: BankSigner, token: Headers, limit: int
) -> None:
    events = send_deposits(client, bank, 7)
    entries = everything(client, token, limit=limit)
    assert [entry["eventid"] for entry in entries] == events
    assert [entry["position"] for entry in entries] == list(range(1, 8))


def test_has_more_is_false_on_a_last_page_that_is_full(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 2)
    assert got(client, FEED, token, limit=2)["has_more"] is False
    assert got(client, FEED, token, limit=1)["has_more"] is True


def test_the_same_cursor_gives_the_same_page(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 4)
    first = got(client, FEED, token, limit=2)
    assert got(client, FEED, token, limit=2, after=first["next"]) == got(
        client, FEED, token, limit=2, after=first["next"]
    )


def test_a_cursor_at_the_end_stays_good_when_entries_are_gone(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    send_deposits(client, bank, 3)
    end = got(client, FEED, token)["next"]
    with parts.database.write() as connection:
        connection.execute(delete(table_of(FeedEntry)))
    event_id = send(client, bank.sign(deposit(transactionId="later")))
    (entry,) = got(client, FEED, token, after=end)["data"]
    assert (entry["eventid"], entry["position"]) == (event_id, 4)


def test_a_cursor_survives_a_restart_and_a_new_key_in_front(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    events = send_deposits(client, bank, 3)
    cursor = got(client, FEED, token, limit=1)["next"]
    keys = ["B" * 43 + "=", *parts.settings.keys]
    settings = parts.settings.model_validate({**parts.settings.model_dump(), "secret_keys": ",".join(keys)})
    restarted = create_app(Runtime(settings, parts.database, parts.encryption, parts.clock)).test_client()
    assert [entry["eventid"] for entry in got(restarted, FEED, token, after=cursor)["data"]] == events[1:]


def test_a_type_filter_keeps_the_cursor_right(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    for number in range(4):
        send(client, bank.sign(deposit(transactionId=f"FT{number}")))
        send(client, bank.sign(job(f"job-{number}")))
    jobs = everything(client, token, limit=1, type="bcb.job.completed")
    assert [entry["position"] for entry in jobs] == [2, 4, 6, 8]
    both = everything(client, token, limit=3, type=["bcb.job.completed", "bcb.deposit"])
    assert [entry["position"] for entry in both] == list(range(1, 9))
    assert everything(client, token, limit=3, type="bcb.job.never") == []


def test_a_source_filter_keeps_the_cursor_right(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    add_source(parts, "other")
    for number in range(3):
        send(client, bank.sign(deposit(transactionId=f"FT{number}")))
        send(client, bank.sign(deposit(transactionId=f"FT{number}"), "/webhooks/other"))
    entries = everything(client, token, limit=1, source="other")
    assert {entry["source"] for entry in entries} == {"/sources/other"}
    assert [entry["position"] for entry in entries] == [2, 4, 6]


def test_a_token_limited_to_a_source_sees_that_one_alone(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    add_source(parts, "other")
    send_deposits(client, bank, 2)
    send_deposits(client, bank, 2, "other")
    limited = make_token(parts, sources=("other",), name="limited")
    assert [entry["position"] for entry in everything(client, limited, limit=1)] == [3, 4]
    assert_problem(get(client, FEED, limited, source="bcb"), 403, "bcb")
    assert_problem(get(client, FEED, limited, source=["other", "bcb"]), 403, "bcb")


def test_a_cursor_that_was_not_given_out_by_the_feed_is_refused(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 3)
    cursors = spoilt(got(client, FEED, token, limit=1)["next"])
    cursors.append(got(client, "/api/v1/events", token, limit=1)["next"])
    cursors.append(got(client, "/api/v1/payments", token, limit=1)["next"])
    for cursor in cursors:
        assert_problem(get(client, FEED, token, after=cursor), 400, "cursor")


def test_a_cursor_signed_with_another_key_is_refused(client: FlaskClient, token: Headers, parts: Runtime) -> None:
    settings = parts.settings.model_validate({**parts.settings.model_dump(), "secret_keys": "B" * 43 + "="})
    foreign = create_app(Runtime(settings, parts.database, parts.encryption, parts.clock)).test_client()
    assert_problem(get(client, FEED, token, after=got(foreign, FEED, token)["next"]), 400, "cursor")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "1001", "-1", "x", "1.5", "1e3", "٣", "\0", " 1", "9" * 400)],
        *[("wait", value) for value in ("31", "-1", "x", "0.5", "9" * 400)],
        *[(name, value) for name in ("source", "type") for value in ("\0", "a\0b", "x" * 257)],
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, token: Headers, name: str, value: str) -> None:
    assert_problem(get(client, FEED, token, **{name: value}), 400, f"`{name}`")


def test_a_batch_is_a_bare_array_with_the_cursor_in_a_link(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    events = send_deposits(client, bank, 5)
    target, seen = f"{FEED}?limit=2&type=bcb.deposit&source=bcb", []
    for _ in range(3):
        answer = client.get(target, headers={**token, "Accept": BATCH})
        assert (answer.status_code, answer.content_type) == (200, BATCH)
        page = json.loads(answer.data)
        assert isinstance(page, list)
        seen += [entry["eventid"] for entry in page]
        target, _, relation = answer.headers["Link"].removeprefix("<").partition(">")
        assert relation == '; rel="next"'
        query = parse_qs(urlsplit(target).query)
        assert (query["limit"], query["type"], query["source"]) == (["2"], ["bcb.deposit"], ["bcb"])
        assert len(query["after"]) == 1
    assert seen == events
    assert client.get(target, headers={**token, "Accept": BATCH}).get_json(force=True) == []


def test_the_link_of_a_batch_has_the_public_prefix(parts: Runtime, token: Headers) -> None:
    settings = parts.settings.model_copy(update={"public_path_prefix": "/bank"})
    client = create_app(Runtime(settings, parts.database, parts.encryption, parts.clock)).test_client()
    answer = client.get(FEED, headers={**token, "Accept": BATCH})
    assert answer.headers["Link"].startswith("</bank/api/v1/feed?")


@pytest.mark.parametrize(
    "accept",
    [
        *("application/json", "*/*", "application/*", "application/cloudevents+json", ""),
        *(f"{BATCH};q=0", f"application/json, {BATCH};q=0", f"application/json, {BATCH};q=0.5, text/csv;q=0.5"),
        f"application/json, {BATCH}",
    ],
)
def test_other_readers_get_the_object(client: FlaskClient, token: Headers, accept: str) -> None:
    answer = client.get(FEED, headers={**token, "Accept": accept})
    assert (answer.status_code, answer.content_type) == (200, "application/json")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        *((f"{BATCH}, */*", BATCH), (f"application/json;q=0.5, {BATCH}", BATCH), (BATCH.upper(), BATCH)),
        *((f"text/csv;q=0.5, {BATCH}", BATCH), (f"text/csv, {BATCH};q=0.5", "text/csv")),
    ],
)
def test_the_feed_is_written_as_the_reader_prefers(client: FlaskClient, token: Headers, accept: str, kind: str) -> None:
    answer = client.get(FEED, headers={**token, "Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, kind)


def test_waiting_ends_with_the_entry_that_comes(
    app: Flask, client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    end = got(client, FEED, token)["next"]
    signed = bank.sign(deposit())
    sender = threading.Timer(0.4, lambda: send(app.test_client(), signed))
    started = time.monotonic()
    sender.start()
    page = got(client, FEED, token, after=end, wait=20)
    seconds = time.monotonic() - started
    sender.join()
    assert [entry["position"] for entry in page["data"]] == [1]
    assert 0.3 < seconds < 20


def test_waiting_ends_with_its_time(client: FlaskClient, token: Headers) -> None:
    started = time.monotonic()
    page = got(client, FEED, token, wait=1)
    assert (page["data"], page["has_more"]) == ([], False)
    assert 0.9 < time.monotonic() - started < 20


def test_nobody_waits_where_there_is_something(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send(client, bank.sign(deposit()))
    started = time.monotonic()
    assert len(got(client, FEED, token, wait=30)["data"]) == 1
    assert time.monotonic() - started < 25


def test_only_so_many_wait_and_the_rest_are_answered_at_once(parts: Runtime, token: Headers) -> None:
    settings = parts.settings.model_copy(update={"waiting_readers_max": 1})
    app = create_app(Runtime(settings, parts.database, parts.encryption, parts.clock))

    def wait() -> int:
        return len(got(app.test_client(), FEED, token, wait=30)["data"])

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(wait) for _ in range(4)]
        at_once = [reader.result() for reader in islice(as_completed(readers), 3)]
        (waiting,) = (reader for reader in readers if not reader.done())
        send(app.test_client(), BankSigner(parts.clock).sign(deposit()))
        assert waiting.result() == 1
    assert at_once == [0, 0, 0]


def test_a_time_is_that_of_receipt(client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock) -> None:
    clock.forward(1.5)
    send(client, bank.sign(deposit()))
    assert [entry["time"] for entry in got(client, FEED, token)["data"]] == ["2026-03-04T12:00:01.500000Z"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"source": "bcb"}, [1, 2, 4, 5, 7, 8]),
        ({"source": ["bcb", "other"]}, list(range(1, 10))),
        ({"source": ["other", "silent"]}, [3, 6, 9]),
        ({"source": "silent"}, []),
        ({"type": "bcb.deposit"}, [1, 3, 4, 6, 7, 9]),
        ({"type": ["bcb.deposit", "bcb.job.completed"]}, list(range(1, 10))),
        ({"type": ["bcb.job.completed", "bcb.job.never"]}, [2, 5, 8]),
        ({"source": "bcb", "type": "bcb.deposit"}, [1, 4, 7]),
        ({"source": ["other", "bcb"], "type": ["bcb.job.completed", "bcb.deposit"]}, list(range(1, 10))),
        ({"source": "other", "type": "bcb.job.completed"}, []),
    ],
    ids=str,
)
def test_filters_keep_the_cursor_right(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, query: dict[str, Any], expected: list[int]
) -> None:
    add_source(parts, "other")
    add_source(parts, "silent")
    for number in range(3):
        send(client, bank.sign(deposit(transactionId=f"FT{number}")))
        send(client, bank.sign(job(f"job-{number}")))
        send(client, bank.sign(deposit(transactionId=f"FT{number}"), "/webhooks/other"))
    for limit in (1, 2, 4):
        assert [entry["position"] for entry in everything(client, token, limit=limit, **query)] == expected
    # The last page's cursor is behind all that was not asked for.
    last = got(client, FEED, token, **query)
    assert (last["has_more"], last["next"]) == (False, got(client, FEED, token)["next"])


def test_many_filters_are_answered(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send(client, bank.sign(deposit()))
    many = [*(f"bcb.job.number_{number}" for number in range(900)), "bcb.deposit"]
    assert len(got(client, FEED, token, type=many, source=["bcb"] * 900)["data"]) == 1
