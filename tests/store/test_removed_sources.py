"""A source for which something has come is not removed, whoever is first: a callback, or the one who removes it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from bank import BankSigner, deposit
from conftest import add_source
from flask.testing import FlaskClient
from sqlalchemy import Connection, inspect, text
from store.made import delivery, event, record

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import deliveries, intake, late
from receiver.store.database import StoreUnavailable
from receiver.store.late import NewLate
from receiver.store.sources import SourceGone, SourceRecord

HOT = ("deliveries", "events", "feed_entries", "subjects")


def accept(connection: Connection, parts: Runtime, source: SourceRecord) -> None:
    intake.record(connection, delivery(parts, source), [event(parts, "FT1")])


def hold(connection: Connection, parts: Runtime, source: SourceRecord) -> None:
    late.hold(connection, NewLate(delivery(parts, source), [event(parts, "FT1")], "timestamp_stale", "301 s old"))


def reject(connection: Connection, parts: Runtime, source: SourceRecord) -> None:
    deliveries.store_rejected(
        connection,
        delivery(parts, source),
        reason="signature_mismatch",
        detail="",
        proven=False,
        likely=False,
        most=10,
        body_bytes=100,
    )


WRITERS = (accept, hold, reject)
Write = Callable[[Connection, Runtime, SourceRecord], None]


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    """A source that nothing stands in the way of removing but what comes for it."""
    return add_source(parts, secret=None)


def remove(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        connection.execute(text("DELETE FROM sources WHERE id = :id"), {"id": source.id})


def orphans(parts: Runtime) -> int:
    """How many rows belong to no source."""
    of_nobody = (f"SELECT 1 FROM {table} WHERE source_id NOT IN (SELECT id FROM sources)" for table in HOT)  # noqa: S608
    with parts.database.read() as connection:
        return sum(len(connection.execute(text(query)).all()) for query in of_nobody)


def wait_until_held_up(parts: Runtime) -> None:
    query = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        with parts.database.read() as connection:
            if connection.execute(query).first():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_a_source_for_which_nothing_came_can_be_removed(parts: Runtime, source: SourceRecord) -> None:
    remove(parts, source)
    with parts.database.read() as connection:
        assert connection.execute(text("SELECT * FROM sources")).all() == []


@pytest.mark.parametrize("write", WRITERS)
def test_a_source_for_which_something_came_is_not_removed(parts: Runtime, source: SourceRecord, write: Write) -> None:
    with parts.database.write() as connection:
        write(connection, parts, source)
    with pytest.raises(StoreUnavailable, match=r"(?i)callbacks have come|foreign key"):
        remove(parts, source)


@pytest.mark.parametrize("table", HOT)
def test_each_table_without_a_foreign_key_is_looked_into(parts: Runtime, source: SourceRecord, table: str) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1"))
    catch_up(parts.database)
    others = [other for other in ("feed_entries", "subjects", "events", "deliveries") if other != table]
    with parts.database.write() as connection:
        for other in others:
            if (table, other) != ("events", "deliveries"):
                connection.execute(text(f"DELETE FROM {other}"))  # noqa: S608 - one of ours
    with pytest.raises(StoreUnavailable, match=r"(?i)callbacks have come|foreign key"):
        remove(parts, source)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("write", WRITERS)
def test_who_removes_it_waits_for_a_callback_that_is_under_way_and_finds_it(
    parts: Runtime, source: SourceRecord, write: Write
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            write(connection, parts, source)
            removal = pool.submit(remove, parts, source)
            wait_until_held_up(parts)
        with pytest.raises(StoreUnavailable, match=r"(?i)callbacks have come|foreign key"):
            removal.result(timeout=30)
    assert orphans(parts) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("write", WRITERS)
def test_a_callback_waits_for_who_removes_its_source_and_finds_it_gone(
    parts: Runtime, source: SourceRecord, write: Write
) -> None:
    def come() -> None:
        with parts.database.write() as connection:
            write(connection, parts, source)

    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            connection.execute(text("DELETE FROM sources"))
            callback = pool.submit(come)
            wait_until_held_up(parts)
        with pytest.raises(SourceGone):
            callback.result(timeout=30)
    assert orphans(parts) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_callbacks_and_removals_at_once_leave_nothing_without_a_source(parts: Runtime) -> None:
    outcomes = set()
    for turn in range(20):
        source = add_source(parts, f"s{turn}", secret=None)
        start = threading.Barrier(3)

        def come(source: SourceRecord = source, start: threading.Barrier = start) -> bool:
            start.wait(30)
            try:
                record(parts, delivery(parts, source), event(parts, f"FT {source.name}"))
            except SourceGone:
                return False
            return True

        def go(source: SourceRecord = source, start: threading.Barrier = start) -> bool:
            start.wait(30)
            try:
                remove(parts, source)
            except StoreUnavailable:
                return False
            return True

        with ThreadPoolExecutor(3) as pool:
            came, removed = [pool.submit(come), pool.submit(come)], pool.submit(go)
            outcomes.add(removed.result())
            assert removed.result() != any(callback.result() for callback in came)
    catch_up(parts.database)
    assert orphans(parts) == 0
    assert outcomes


def test_a_callback_for_a_source_that_was_just_removed_is_404(
    client: FlaskClient, parts: Runtime, source: SourceRecord, bank: BankSigner
) -> None:
    add_source(parts, "fleeting")
    signed = bank.sign(deposit(), "/webhooks/fleeting")
    wrong = {**signed.headers, "Bcb-Signature": "A" * 44}
    # The process remembers it for a moment.
    assert client.post(f"{signed.path}/x", data=b"{}", headers={}).status_code == 401
    with parts.database.write() as connection:
        for table in ("deliveries", "signing_secrets"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - one of ours
        connection.execute(text("DELETE FROM sources WHERE id <> :id"), {"id": source.id})
    for headers in (signed.headers, wrong):
        answer = client.post(signed.path, data=signed.body, headers=headers)
        assert (answer.status_code, (answer.json or {})["detail"]) == (404, "There is no such source.")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_has_no_foreign_key_that_each_callback_pays_for(parts: Runtime) -> None:
    with parts.database.read() as connection:
        found = {(table, key["referred_table"]) for table in HOT for key in inspect(connection).get_foreign_keys(table)}
    assert found == {("events", "deliveries")}
