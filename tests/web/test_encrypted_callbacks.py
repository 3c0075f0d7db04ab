"""Encrypted callbacks at the door: what each case is answered, and how large one may be."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from bank import BankSigner, Signed, deposit
from conftest import add_encrypting_source, add_source
from encrypting_bank import EncryptingBank, batch, notification
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from receiver.inbox.inbox import Inbox
from receiver.inbox.reverify import verify_stored
from receiver.inbox.source_cache import CACHE_SECONDS
from receiver.runtime import Runtime
from receiver.store import deliveries, events, sources
from receiver.store.deliveries import DeliveryRecord
from receiver.store.events import Filter
from receiver.web import create_app, request_body

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _source(parts: Runtime) -> None:
    add_encrypting_source(parts)


def send(client: FlaskClient, signed: Signed, **headers: str) -> TestResponse:
    return client.post(signed.path, data=signed.body, headers={**signed.headers, **headers})


def types(parts: Runtime) -> list[str]:
    with parts.database.read() as connection:
        return [row.type for row in events.listing(connection, Filter(), below=None, limit=100)]


def test_what_is_genuine_and_new_is_accepted(client: FlaskClient, parts: Runtime) -> None:
    answer = send(client, EncryptingBank().sign([notification(), notification("Reversed")]))
    assert (answer.status_code, answer.get_json()["status"], len(answer.get_json()["events"])) == (200, "accepted", 2)
    assert set(types(parts)) == {"banking_circle.incoming_payment_processed", "banking_circle.reversed"}


def test_the_same_delivery_again_and_the_same_events_encrypted_anew_are_duplicates(
    client: FlaskClient, parts: Runtime
) -> None:
    text = batch([notification(), notification()])
    first = EncryptingBank().sign(text)
    answers = [send(client, signed).get_json() for signed in (first, first, EncryptingBank().sign(text))]
    assert [answer["status"] for answer in answers] == ["accepted", "duplicate", "duplicate"]
    assert len({tuple(sorted(answer["events"])) for answer in answers}) == 1
    assert len(types(parts)) == 2


def test_a_nonce_used_again_for_another_text_is_refused(client: FlaskClient, parts: Runtime) -> None:
    send(client, EncryptingBank().sign([notification()], nonce=b"n" * 12))
    assert send(client, EncryptingBank().sign([notification()], nonce=b"n" * 12)).status_code == 401
    assert len(types(parts)) == 1


@pytest.mark.parametrize("text", ["not JSON", "{}", "[]", '{"notifications":[]}', ""])
def test_what_is_genuine_but_no_batch_is_kept_as_unrecognised(client: FlaskClient, parts: Runtime, text: str) -> None:
    answer = send(client, EncryptingBank().sign(text))
    assert (answer.status_code, answer.get_json()["status"]) == (200, "accepted")
    assert types(parts) == ["banking_circle.unrecognised"]


def test_what_is_not_genuine_is_refused_and_tells_nothing(client: FlaskClient, parts: Runtime) -> None:
    signed = EncryptingBank().sign([notification()])
    forged = EncryptingBank(b"f" * 32).sign([notification()])
    altered = Signed(signed.path, signed.body[:-1] + bytes([signed.body[-1] ^ 1]), signed.headers)
    bare = Signed(signed.path, signed.body, {})
    wrong = Signed(signed.path, signed.body, {**signed.headers, "Checksum": forged.headers["Checksum"]})
    answers = [send(client, made) for made in (forged, altered, bare, wrong)]
    assert {(answer.status_code, answer.data) for answer in answers} == {(401, answers[0].data)}
    assert types(parts) == []


def test_a_callback_larger_than_the_usual_limit_is_taken_from_the_bank_that_documents_it(client: FlaskClient) -> None:
    large = batch([notification(extra="x" * MIB)])
    answer = send(client, EncryptingBank().sign(large))
    assert (answer.status_code, answer.get_json()["status"]) == (200, "accepted")


def test_a_callback_larger_than_the_usual_limit_is_refused_from_another_bank(
    client: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    add_source(parts)
    assert send(client, bank.sign(deposit(transactionDetails="x" * MIB))).status_code == 413


@pytest.mark.parametrize("length", [50 * MIB + 1, 10**12])
def test_what_is_larger_than_the_bank_documents_is_refused_before_it_is_read(client: FlaskClient, length: int) -> None:
    answer = client.post("/webhooks/bc", data=b"x", environ_overrides={"CONTENT_LENGTH": str(length)})
    assert (answer.status_code, answer.content_type) == (413, "application/problem+json")


def test_a_large_body_for_a_source_that_there_is_not_is_not_found(client: FlaskClient) -> None:
    assert client.post("/webhooks/nobody", data=b"x" * 2 * MIB).status_code == 404


def test_large_bodies_are_held_within_a_quota_and_small_ones_beside_them(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, done = threading.Barrier(2), threading.Event()
    accept = Inbox.accept

    def slowly(inbox: Inbox, name: str, callback: Any) -> Any:
        if len(callback.body) > MIB:
            full.wait(20)
            done.wait(20)
        return accept(inbox, name, callback)

    monkeypatch.setattr(Inbox, "accept", slowly)
    # The one that is held leaves less than another takes.
    app = create_app(replace(parts, settings=parts.settings.model_copy(update={"bodies_bytes": 4 * MIB})))
    first, second = (EncryptingBank().sign(batch([notification(extra="x" * MIB)])) for _ in range(2))
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(send(app.test_client(), first).status_code))
    thread.start()
    full.wait(20)
    client = app.test_client()
    try:
        refused = send(client, second)
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert send(client, EncryptingBank().sign([notification()])).status_code == 200
    finally:
        done.set()
        thread.join()
    assert statuses == [200]
    monkeypatch.undo()
    assert send(client, second).status_code == 200


def stored(parts: Runtime) -> DeliveryRecord:
    with parts.database.read() as connection:
        (found,) = deliveries.rejected(connection, None, below=None, limit=10)
    return found


def test_of_what_its_headers_refuse_only_the_beginning_is_read_and_stored(client: FlaskClient, parts: Runtime) -> None:
    signed = EncryptingBank().sign(batch([notification(extra="x" * MIB)]))
    answer = client.post(signed.path, data=signed.body, headers={**signed.headers, "Checksum": "AAAA"})
    assert answer.status_code == 401
    found = stored(parts)
    assert (found.reason, found.body) == ("checksum_malformed", signed.body[: parts.settings.rejected_body_bytes])
    assert found.body_bytes > parts.settings.rejected_body_bytes
    assert "only the beginning of its body was read" in str(found.detail)
    # It is not taken for the whole.
    assert not verify_stored(parts, found.id)


def test_what_is_long_and_refused_by_its_headers_takes_no_room_from_genuine_ones_however_much_of_it_is_kept(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "UNPROVEN_AT_ONCE", 0)
    settings = parts.settings.model_copy(update={"rejected_body_bytes": MIB})
    client = create_app(replace(parts, settings=settings)).test_client()
    signed = EncryptingBank().sign(batch([notification(extra="x" * (MIB // 2))]))
    assert client.post(signed.path, data=signed.body, headers={**signed.headers, "Checksum": "AAAA"}).status_code == 503
    assert send(client, signed).status_code == 200


def test_what_is_small_is_stored_whole_and_verified_once_the_source_is_put_right(
    client: FlaskClient, parts: Runtime
) -> None:
    with parts.database.write() as connection:
        source = sources.find(connection, "bc")
        assert source is not None
        sources.change(connection, source.id, options={"allowed_addresses": ["192.0.2.1"]})
    time.sleep(CACHE_SECONDS)
    assert send(client, EncryptingBank().sign([notification()])).status_code == 401
    with parts.database.write() as connection:
        sources.change(connection, source.id, options={})
    assert verify_stored(parts, stored(parts).id)
    assert types(parts) == ["banking_circle.incoming_payment_processed"]


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
def test_a_coding_that_the_bank_does_not_document_is_refused_and_stored(
    client: FlaskClient, parts: Runtime, coding: str
) -> None:
    answer = send(client, EncryptingBank().sign([notification()]), **{"Content-Encoding": coding})
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")
    assert (stored(parts).reason, types(parts)) == ("coding_not_supported", [])
