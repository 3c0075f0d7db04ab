"""What is wrong with a database is found and named: lost references, holes in the feed, a changed audit log."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.event import listen
from store.made import delivery, event, record

from receiver.admin import database
from receiver.admin.audit import note
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import feed, integrity
from receiver.store.sources import SourceRecord

Look = Callable[[Connection, Runtime], Iterator[str]]


@pytest.fixture
def filled(parts: Runtime, source: SourceRecord) -> Runtime:
    for number in range(6):
        record(parts, delivery(parts, source), event(parts, f"FT{number}"))
    catch_up(parts.database)
    note(parts, "cli:ann", "payload.read", {"event": "evt_1"})
    return parts


def faults(parts: Runtime) -> dict[str, tuple[str, ...]]:
    return {checked.what: checked.faults for checked in database.check(parts) if checked.faults}


def test_a_database_in_use_is_whole(filled: Runtime) -> None:
    assert faults(filled) == {}


def test_what_retention_removed_of_the_feed_is_no_hole(filled: Runtime) -> None:
    with filled.database.write() as connection:
        connection.execute(text("DELETE FROM feed_entries WHERE position IN (1, 3)"))
        feed.note_removed(connection, 3)
    assert faults(filled) == {}


def _holes(connection: Connection) -> None:
    connection.execute(text("DELETE FROM feed_entries WHERE position IN (2, 3, 6)"))


def _beyond(connection: Connection) -> None:
    connection.execute(text("UPDATE feed_head SET position = 4"))


def _no_head(connection: Connection) -> None:
    connection.execute(text("DELETE FROM feed_head"))


def _lost_event(connection: Connection) -> None:
    connection.execute(text("UPDATE feed_entries SET event_id = 'evt_none' WHERE position = 1"))


def _lost_source(connection: Connection) -> None:
    connection.execute(text("UPDATE subjects SET source_id = 77 WHERE subject = 'FT1'"))


def _cut_log(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("DROP TRIGGER audit_entries_refuse_delete"))
    else:
        connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_refuse_change"))
    connection.execute(text("DELETE FROM audit_entries"))


@pytest.mark.parametrize(
    ("spoil", "what", "words"),
    [
        (_holes, "feed", "3 entries are missing above position 0: 2 to 3, 6"),
        (_beyond, "feed", "an entry has the position 6, and the last one that was given is 4"),
        (_no_head, "feed", "feed_head has 0 rows, and not one"),
        (_lost_event, "references", "feed_entries names the event evt_none, which is not there"),
        (_lost_source, "references", "subjects names the source 77, which is not there"),
        (_cut_log, "audit log", "1 entries were written and 0 are there: the newest are gone"),
    ],
)
def test_what_is_wrong_is_named(filled: Runtime, spoil: Callable[[Connection], None], what: str, words: str) -> None:
    if filled.database.is_sqlite:
        # As whoever opens the file by another program: there foreign keys are off.
        engine = create_engine(filled.settings.database_url)
        with engine.begin() as connection:
            spoil(connection)
        engine.dispose()
        filled.database.close()
    else:
        with filled.database.write() as connection:
            spoil(connection)
    assert words in faults(filled)[what]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_check_of_postgresql_has_a_time_limit(filled: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A healthy database of any size is whole: a statement that was ended for its length would be a fault."""
    limits = []

    def noting(look: Look) -> Look:
        def looked(connection: Connection, runtime: Runtime) -> Iterator[str]:
            limits.append(connection.execute(text("SHOW statement_timeout")).scalar_one())
            return look(connection, runtime)

        return looked

    monkeypatch.setattr(database, "CHECKS", [(what, noting(look)) for what, look in database.CHECKS])
    assert faults(filled) == {}
    assert limits == ["0"] * 5


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_reads_all_events_once_to_look_for_lost_ones(filled: Runtime) -> None:
    with filled.database.read() as connection:
        asked: list[tuple[str, dict[str, Any]]] = []
        listen(connection, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
        assert list(integrity.references(connection)) == []
        plans = [connection.exec_driver_sql(f"EXPLAIN {sql}", given).scalars().all() for sql, given in list(asked)]
    assert len(plans) > len(integrity._LOOSE)
    assert [plan for plan in plans if "SubPlan" in "".join(plan)] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_damaged_page_of_sqlite_is_found(filled: Runtime) -> None:
    with filled.database.write() as connection:
        page = connection.execute(
            text("SELECT rootpage FROM sqlite_master WHERE name = 'ix_events_payment'")
        ).scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    filled.database.close()
    with open(filled.settings.database_url.removeprefix("sqlite:///"), "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    assert "storage" in faults(filled)


def test_an_index_that_is_not_valid_is_named_on_postgresql(filled: Runtime) -> None:
    if filled.database.is_sqlite:
        pytest.skip("SQLite has no such state")
    with filled.database.write() as connection:
        connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_events_payment'::regclass")
        )
    assert faults(filled)["storage"] == ("the index ix_events_payment is not valid",)
