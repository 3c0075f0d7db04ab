"""Banqup's messages: by what each source lets them pass, what they tell, and what is kept of them."""

import json
from typing import Any

import others
import pytest
from flask.testing import FlaskClient
from others import OLD_TOKEN, TOKEN, message
from web.rows import rows
from werkzeug.test import TestResponse

from receiver.inbox import reverify
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.store import deliveries
from receiver.store.tables import Delivery, Event, Subject

ADDRESS = "203.0.113.7"
LIST = ["203.0.113.0/24"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


def send(
    client: FlaskClient, channel: str, body: Any = None, peer: str = ADDRESS, name: str = "banqup", **headers: str
) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body or message()).encode()
    return client.post(f"/webhooks/{name}{channel}", data=raw, headers=headers, environ_base={"REMOTE_ADDR": peer})


def reasons(parts: Runtime) -> list[str]:
    return [row.reason for row in rows(parts, Delivery, verdict="rejected")]


def test_a_secret_in_the_path_lets_a_message_pass_and_nothing_else_does(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "banqup", TOKEN, token_in="path")
    answer = send(client, f"/{TOKEN}/messages")
    assert (answer.status_code, (answer.json or {})["status"]) == (200, "accepted")
    assert (send(client, f"/{TOKEN}/messages").json or {})["status"] == "duplicate"
    for channel in (
        "",
        "/messages",
        f"/{OLD_TOKEN}/messages",
        f"/{TOKEN}",
        f"/{TOKEN}/",
        f"/{TOKEN}/other",
        f"/{TOKEN}/messages/",
        f"/x/{TOKEN}/messages",
        f"/{TOKEN}/x/messages",
        f"/{TOKEN[:-1]}%64/messages",
        "//messages",
    ):
        assert send(client, channel).status_code == 401, channel
    assert set(reasons(parts)) == {"channel_not_expected", "token_mismatch"}
    (event,) = rows(parts, Event)
    assert (event.proof, event.proof_key) == ("token", "secret:1")


def test_a_token_in_a_header_lets_a_message_pass(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "banqup", TOKEN, token_in="header")
    assert send(client, "/messages", **{"X-Banqup-Token": TOKEN}).status_code == 200
    assert send(client, "/messages", **{"X-Banqup-Token": OLD_TOKEN}).status_code == 401
    assert send(client, f"/{TOKEN}/messages", **{"X-Banqup-Token": TOKEN}).status_code == 401
    assert send(client, "/messages").status_code == 401
    assert sorted(reasons(parts)) == ["channel_not_expected", "token_mismatch", "token_missing"]


def test_an_address_alone_lets_a_message_pass_and_is_said_to_be_no_more_than_that(
    client: FlaskClient, parts: Runtime
) -> None:
    others.add(parts, "banqup", None, allowed_addresses=LIST)
    assert send(client, "/messages").status_code == 200
    assert send(client, "/messages", peer="198.51.100.1").status_code == 401
    assert reasons(parts) == ["address_not_allowed"]
    (event,) = rows(parts, Event)
    assert (event.proof, event.proof_key) == ("address", "address:203.0.113.0/24")


def test_where_token_and_address_are_asked_for_both_are_needed(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "banqup", TOKEN, token_in="path", allowed_addresses=LIST)
    assert send(client, f"/{TOKEN}/messages", peer="198.51.100.1").status_code == 401
    assert send(client, f"/{OLD_TOKEN}/messages").status_code == 401
    assert send(client, f"/{TOKEN}/messages").status_code == 200
    refused = {row.reason: row.proven for row in rows(parts, Delivery, verdict="rejected")}
    assert refused == {"address_not_allowed": True, "token_mismatch": False}


def test_no_secret_of_a_path_is_stored_right_or_wrong_wherever_a_proxy_repeats_it(
    client: FlaskClient, parts: Runtime
) -> None:
    others.add(parts, "banqup", TOKEN, token_in="path")
    wrong = TOKEN[:-1] + "f"
    for token in (TOKEN, wrong):
        path = f"/webhooks/banqup/{token}/messages"
        send(client, f"/{token}/messages", **{"X-Original-URI": path, "Referer": f"https://receiver.example{path}"})
    stored = repr(rows(parts, Delivery))
    assert "sha256=" in stored
    assert TOKEN not in stored
    assert wrong not in stored


def test_a_message_that_came_before_the_secret_was_set_is_accepted_later(client: FlaskClient, parts: Runtime) -> None:
    source = others.add(parts, "banqup", None, token_in="path")
    assert send(client, f"/{TOKEN}/messages").status_code == 503
    others.set_secret(parts, source, TOKEN)
    with parts.database.write() as connection:
        (row,) = deliveries.rejected(connection, "banqup", below=None, limit=10)
        assert reverify.verify(connection, parts, row, parts.clock()) == Verdict.ACCEPTED
    assert [row.type for row in rows(parts, Event)] == ["banqup.payment.paid"]


def test_what_is_stored_of_a_path_does_not_open_the_door(client: FlaskClient, parts: Runtime) -> None:
    """Who reads the database must not be able to send from it."""
    others.add(parts, "banqup", TOKEN, token_in="path")
    send(client, f"/{TOKEN}/messages")
    (stored,) = rows(parts, Delivery)
    assert send(client, f"/{stored.channel}").status_code == 401


def test_an_unknown_category_and_no_json_at_all_are_kept(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "banqup", TOKEN, token_in="header")
    headers = {"X-Banqup-Token": TOKEN}
    for body in (b"not JSON", b"[]", b"", json.dumps({"id": "m-9", "category": "novelty"}).encode()):
        assert send(client, "/messages", body, **headers).status_code == 200
    assert [row.type for row in rows(parts, Event)] == ["banqup.unrecognised"] * 4


def test_the_same_id_with_other_content_is_flagged(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "banqup", TOKEN, token_in="header")
    for status in ("PAID", "FAILED"):
        send(client, "/messages", message(status), **{"X-Banqup-Token": TOKEN})
    (event,) = rows(parts, Event)
    assert (event.conflict, event.claimed_status) == (True, "completed")
    assert [row.claimed_status for row in rows(parts, Subject)] == ["completed"]
