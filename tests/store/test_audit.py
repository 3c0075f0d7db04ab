"""The audit log: only ever added to, and whatever is done behind its back shows."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone

import pytest
from sqlalchemy import text

from receiver.runtime import Runtime
from receiver.store import audit
from receiver.store.audit import AuditBroken
from receiver.store.database import StoreUnavailable


def write(parts: Runtime, *whats: str) -> None:
    with parts.database.write() as connection:
        for what in whats:
            about = {"number": 1, "names": ["ä", None], "inner": {"b": 1.5, "a": True}}
            audit.write(connection, at=parts.clock(), who="cli:ops", what=what, why="a reason: ü", about=about)


def verify(parts: Runtime) -> int:
    with parts.database.read() as connection:
        return audit.verify(connection)


def behind_its_back(parts: Runtime, statement: str) -> None:
    """As somebody would who has the database and takes the triggers away first."""
    drops = (
        [f"DROP TRIGGER audit_entries_refuse_{verb}" for verb in ("update", "delete", "replace")]
        if parts.database.is_sqlite
        else ["DROP TRIGGER audit_entries_refuse_change ON audit_entries"]
    )
    with parts.database.write() as connection:
        for each in (*drops, statement):
            connection.execute(text(each))


def test_an_empty_log_is_whole(parts: Runtime) -> None:
    assert verify(parts) == 0


def test_entries_are_listed_newest_first_and_fit_each_other(parts: Runtime) -> None:
    write(parts, "a", "b")
    write(parts, "c")
    assert verify(parts) == 3
    with parts.database.read() as connection:
        rows = audit.listing(connection, limit=2)
    assert [(row.what, row.who, row.why, row.at) for row in rows] == [
        ("c", "cli:ops", "a reason: ü", parts.clock()),
        ("b", "cli:ops", "a reason: ü", parts.clock()),
    ]


def test_what_is_rolled_back_is_not_logged(parts: Runtime) -> None:
    write(parts, "a")

    def fail_half_way() -> None:
        with parts.database.write() as connection:
            audit.write(connection, at=parts.clock(), who="x", what="lost", why=None, about={})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    write(parts, "b")
    assert verify(parts) == 2


def test_writers_at_once_make_one_chain(parts: Runtime) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write(parts, f"{number}a", f"{number}b"), range(24)))
    assert verify(parts) == 48


def test_a_time_in_another_zone_is_the_same_time(parts: Runtime) -> None:
    elsewhere = parts.clock().astimezone(timezone(timedelta(hours=5)))
    with parts.database.write() as connection:
        audit.write(connection, at=elsewhere, who="x", what="y", why=None, about={})
    assert verify(parts) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET why = 'another'",
        "UPDATE audit_entries SET who = who",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE id = 2",
    ],
)
def test_the_database_refuses_to_change_or_delete(parts: Runtime, statement: str) -> None:
    write(parts, "a", "b")
    with pytest.raises(StoreUnavailable, match="only ever added to"), parts.database.write() as connection:
        connection.execute(text(statement))
    assert verify(parts) == 2


def test_the_database_refuses_the_ways_round_as_well(parts: Runtime) -> None:
    write(parts, "a", "b")
    statement = (
        "INSERT OR REPLACE INTO audit_entries SELECT id, at, 'another', what, why, about, digest FROM audit_entries"
        if parts.database.is_sqlite
        else "TRUNCATE audit_entries"
    )
    with pytest.raises(StoreUnavailable, match="only ever added to"), parts.database.write() as connection:
        connection.execute(text(statement))
    assert verify(parts) == 2


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE audit_entries SET why = 'another' WHERE id = 2", 2),
        ("UPDATE audit_entries SET who = 'nobody' WHERE id = 1", 1),
        ("UPDATE audit_entries SET about = '{}' WHERE id = 3", 3),
        ("UPDATE audit_entries SET digest = 'x' WHERE id = 2", 2),
        ("UPDATE audit_entries SET at = '2020-01-01 00:00:00.000000' WHERE id = 2", 2),
        ("DELETE FROM audit_entries WHERE id = 1", 2),
        ("DELETE FROM audit_entries WHERE id = 2", 3),
    ],
)
def test_a_change_behind_its_back_is_found_and_named(parts: Runtime, statement: str, entry: int) -> None:
    write(parts, "a", "b", "c")
    behind_its_back(parts, statement)
    with pytest.raises(AuditBroken, match=f"entry {entry} does not fit"):
        verify(parts)
