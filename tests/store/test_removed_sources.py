"""The database refuses to delete a source for which something has come, whoever deletes by hand."""

from collections.abc import Callable

import pytest
from conftest import add_source
from sqlalchemy import Connection, inspect, text
from store.made import delivery, event, record

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import deliveries, intake, late
from receiver.store.database import StoreUnavailable
from receiver.store.late import NewLate
from receiver.store.sources import SourceRecord

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
def test_postgresql_has_no_foreign_key_that_each_callback_pays_for(parts: Runtime) -> None:
    with parts.database.read() as connection:
        found = {(table, key["referred_table"]) for table in HOT for key in inspect(connection).get_foreign_keys(table)}
    assert found == {("events", "deliveries")}
