"""`GET /api/v1/events/<event_id>/payload`: one notification alone, decrypted."""

import json
from base64 import b64encode

import pytest
from admin.looking import noted
from bank import BankSigner
from conftest import StandingClock, add_encrypting_source, make_token
from encrypting_bank import EncryptingBank, notification
from flask.testing import FlaskClient
from sqlalchemy import delete, update
from web.reading import Headers, assert_problem, get, send
from web.rows import no_statement_from_native_threads

from receiver.admin import secrets, source_changes
from receiver.admin.source_changes import NewSettings
from receiver.inbox.inbox import LARGE_BYTES
from receiver.runtime import Runtime
from receiver.store.tables import Delivery, SigningSecret, table_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

BATCH = [notification(event_id=f"e{number}") for number in range(3)]


@pytest.fixture
def told(client: FlaskClient, parts: Runtime) -> list[str]:
    """The events of a batch of three."""
    add_encrypting_source(parts)
    signed = EncryptingBank().sign(BATCH)
    answer = client.post(signed.path, data=signed.body, headers=signed.headers)
    ids: list[str] = answer.get_json()["events"]
    return ids


def path(event_id: str) -> str:
    return f"/api/v1/events/{event_id}/payload"


def test_it_is_this_notification_alone_decrypted(client: FlaskClient, token: Headers, told: list[str]) -> None:
    for event_id, wanted in zip(told, BATCH, strict=True):
        answer = get(client, path(event_id), token)
        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert answer.text == f"{json.dumps(wanted, indent=2, ensure_ascii=False)}\n"


def test_reading_it_is_audited(client: FlaskClient, token: Headers, told: list[str], parts: Runtime) -> None:
    get(client, path(told[1]), token)
    assert noted(parts) == [("token:app", "payload.read", {"source": "bc", "event": told[1], "decrypted": True})]


def test_a_key_that_has_ended_still_opens_what_came_with_it(
    client: FlaskClient, token: Headers, told: list[str], parts: Runtime, clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        connection.execute(update(table_of(SigningSecret)).values(expires_at=clock()))
    clock.forward(1)
    assert get(client, path(told[0]), token).status_code == 200


@pytest.mark.parametrize("renewed", [False, True])
def test_what_came_stays_readable_once_the_source_s_encoding_is_another(
    client: FlaskClient, token: Headers, told: list[str], parts: Runtime, renewed: bool
) -> None:
    """The key of 32 characters makes one in either encoding."""
    source_changes.change(parts, "cli:test", "bc", NewSettings(options={"encoding": "base64"}))
    if renewed:
        secrets.put(parts, "cli:test", "bc", b64encode(bytes(range(32))).decode())
    assert get(client, path(told[0]), token).status_code == 200


def test_a_large_one_is_opened_in_a_native_thread_and_noted_in_none(
    client: FlaskClient, token: Headers, parts: Runtime
) -> None:
    """A native thread may wait for no lock that belongs to the thread of the requests."""
    add_encrypting_source(parts)
    signed = EncryptingBank().sign([notification(event_id=f"e{number}") for number in range(400)])
    assert len(signed.body) > LARGE_BYTES
    first = client.post(signed.path, data=signed.body, headers=signed.headers).get_json()["events"][0]
    with no_statement_from_native_threads(parts):
        assert get(client, path(first), token).status_code == 200
    assert [what for _, what, _ in noted(parts)] == ["payload.read"]


def test_it_is_gone_with_its_key(client: FlaskClient, token: Headers, told: list[str], parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.execute(delete(table_of(SigningSecret)))
    assert_problem(get(client, path(told[0]), token), 410, "can't be opened")
    assert noted(parts) == []


def test_it_is_gone_with_its_body(client: FlaskClient, token: Headers, told: list[str], parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.execute(update(table_of(Delivery)).values(body=None))
    assert_problem(get(client, path(told[0]), token), 410, "not stored any more")


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"topic":"Deposits","n":1.50}', '{\n  "topic": "Deposits",\n  "n": 1.50\n}\n'),
        (b'\xef\xbb\xbf{"topic":"Deposits","n":1.50}', '{\n  "topic": "Deposits",\n  "n": 1.50\n}\n'),
        (b"not {", '"not {"\n'),
    ],
)
def test_what_came_in_clear_is_the_body(
    client: FlaskClient, token: Headers, bank: BankSigner, body: bytes, text: str
) -> None:
    assert get(client, path(send(client, bank.sign(body))), token).text == text


def test_who_may_not_see_it_is_told_nothing(client: FlaskClient, told: list[str], parts: Runtime) -> None:
    assert_problem(get(client, path(told[0]), make_token(parts, "events:read", name="a")), 403, "payloads:read")
    limited = make_token(parts, sources=("other",), name="b")
    assert_problem(get(client, path(told[0]), limited), 404)
    assert_problem(get(client, path("evt_none"), limited), 404)


def test_it_takes_its_place_among_the_bodies_of_callbacks(
    client: FlaskClient, token: Headers, told: list[str], parts: Runtime
) -> None:
    with parts.database.write() as connection:
        connection.execute(update(table_of(Delivery)).values(body_bytes=parts.settings.bodies_bytes))
    assert_problem(get(client, path(told[0]), token), 503)
