"""Section by section: what a bank is answered, and what is then stored."""

import gzip
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bank import SECRET, BankSigner, Signed, deposit, job
from conftest import StandingClock, add_source
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from werkzeug.test import TestResponse

from receiver import runtime
from receiver.inbox import inbox, verification
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import signing_secrets, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import Delivery, Event, FeedEntry, Subject, table_of
from receiver.web import create_app

pytestmark = pytest.mark.usefixtures("source")


def send(client: FlaskClient, signed: Signed, **headers: str) -> TestResponse:
    return client.post(signed.path, data=signed.body, headers={**signed.headers, **headers})


def rows(parts: Runtime, model: Any, **where: Any) -> list[Any]:
    catch_up(parts.database)
    table = table_of(model)
    query = select(table)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    with parts.database.read() as connection:
        return list(connection.execute(query))


def count(parts: Runtime, model: Any) -> int:
    catch_up(parts.database)
    with parts.database.read() as connection:
        number: int = connection.execute(select(func.count()).select_from(table_of(model))).scalar_one()
        return number


def test_a_genuine_new_delivery_is_accepted(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    answer = send(client, bank.sign(deposit()))
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["status"] == "accepted"
    assert [row.id for row in rows(parts, Event)] == answer.json["events"]


def test_a_deposit_becomes_an_event_a_feed_entry_and_a_payment_that_is_due(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    send(client, bank.sign(deposit()))
    (event,) = rows(parts, Event)
    assert (event.type, event.subject, event.payment_id) == ("bcb.deposit", "FT2384654NXF6", "FT2384654NXF6")
    assert (event.amount, event.currency, event.claimed_status) == ("1000.00", "USD", "completed")
    assert (event.proof, event.proof_key) == ("signature", "secret:1")
    (entry,) = rows(parts, FeedEntry)
    assert (entry.type, entry.event_id) == ("bcb.deposit", event.id)
    (payment,) = rows(parts, Subject)
    assert (payment.kind, payment.subject, payment.status, payment.agreement) == (
        "payment",
        "FT2384654NXF6",
        "unknown",
        "unconfirmed",
    )
    assert payment.due_at == parts.clock()


def test_a_job_webhook_becomes_an_event_about_the_job(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    send(client, bank.sign(job("job-1", "CompletedWithErrors")))
    (event,) = rows(parts, Event)
    assert (event.type, event.subject, event.payment_id) == ("bcb.job.completed_with_errors", "job-1", None)
    assert [(row.kind, row.subject) for row in rows(parts, Subject)] == [("job", "job-1")]


def test_a_job_webhook_may_name_its_status_otherwise(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    send(client, bank.sign({"jobId": "job-2", "status": "Cancelled"}))
    assert [row.type for row in rows(parts, Event)] == ["bcb.job.cancelled"]


def test_the_identical_delivery_is_a_duplicate(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    signed = bank.sign(deposit())
    first, again = send(client, signed), send(client, signed)
    assert again.status_code == 200
    assert again.json == {"status": "duplicate", "events": (first.json or {})["events"]}
    assert (count(parts, Event), count(parts, FeedEntry), count(parts, Delivery)) == (1, 1, 1)


def test_the_same_event_in_a_new_delivery_is_a_duplicate(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    first, again = send(client, bank.sign(deposit())), send(client, bank.sign(deposit()))
    assert again.json == {"status": "duplicate", "events": (first.json or {})["events"]}
    assert (count(parts, Event), count(parts, FeedEntry)) == (1, 1)
    assert not rows(parts, Event)[0].conflict


def test_a_renewed_subscription_does_not_tell_a_deposit_twice(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    send(client, bank.sign(deposit()))
    again = send(client, bank.sign(deposit(subscriptionId="another")))
    assert (again.json or {})["status"] == "duplicate"
    assert [row.conflict for row in rows(parts, Event)] == [False]


def test_an_amount_written_otherwise_is_the_same_deposit(client: FlaskClient, bank: BankSigner) -> None:
    send(client, bank.sign(deposit()))
    again = send(client, bank.sign(deposit(value={"amount": 1000, "currency": "USD"})))
    assert (again.json or {})["status"] == "duplicate"


def test_another_amount_of_the_same_operation_is_another_event(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    send(client, bank.sign(deposit()))
    fee = send(client, bank.sign(deposit(value={"amount": "2.50", "currency": "USD"})))
    assert (fee.json or {})["status"] == "accepted"
    assert (count(parts, Event), count(parts, Subject)) == (2, 1)


def test_the_same_identity_with_other_content_is_a_duplicate_that_is_flagged_and_kept(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    send(client, bank.sign(deposit()))
    other = bank.sign(deposit(transactionDetails="Other details"))
    assert (send(client, other).json or {})["status"] == "duplicate"
    assert [row.conflict for row in rows(parts, Event)] == [True]
    assert [bytes(row.body) for row in rows(parts, Delivery, verdict="duplicate")] == [other.body]


@pytest.mark.parametrize(
    "body",
    [
        b"not JSON",
        b"",
        b"12345",
        b"\xff\xfe\x00",
        b'{"topic": "Withdrawals", "transactionId": "1"}',
        b'{"topic": "Deposits"}',
        b"[]",
        b'{"value": Infinity}',
        b'"text"',
        b"[" * 100_000,
        b'{"topic":"Deposits","transactionId":"a\\u0000b"}',
        b'{"topic":"Deposits","transactionId":"\\ud800"}',
        b'{"topic":"Deposits","transactionId":["x"],"value":7}',
        b'{"topic":"Deposits","transactionId":"' + b"9" * 5000 + b'"}',
        b"1" * 5000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_genuine_but_not_understood_is_stored_as_unrecognised(
    client: FlaskClient, bank: BankSigner, parts: Runtime, body: bytes
) -> None:
    answer = send(client, bank.sign(body))
    assert answer.status_code == 200
    assert [row.type for row in rows(parts, Event)] == ["bcb.unrecognised"]
    assert [bytes(row.body) for row in rows(parts, Delivery)] == [body]


@pytest.mark.parametrize(
    "value",
    ["many", None, {"amount": "1e400", "currency": 5}, {"amount": "NaN", "currency": "USD"}, {"amount": True}],
)
def test_a_deposit_with_an_unusable_amount_is_still_a_deposit(
    client: FlaskClient, bank: BankSigner, parts: Runtime, value: Any
) -> None:
    assert send(client, bank.sign(deposit(value=value))).status_code == 200
    assert [(row.type, row.amount) for row in rows(parts, Event)] == [("bcb.deposit", None)]


def _forged(signed: Signed) -> Signed:
    return Signed(signed.path, signed.body + b" ", signed.headers)


def _without(name: str) -> Any:
    return lambda signed: Signed(
        signed.path, signed.body, {key: value for key, value in signed.headers.items() if key != name}
    )


def _with(**headers: str) -> Any:
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda signed: Signed(signed.path, signed.body, {**signed.headers, **changed})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_forged, "signature_mismatch"),
        (_without("Bcb-Signature"), "header_missing"),
        (_without("Bcb-Timestamp"), "header_missing"),
        (_without("Bcb-Nonce"), "header_missing"),
        (_with(Bcb_Signature=""), "header_missing"),
        (_with(Bcb_Signature="no Base64!"), "signature_malformed"),
        (_with(Bcb_Signature="A" * 5000), "signature_malformed"),
        (_with(Bcb_Signature="AAAA"), "signature_mismatch"),
        (_with(Bcb_Timestamp="-1"), "timestamp_malformed"),
        (_with(Bcb_Timestamp="1772625600.5"), "timestamp_malformed"),
        (_with(Bcb_Timestamp="1772625600000"), "timestamp_malformed"),
        (_with(Bcb_Timestamp="9" * 400), "timestamp_malformed"),
        (_with(Bcb_Nonce="x" * 201), "nonce_malformed"),
        (_with(Bcb_Nonce="nönce"), "nonce_malformed"),
        (_with(Bcb_Signature_Version="hmac-v9"), "version_unknown"),
        (_with(Content_Encoding="gzip"), "coding_broken"),
    ],
)
def test_what_is_not_proven_genuine_is_refused_and_kept_with_its_reason(
    client: FlaskClient, bank: BankSigner, parts: Runtime, spoil: Any, reason: str
) -> None:
    answer = send(client, spoil(bank.sign(deposit())))
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert reason not in answer.text
    assert (count(parts, Event), count(parts, FeedEntry)) == (0, 0)
    assert [row.reason for row in rows(parts, Delivery, verdict="rejected")] == [reason]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_its_head_refuses_is_unpacked_nowhere_whatever_coding_it_names(
    client: FlaskClient, bank: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither takes it a thread from those who wait for a commit."""

    def run_in_thread(*_: object) -> None:
        raise AssertionError("a thread for what has proven nothing")

    monkeypatch.setattr(inbox, "run_in_thread", run_in_thread)
    signed = _without("Bcb-Nonce")(_with(Content_Encoding="gzip")(bank.sign(deposit())))
    assert send(client, signed).status_code == 401


@pytest.mark.parametrize("seconds", [-301, 301, -86400, 10**7])
def test_a_late_delivery_is_refused_and_kept_as_one_with_a_right_signature(
    client: FlaskClient, bank: BankSigner, parts: Runtime, clock: StandingClock, seconds: int
) -> None:
    timestamp = str(int(clock.now.timestamp()) + seconds)
    assert send(client, bank.sign(deposit(), timestamp=timestamp)).status_code == 401
    (row,) = rows(parts, Delivery)
    assert (row.verdict, row.reason, row.proven) == ("late", "timestamp_stale", True)
    assert (count(parts, Event), count(parts, FeedEntry)) == (0, 0)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_delivery_at_the_edge_of_the_window_is_accepted(
    client: FlaskClient, bank: BankSigner, clock: StandingClock, seconds: int
) -> None:
    timestamp = str(int(clock.now.timestamp()) + seconds)
    assert send(client, bank.sign(deposit(), timestamp=timestamp)).status_code == 200


def test_the_retry_of_an_accepted_delivery_is_a_duplicate_even_when_it_is_late(
    client: FlaskClient, bank: BankSigner, clock: StandingClock
) -> None:
    signed = bank.sign(deposit())
    send(client, signed)
    clock.forward(3600)
    answer = send(client, signed)
    assert (answer.status_code, (answer.json or {})["status"]) == (200, "duplicate")


def test_a_nonce_used_again_with_another_body_is_refused(
    client: FlaskClient, bank: BankSigner, parts: Runtime, clock: StandingClock
) -> None:
    send(client, bank.sign(deposit(), nonce="n-1"))
    clock.forward(2)
    answer = send(client, bank.sign(deposit(transactionId="FT2"), nonce="n-1"))
    assert answer.status_code == 401
    assert count(parts, Event) == 1
    assert [row.reason for row in rows(parts, Delivery, verdict="rejected")] == ["nonce_reused"]


def test_an_unknown_source_is_not_found(client: FlaskClient, bank: BankSigner) -> None:
    assert send(client, bank.sign(deposit(), path="/webhooks/nobody")).status_code == 404


def test_a_disabled_source_is_not_found(
    client: FlaskClient, bank: BankSigner, parts: Runtime, source: SourceRecord
) -> None:
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=False)
    assert send(client, bank.sign(deposit())).status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/webhooks/bcb", "/webhooks/bcb/deposits"])
def test_only_post_is_allowed(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_a_body_over_the_limit_is_refused(parts: Runtime, client: FlaskClient, bank: BankSigner) -> None:
    body = b" " * (parts.settings.max_body_bytes + 1)
    assert send(client, bank.sign(body)).status_code == 413
    assert count(parts, Delivery) == 0


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "raw deflate", "identity"])
def test_a_compressed_body_is_verified_as_it_was_before(
    client: FlaskClient, bank: BankSigner, parts: Runtime, coding: str
) -> None:
    signed = bank.sign(deposit())
    packed = {
        "gzip": gzip.compress(signed.body),
        "x-gzip": gzip.compress(signed.body),
        "deflate": zlib.compress(signed.body),
        "raw deflate": zlib.compress(signed.body, wbits=-15),
        "identity": signed.body,
    }[coding]
    sent = Signed(signed.path, packed, {**signed.headers, "Content-Encoding": coding.removeprefix("raw ")})
    assert (send(client, sent).json or {})["status"] == "accepted"
    assert [bytes(row.body) for row in rows(parts, Delivery)] == [signed.body]


def test_a_body_that_unpacks_beyond_the_limit_is_refused(client: FlaskClient, bank: BankSigner) -> None:
    signed = bank.sign(b"x")
    bomb = gzip.compress(b"\0" * 50_000_000)
    sent = Signed(signed.path, bomb, {**signed.headers, "Content-Encoding": "gzip"})
    assert send(client, sent).status_code == 413


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, br"])
def test_a_content_coding_that_is_not_undone_gets_the_list_of_those_that_are_and_is_stored(
    client: FlaskClient, bank: BankSigner, parts: Runtime, coding: str
) -> None:
    signed = bank.sign(deposit())
    answer = send(client, signed, **{"Content-Encoding": coding})
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "gzip, deflate")
    (stored,) = rows(parts, Delivery)
    assert (stored.verdict, stored.reason, bytes(stored.body)) == ("rejected", "coding_not_supported", signed.body)


@pytest.mark.parametrize("coding", ["UTF-8", "none", "application/json", "identity"])
def test_what_is_no_content_coding_is_passed_over_and_the_signature_decides(
    client: FlaskClient, bank: BankSigner, coding: str
) -> None:
    signed = bank.sign(deposit())
    assert send(client, signed, **{"Content-Encoding": coding}).status_code == 200
    forged = Signed(signed.path, signed.body + b" ", signed.headers)
    assert send(client, forged, **{"Content-Encoding": coding}).status_code == 401


def test_a_gzip_stream_of_two_members_is_one_body(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    signed = bank.sign(deposit())
    packed = gzip.compress(signed.body[:50]) + gzip.compress(signed.body[50:])
    sent = Signed(signed.path, packed, {**signed.headers, "Content-Encoding": "gzip"})
    assert send(client, sent).status_code == 200
    assert [bytes(row.body) for row in rows(parts, Delivery)] == [signed.body]


def test_nothing_is_unpacked_where_the_headers_refuse_it(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "decode", None)
    answer = client.post("/webhooks/bcb", data=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 401


def test_the_query_is_not_part_of_what_is_signed(client: FlaskClient, bank: BankSigner) -> None:
    signed = bank.sign(deposit())
    answer = client.post(signed.path + "?a=1", data=signed.body, headers=signed.headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/webhooks/bcb/", "/webhooks/bcb/a/b", "/webhooks/bcb/a%20b", "/webhooks/bcb/../x"])
def test_the_path_is_verified_as_it_was_sent(client: FlaskClient, bank: BankSigner, path: str) -> None:
    assert send(client, bank.sign(deposit(), path=path)).status_code == 200


@pytest.mark.parametrize("path", ["/webhooks/bcb/", "/webhooks/bcb/deposits", "/webhooks/%62cb"])
def test_a_signature_for_another_path_is_refused(client: FlaskClient, bank: BankSigner, path: str) -> None:
    signed = bank.sign(deposit())
    assert client.post(path, data=signed.body, headers=signed.headers).status_code == 401


def test_the_public_prefix_is_part_of_what_is_signed(parts: Runtime, bank: BankSigner) -> None:
    settings = parts.settings.model_copy(update={"public_path_prefix": "/bank"})
    client = create_app(Runtime(settings, parts.database, parts.encryption, parts.clock)).test_client()
    signed = bank.sign(deposit(), path="/bank/webhooks/bcb")
    assert client.post("/webhooks/bcb", data=signed.body, headers=signed.headers).status_code == 200


def test_a_source_that_names_its_channels_takes_no_others(parts: Runtime, client: FlaskClient) -> None:
    add_source(parts, "strict", channels=["deposits"])
    bank = BankSigner(parts.clock)
    assert send(client, bank.sign(deposit(), path="/webhooks/strict/deposits")).status_code == 200
    assert send(client, bank.sign(deposit(), path="/webhooks/strict/jobs")).status_code == 401


def test_a_secret_with_its_text_as_key_verifies_where_the_source_says_so(parts: Runtime, client: FlaskClient) -> None:
    add_source(parts, "text", encoding="utf8")
    by_text = BankSigner(parts.clock, encoding="utf8")
    assert send(client, by_text.sign(deposit(), path="/webhooks/text")).status_code == 200
    by_bytes = BankSigner(parts.clock)
    assert send(client, by_bytes.sign(deposit(), path="/webhooks/text")).status_code == 401


def test_the_secret_before_the_current_one_verifies_until_its_grace_has_passed(
    parts: Runtime, client: FlaskClient, bank: BankSigner, source: SourceRecord, clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        new = "A" * 43 + "="
        signing_secrets.put(connection, parts.encryption, source.id, new, now=clock(), grace_seconds=60)
    assert send(client, bank.sign(deposit())).status_code == 200
    assert [row.proof_key for row in rows(parts, Event)] == ["secret:1"]
    clock.forward(61)
    assert send(client, bank.sign(deposit(transactionId="2"))).status_code == 401
    assert send(client, BankSigner(clock, secret=new).sign(deposit(transactionId="3"))).status_code == 200


@pytest.mark.parametrize(("secret", "reason"), [(None, "secret_not_set"), ("no Base64!", "secret_malformed")])
def test_a_source_without_a_usable_secret_asks_the_bank_to_come_back_and_keeps_what_came_once(
    client: FlaskClient, bank: BankSigner, parts: Runtime, secret: str | None, reason: str
) -> None:
    add_source(parts, "new", secret=secret)
    signed = bank.sign(deposit(), path="/webhooks/new")
    answers = [send(client, signed) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert [(row.verdict, row.reason, row.likely) for row in rows(parts, Delivery)] == [("rejected", reason, True)]
    unsigned = Signed(signed.path, signed.body, {})
    assert send(client, unsigned).status_code == 401


def test_a_public_key_that_is_not_known_yet_asks_the_bank_to_come_back(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    answer = send(client, bank.sign(deposit()), **{"Bcb-Signature-Version": "rsa-v1"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert count(parts, Delivery) == 0


def test_a_fault_in_a_verifier_is_a_refusal(
    client: FlaskClient, bank: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("receiver.banks.bcb.BANK.prove", fail)
    assert send(client, bank.sign(deposit())).status_code == 401


def test_a_fault_in_a_reader_loses_nothing(
    client: FlaskClient, bank: BankSigner, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("receiver.banks.bcb.BANK.read", fail)
    assert send(client, bank.sign(deposit())).status_code == 200
    assert [row.type for row in rows(parts, Event)] == ["bcb.unrecognised"]


def test_credentials_and_cookies_in_headers_are_not_stored(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    send(client, bank.sign(deposit()), Authorization="Bearer no-secret", Cookie="a=b")
    stored = json.dumps(rows(parts, Delivery)[0].headers).lower()
    assert "no-secret" not in stored
    assert "cookie" not in stored
    assert "bcb-nonce" in stored


def test_the_secret_is_not_in_the_database(parts: Runtime) -> None:
    with parts.database.read() as connection:
        dump = " ".join(str(row) for row in connection.execute(select(table_of(Event))))
        sealed = connection.exec_driver_sql("SELECT sealed FROM signing_secrets").scalar_one()
    assert SECRET not in dump
    assert SECRET.encode() not in bytes(sealed)


@pytest.mark.parametrize("trouble", ["store", "unexpected"])
def test_when_it_cannot_be_written_down_the_bank_is_asked_to_come_back(
    app: Flask, bank: BankSigner, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    from receiver.store import intake
    from receiver.store.database import StoreUnavailable

    def fail(*_: object) -> None:
        raise StoreUnavailable("disk full") if trouble == "store" else ZeroDivisionError

    monkeypatch.setattr(intake, "record_all", fail)
    answer = send(app.test_client(), bank.sign(deposit()))
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_has_proven_nothing_fills_no_queue_of_genuine_callbacks(
    settings: Settings, clock: StandingClock, bank: BankSigner, parts: Runtime
) -> None:
    """Rejected deliveries wait here for a lock that somebody holds, as many as may."""
    parts = runtime.start(settings.model_copy(update={"waiting_max": 1}), clock)
    app = create_app(parts)
    forged = bank.sign(deposit())
    forged.headers["Bcb-Signature"] = "A" * 43 + "="
    with parts.database.write() as connection:
        connection.execute(text(REJECTED_WAIT))
        connection.execute(
            text(
                "CREATE TRIGGER rejected_wait BEFORE INSERT ON deliveries FOR EACH ROW "
                "WHEN (NEW.verdict = 'rejected') EXECUTE FUNCTION wait_for_lock()"
            )
        )
    with ThreadPoolExecutor(1) as pool, parts.database.write() as holder:
        holder.execute(text("SELECT pg_advisory_lock(7)"))
        waiting = pool.submit(send, app.test_client(), forged)
        while not holder.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
            assert not waiting.done()
        assert send(app.test_client(), forged).status_code == 503
        assert send(app.test_client(), bank.sign(deposit())).status_code == 200
        holder.execute(text("SELECT pg_advisory_unlock(7)"))
        assert waiting.result().status_code == 401
    parts.database.close()


REJECTED_WAIT = """
CREATE FUNCTION wait_for_lock() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$
"""
