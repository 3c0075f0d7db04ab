"""Whom a consumer belongs to, how far it is behind, and what it has seen of an event."""

from typing import Any

import pytest
from bank import BankSigner
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from web.reading import Headers, assert_problem, get, got, send_deposits

from receiver.admin.consumers import NAMES_MAX
from receiver.feed.cursors import Cursors
from receiver.runtime import Runtime
from receiver.store import consumers
from receiver.store.consumers import ConsumerPlace

pytestmark = [
    pytest.mark.usefixtures("source"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

LEDGER = "/api/v1/consumers/ledger"


@pytest.fixture
def other(parts: Runtime) -> Headers:
    return make_token(parts, name="other")


def ack(client: FlaskClient, token: Headers, limit: int = 100, path: str = LEDGER) -> Any:
    """Read a page and acknowledge it."""
    cursor = got(client, f"{path}/feed", token, limit=limit)["next"]
    answer = client.post(f"{path}/ack", headers=token, json={"cursor": cursor})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_a_consumer_is_for_the_token_that_made_it(client: FlaskClient, token: Headers, other: Headers) -> None:
    cursor = got(client, f"{LEDGER}/feed", token)["next"]
    assert_problem(get(client, f"{LEDGER}/feed", other), 403, "belongs to another token")
    assert_problem(get(client, f"{LEDGER}/feed", other, after=cursor), 403)
    assert_problem(get(client, LEDGER, other), 403)
    assert_problem(client.post(f"{LEDGER}/ack", headers=other, json={"cursor": cursor}), 403)
    assert_problem(client.post(f"{LEDGER}/seek", headers=other, json={"to": "end"}), 403)
    assert got(client, "/api/v1/consumers", other)["data"] == []


def test_whose_a_consumer_is_comes_before_what_a_cursor_is(
    client: FlaskClient, token: Headers, other: Headers, parts: Runtime
) -> None:
    got(client, f"{LEDGER}/feed", token)
    beyond = Cursors(parts.settings.keys, "consumer:ledger").make_place(ConsumerPlace(9, 0))
    for headers, status in ((other, 403), (token, 400)):
        assert_problem(get(client, f"{LEDGER}/feed", headers, after="forged"), status)
        assert_problem(client.post(f"{LEDGER}/ack", headers=headers, json={"cursor": "forged"}), status)
        assert_problem(client.post(f"{LEDGER}/ack", headers=headers, json={"cursor": beyond}), status)
        assert_problem(client.post(f"{LEDGER}/seek", headers=headers, json={"to": "forged"}), status)
    # A cursor that is none makes no consumer.
    assert_problem(client.post("/api/v1/consumers/new/ack", headers=other, json={"cursor": "forged"}), 400)
    assert_problem(get(client, "/api/v1/consumers/new", other), 404)


def test_one_that_was_there_before_is_open_to_all(
    client: FlaskClient, token: Headers, other: Headers, parts: Runtime
) -> None:
    with parts.database.write() as connection:
        consumers.create(connection, "ledger", parts.clock())
    for shown in (token, other):
        ack(client, shown)
        assert got(client, LEDGER, shown)["token"] is None


def test_a_token_has_a_bounded_number_of_names(
    client: FlaskClient, token: Headers, other: Headers, parts: Runtime
) -> None:
    with parts.database.write() as connection:
        for number in range(NAMES_MAX):
            consumers.create(connection, f"c{number}", parts.clock(), "app")
    assert_problem(get(client, f"{LEDGER}/feed", token), 409, "50 consumers")
    assert_problem(client.post(f"{LEDGER}/seek", headers=token, json={"to": "end"}), 409)
    assert get(client, f"{LEDGER}/feed", other).status_code == 200
    assert get(client, "/api/v1/consumers/c0/feed", token).status_code == 200


def test_its_position_and_lag_are_told(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    send_deposits(client, bank, 2)
    clock.forward(7)
    send_deposits(client, bank, 1)
    assert_problem(get(client, LEDGER, token), 404, "no such consumer")
    cursor = ack(client, token, limit=1)["cursor"]
    clock.forward(5)
    shown = got(client, LEDGER, token)
    assert shown == {
        "consumer": "ledger",
        "cursor": cursor,
        "position": 1,
        "lag_entries": 1,
        "lag_seconds": 12.0,
        "read_at": "2026-03-04T12:00:07.000000Z",
        "acked_at": "2026-03-04T12:00:07.000000Z",
        "created_at": "2026-03-04T12:00:07.000000Z",
        "token": "app",
        "shared_with": [],
    }
    ack(client, token)
    assert got(client, LEDGER, token)["lag_seconds"] == 0


def test_consumers_are_listed_page_by_page(client: FlaskClient, token: Headers, other: Headers) -> None:
    for name in ("a", "b", "c", "d"):
        got(client, f"/api/v1/consumers/{name}/feed", other if name == "b" else token)
    first = got(client, "/api/v1/consumers", token, limit=2)
    second = got(client, "/api/v1/consumers", token, limit=2, cursor=first["next"])
    assert [[found["consumer"] for found in page["data"]] for page in (first, second)] == [["a", "c"], ["d"]]
    assert second["next"] is None


def seen(client: FlaskClient, token: Headers, event_id: str) -> list[tuple[str, str, str, str]]:
    """What consumers have done with an event: which, what, by which token, and the time of day."""
    timeline = got(client, f"/api/v1/events/{event_id}", token)["timeline"]
    steps = [step for step in timeline if step["what"] == "consumer"]
    return [(step["consumer"], step["act"], step["token"], step["at"][11:19]) for step in steps]


def test_the_timeline_says_who_read_and_acknowledged_an_event_and_when(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    first, second = send_deposits(client, bank, 2)
    page = got(client, f"{LEDGER}/feed", token, limit=1)
    clock.forward(90)
    client.post(f"{LEDGER}/ack", headers=token, json={"cursor": page["next"]})
    assert seen(client, token, first) == [("ledger", "read", "app", "12:00:00"), ("ledger", "acked", "app", "12:01:30")]
    assert seen(client, token, second) == []


def test_reading_once_more_changes_nothing_of_when_it_was_read(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    (event,) = send_deposits(client, bank, 1)
    for _ in range(3):
        got(client, f"{LEDGER}/feed", token)
        clock.forward(400)
    assert seen(client, token, event) == [("ledger", "read", "app", "12:00:00")]


def test_what_a_token_may_not_see_was_not_read_by_it(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    add_source(parts, "elsewhere")
    (here,) = send_deposits(client, bank, 1)
    (there,) = send_deposits(client, bank, 1, "elsewhere")
    limited = make_token(parts, sources=("bcb",), name="limited")
    ack(client, limited)
    assert len(seen(client, token, here)) == 2
    assert seen(client, token, there) == []
