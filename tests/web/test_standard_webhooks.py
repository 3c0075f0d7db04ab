"""Standard Webhooks over the wire: what each header may be, which event a message is, and that no bank is asked."""

from typing import Any

import others
import pytest
from conftest import StandingClock
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from others import webhook
from web.rows import rows
from werkzeug.test import TestResponse

from receiver.admin import deliveries as acts
from receiver.runtime import Runtime
from receiver.store.tables import Check, Delivery, Event, FeedEntry, Subject
from receiver.worker.loop import Worker

BODY = {"type": "invoice.paid", "timestamp": "2026-03-04T12:00:00Z", "data": {"id": "inv_1"}}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture(autouse=True)
def _source(parts: Runtime) -> None:
    others.add(parts, "standard_webhooks", others.WHSEC)


def post(client: FlaskClient, signed: tuple[bytes, dict[str, str]], **headers: str) -> TestResponse:
    return client.post("/webhooks/standard_webhooks", data=signed[0], headers={**signed[1], **headers})


def status(answer: TestResponse) -> tuple[int, Any]:
    return answer.status_code, (answer.get_json(force=True) or {}).get("status")


def test_the_published_vector_is_accepted_at_its_time(
    client: FlaskClient, parts: Runtime, clock: StandingClock
) -> None:
    clock.forward(1614265330 - clock.now.timestamp())
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert post(client, (b'{"test": 2432232314}', headers)).status_code == 200
    (event,) = rows(parts, Event)
    assert (event.type, event.proof, event.proof_key) == ("standard_webhooks.unrecognised", "signature", "secret:1")
    assert event.facts["message_id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_a_message_becomes_an_event_of_its_own_type_and_nothing_is_asked_for(
    client: FlaskClient, parts: Runtime
) -> None:
    post(client, webhook(BODY, at=parts.clock().timestamp()))
    (event,) = rows(parts, Event)
    assert (event.type, event.kind, event.subject) == ("standard_webhooks.invoice.paid", "none", None)
    assert [row.type for row in rows(parts, FeedEntry)] == ["standard_webhooks.invoice.paid"]
    assert Worker(parts).run_once() == 0
    assert (rows(parts, Subject), rows(parts, Check)) == ([], [])


def test_a_secret_that_makes_no_key_stops_no_other(client: FlaskClient, parts: Runtime) -> None:
    source = others.add(parts, "standard_webhooks", others.WHSEC, name="renewed")
    others.set_secret(parts, source, "whsec_none")
    body, headers = webhook(BODY, at=parts.clock().timestamp())
    assert client.post("/webhooks/renewed", data=body, headers=headers).status_code == 200


def test_the_id_says_which_event_it_is(client: FlaskClient, parts: Runtime, clock: StandingClock) -> None:
    at = clock.now.timestamp()
    assert status(post(client, webhook(BODY, at=at))) == (200, "accepted")
    assert status(post(client, webhook(BODY, at=at))) == (200, "duplicate")
    assert status(post(client, webhook(BODY, at=at + 7))) == (200, "duplicate")
    assert status(post(client, webhook(BODY, at=at, message_id="msg_2"))) == (200, "accepted")
    assert [row.conflict for row in rows(parts, Event)] == [False, False]


def test_an_id_with_other_content_is_flagged_and_kept(client: FlaskClient, parts: Runtime) -> None:
    at = parts.clock().timestamp()
    post(client, webhook(BODY, at=at))
    assert status(post(client, webhook({**BODY, "data": {}}, at=at))) == (200, "duplicate")
    assert [row.conflict for row in rows(parts, Event)] == [True]


def test_an_identical_delivery_that_comes_late_may_stop_and_any_other_waits_for_a_person(
    client: FlaskClient, parts: Runtime, clock: StandingClock
) -> None:
    first, never_sent = (
        webhook(BODY, at=clock.now.timestamp(), message_id=message_id) for message_id in ("msg_1", "msg_2")
    )
    post(client, first)
    clock.forward(301)
    assert status(post(client, first)) == (200, "duplicate")
    for _ in range(2):
        assert post(client, never_sent).status_code == 401
    assert rows(parts, Delivery, verdict="rejected") == []
    (late,) = rows(parts, Delivery, verdict="late")
    assert Worker(parts).run_once() == 0
    acts.accept(parts, "cli:test", late.id, "their queue stood still")
    assert [row.late for row in rows(parts, Event)] == [False, True]
    assert status(post(client, never_sent)) == (200, "duplicate")


def test_of_all_cuts_of_a_late_message_the_genuine_one_alone_waits(
    client: FlaskClient, parts: Runtime, clock: StandingClock
) -> None:
    body, headers = webhook(BODY, at=clock.now.timestamp() - 3600)
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    dots = [place for place, byte in enumerate(text) if byte == ord(".")]
    for first in dots:
        for second in (dot for dot in dots if dot > first):
            cut = {"webhook-id": text[:first].decode(), "webhook-timestamp": text[first + 1 : second].decode()}
            assert post(client, (text[second + 1 :], headers), **cut).status_code == 401
    assert [bytes(row.body) for row in rows(parts, Delivery, verdict="late")] == [body]


@pytest.mark.parametrize(
    "body",
    [b"", b"not JSON", b"[1]", b'{"type": "a b"}', b'{"type": ""}', b'{"type": "../../x"}', b"\xff"],
)
def test_two_messages_that_are_not_understood_are_two_events(client: FlaskClient, parts: Runtime, body: bytes) -> None:
    for message_id in ("msg_1", "msg_2"):
        answer = post(client, webhook(body, at=parts.clock().timestamp(), message_id=message_id))
        assert answer.status_code == 200
    assert [row.type for row in rows(parts, Event)] == ["standard_webhooks.unrecognised"] * 2


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("webhook-id", "", "header_missing"),
        ("webhook-id", "msg.1", "id_malformed"),
        ("webhook-id", "msg 1", "id_malformed"),
        ("webhook-id", "m" * 201, "id_malformed"),
        ("webhook-timestamp", "", "header_missing"),
        ("webhook-timestamp", "now", "timestamp_malformed"),
        ("webhook-timestamp", "1772625600.5", "timestamp_malformed"),
        ("webhook-timestamp", "-1772625600", "timestamp_malformed"),
        ("webhook-timestamp", "9" * 400, "timestamp_malformed"),
        ("webhook-signature", "", "header_missing"),
        ("webhook-signature", "v1", "signature_malformed"),
        ("webhook-signature", "v1,=", "signature_malformed"),
        ("webhook-signature", "v1,\xff", "signature_malformed"),
        ("webhook-signature", "v1," + "A" * 44, "signature_mismatch"),
        ("webhook-signature", "v9,abc", "signature_mismatch"),
    ],
)
def test_a_malformed_header_is_a_refusal(
    client: FlaskClient, parts: Runtime, header: str, value: str, reason: str
) -> None:
    assert post(client, webhook(BODY, at=parts.clock().timestamp()), **{header: value}).status_code == 401
    assert [row.reason for row in rows(parts, Delivery)] == [reason]


HEADER = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=80)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message_id=HEADER, timestamp=HEADER, signature=HEADER)
def test_no_headers_make_an_error(client: FlaskClient, message_id: str, timestamp: str, signature: str) -> None:
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    assert post(client, (b"{}", headers)).status_code == 401


def test_an_address_list_is_held_to_as_well(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "standard_webhooks", others.WHSEC, name="listed", allowed_addresses=["203.0.113.0/24"])
    body, headers = webhook(BODY, at=parts.clock().timestamp())
    for peer, expected in (("198.51.100.1", 401), ("203.0.113.1", 200)):
        answer = client.post("/webhooks/listed", data=body, headers=headers, environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == expected
