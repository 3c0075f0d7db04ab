"""What follows from events is derived once they are committed: by whoever looks next, once, and all of it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from bank import BankSigner, deposit
from conftest import ENCRYPTION, StandingClock, make_token
from flask.testing import FlaskClient
from sqlalchemy import Connection, insert, select, text
from store.made import claimed, delivery, event, record
from store.race import append

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import claims, feed, intake, outbox, schema, sources
from receiver.store import database as store
from receiver.store.database import Database, StoreUnavailable
from receiver.store.feed import Entry
from receiver.store.sources import SourceRecord
from receiver.store.tables import Event, FeedEntry, OutboxEntry, PendingEvent, Subject, table_of


def count(parts: Runtime, model: Any) -> int:
    with parts.database.read() as connection:
        return len(connection.execute(select(table_of(model))).all())


def log(parts: Runtime) -> list[Entry]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return list(feed.read(connection, after=0, limit=1000).entries)


def test_a_callback_s_transaction_writes_its_events_and_derives_nothing(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "a"), event(parts, "b"))
    assert [count(parts, model) for model in (Event, PendingEvent)] == [2, 2]
    assert [count(parts, model) for model in (OutboxEntry, FeedEntry, Subject)] == [0, 0, 0]
    catch_up(parts.database)
    assert [count(parts, model) for model in (PendingEvent, FeedEntry, Subject)] == [0, 2, 2]


def test_a_payment_is_found_by_the_first_read_after_its_callback_was_answered(
    client: FlaskClient, parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    token = make_token(parts)
    for number, path in enumerate((f"/api/v1/payments/{source.name}/FT0", "/api/v1/payments?source=bcb")):
        signed = bank.sign(deposit(transactionId=f"FT{number}"))
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
        assert f"FT{number}" in client.get(path, headers=token).text


def test_an_entry_s_data_is_read_from_its_event_and_says_what_it_always_said(
    parts: Runtime, source: SourceRecord
) -> None:
    plain = event(parts, "FT1")
    more = event(parts, "FT2", facts={"sender": "A"}, late=True, claimed_status=None, amount=None, currency=None)
    arrived = delivery(parts, source)
    record(parts, arrived, plain, more)
    said = {"claimed_status": "completed", "amount": "1.00", "currency": "EUR"}
    first = {"event_id": plain.id, "payment_id": "FT1", **said}
    proof = {"proof": "signature", "payload_sha256": arrived.body_sha256}
    second = {"event_id": more.id, "payment_id": "FT2", **dict.fromkeys(said)}
    assert [entry.data for entry in log(parts)] == [
        first | proof,
        second | proof | {"late": True, "facts": {"sender": "A"}},
    ]
    with parts.database.read() as connection:
        assert list(connection.execute(select(table_of(FeedEntry).c.data)).scalars()) == [{}, {}]


def test_an_entry_about_a_reference_does_not_change_when_its_payment_is_known(
    parts: Runtime, source: SourceRecord
) -> None:
    record(parts, delivery(parts, source), event(parts, "R", kind="reference", payment="R-1", payment_id=None))
    before = log(parts)
    now = parts.clock()
    with parts.database.write() as connection:
        (due,) = claimed(connection, now, now + timedelta(minutes=1))
        assert claims.name_payment(connection, due, "FT9") == 1
        assert connection.execute(select(table_of(Event).c.payment_id)).scalar_one() == "FT9"
    assert log(parts) == before
    assert before[0].data["payment_id"] is None


def test_a_conflict_that_comes_to_light_changes_no_entry(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "a"))
    before = log(parts)
    record(parts, delivery(parts, source), event(parts, "a", says="otherwise"))
    assert log(parts) == before


def test_events_and_entries_of_others_get_their_positions_in_the_order_of_their_times(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    for number in range(3):
        with parts.database.write() as connection:
            append(connection, parts, source, f"other {number}")
        clock.forward(100)
        record(parts, delivery(parts, source), event(parts, f"event {number}"))
        clock.forward(100)
    names = [f"{kind} {number}" for number in range(3) for kind in ("other", "event")]
    assert [(entry.position, entry.subject) for entry in log(parts)] == list(enumerate(names, 1))


def test_more_events_than_a_batch_are_all_derived(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 10)
    names = [f"e{number:02}" for number in range(35)]
    record(parts, delivery(parts, source), *(event(parts, name) for name in names))
    before = parts.database.commits
    assert catch_up(parts.database) == 35
    assert parts.database.commits - before == 4
    assert [entry.subject for entry in log(parts)] == names
    assert count(parts, Subject) == 35


def test_whoever_catches_up_leaves_to_others_what_comes_in_meanwhile(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    record(parts, delivery(parts, source), *(event(parts, name) for name in "abc"))
    real = outbox.take

    def take_while_one_comes_in(connection: Connection) -> outbox.Batch:
        taken = real(connection)
        intake.record(connection, delivery(parts, source), [event(parts, f"late {taken.position}")])
        return taken

    monkeypatch.setattr(outbox, "take", take_while_one_comes_in)
    assert catch_up(parts.database) == 4
    assert count(parts, PendingEvent) == 1


def test_projectors_beside_writers_derive_each_event_once(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 7)
    is_over = threading.Event()

    def keep_writing(writer: int) -> None:
        for turn in range(15):
            names = (f"{writer}-{turn}-{number}" for number in range(4))
            record(parts, delivery(parts, source), *(event(parts, name) for name in names))

    def keep_projecting(_: int) -> None:
        while not is_over.is_set():
            catch_up(parts.database)

    with ThreadPoolExecutor(4) as pool:
        projectors = [pool.submit(keep_projecting, number) for number in range(2)]
        try:
            for writer in [pool.submit(keep_writing, number) for number in range(2)]:
                writer.result()
        finally:
            is_over.set()
        for projector in projectors:
            projector.result()
    found = log(parts)
    assert [entry.position for entry in found] == list(range(1, 121))
    assert len({entry.event_id for entry in found}) == count(parts, Subject) == 120


def test_an_event_that_commits_late_is_derived_behind_those_that_were_read_before_it(
    parts: Runtime, source: SourceRecord
) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: an earlier number is always committed earlier")
    with parts.database.write() as late:
        intake.record(late, delivery(parts, source), [event(parts, "late")])
        record(parts, delivery(parts, source), event(parts, "early"))
        assert [entry.subject for entry in log(parts)] == ["early"]
    assert [entry.subject for entry in log(parts)] == ["early", "late"]


@contextmanager
def projecting(database: Database) -> Iterator[None]:
    """Another one projects, and takes its time."""
    with database.write() as connection:
        outbox.take(connection)
        yield


def test_who_finds_another_one_projecting_waits_for_it(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "a"))
    with ThreadPoolExecutor(1) as pool:
        with projecting(parts.database):
            waiting = pool.submit(catch_up, parts.database)
            wait_until_held_up(parts)
            assert not waiting.done()
        assert waiting.result(timeout=30) == 1


def wait_until_held_up(parts: Runtime) -> None:
    """Where there is no server to ask, the other one is held up from its first step on."""
    query = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    ends = time.monotonic() + 20
    while not parts.database.is_sqlite and time.monotonic() < ends:
        with parts.database.read() as connection:
            if connection.execute(query).first():
                return
        time.sleep(0.01)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_read_that_waits_in_vain_is_asked_to_come_back_and_one_for_which_nothing_waits_goes_on(
    client: FlaskClient, parts: Runtime, source: SourceRecord, bank: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make_token(parts)
    assert client.get("/api/v1/feed", headers=token).status_code == 200
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    paths = ("/api/v1/feed", "/api/v1/payments", f"/api/v1/payments/{source.name}/FT1")
    other = Database(parts.database.url)
    with other.write():
        assert [client.get(path, headers=token).status_code for path in paths] == [200, 200, 404]
    signed = bank.sign(deposit(transactionId="FT1"))
    assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    with other.write():
        answers = [client.get(path, headers=token) for path in paths]
        assert [(answer.status_code, answer.headers["Retry-After"]) for answer in answers] == [(503, "5")] * 3
        # The event itself needs nothing that is derived.
        assert len((client.get("/api/v1/events", headers=token).json or {})["data"]) == 1
    assert [client.get(path, headers=token).status_code for path in paths] == [200, 200, 200]
    other.close()


def test_what_fails_half_way_leaves_everything_to_be_derived(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(parts, delivery(parts, source), event(parts, "a"))
    with monkeypatch.context() as patched:
        patched.setattr(claims, "make_due", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            catch_up(parts.database)
    assert (count(parts, PendingEvent), count(parts, FeedEntry)) == (1, 0)
    assert [entry.position for entry in log(parts)] == [1]


def test_a_database_that_is_not_migrated_is_unavailable(parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.execute(text("ALTER TABLE pending_events RENAME TO gone"))
    with pytest.raises(StoreUnavailable):
        catch_up(parts.database)


def test_a_database_of_the_release_before_goes_on_with_the_entries_in_its_outbox(
    request: pytest.FixtureRequest, parts: Runtime, database_url: str, tmp_path: Any
) -> None:
    is_sqlite = database_url.startswith("sqlite")
    url = f"sqlite:///{tmp_path}/old.db" if is_sqlite else request.getfixturevalue("empty_postgres_url")
    old = Database(url)
    schema.upgrade(old, ENCRYPTION, "0008")
    with old.write() as connection:
        connection.execute(
            text(
                "INSERT INTO sources (id, name, bank, environment, options, enabled, created_at)"
                " VALUES (7, 'bcb', 'bcb', 'sandbox', '{}', true, '2026-01-01 00:00:00')"
            )
        )
        leave_as_before(connection, "FT1")
    schema.upgrade(old, ENCRYPTION)
    with old.write() as connection:
        # A process of the release before goes on until it is stopped.
        leave_as_before(connection, "FT2")
    started = Runtime(parts.settings, old, parts.encryption, parts.clock)
    new = event(started, "FT3")
    with old.write() as connection:
        (source,) = sources.every(connection)
        intake.record(connection, delivery(started, source), [new])
    found = log(started)
    assert [(entry.position, entry.subject) for entry in found] == [(1, "FT1"), (2, "FT2"), (3, "FT3")]
    assert [entry.data.get("event_id") for entry in found] == ["evt_FT1", "evt_FT2", new.id]
    old.close()


def leave_as_before(connection: Connection, payment: str) -> None:
    """Leave an entry in the outbox as the release before does when a callback comes."""
    data = {"event_id": f"evt_{payment}", "payment_id": payment, "proof": "signature"}
    values = {"type": "bcb.deposit", "source_id": 7, "subject": payment, "event_id": f"evt_{payment}", "data": data}
    time = StandingClock().now - timedelta(hours=1)
    connection.execute(insert(table_of(OutboxEntry)).values(**values, time=time))
