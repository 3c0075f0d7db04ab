"""The audit log: only ever added to, and whatever is done behind its back shows."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import ENCRYPTION, KEY
from sqlalchemy import delete, insert, select, text

from receiver.runtime import Runtime
from receiver.store import audit, schema
from receiver.store.audit import AuditBroken
from receiver.store.database import Database, StoreUnavailable
from receiver.store.encryption import Encryption, reencrypt_all
from receiver.store.tables import AuditEntry, AuditHead, table_of


def write(parts: Runtime, *whats: str) -> None:
    with parts.database.write() as connection:
        for what in whats:
            about = {"number": 1, "names": ["ä", None], "inner": {"b": 1.5, "a": True}}
            audit.write(
                connection, parts.encryption, at=parts.clock(), who="cli:ops", what=what, why="a reason: ü", about=about
            )


def verify(parts: Runtime, anchor: str | None = None) -> int:
    with parts.database.read() as connection:
        return audit.verify(connection, parts.encryption, anchor).entries


def behind_its_back(parts: Runtime, *statements: str) -> None:
    """As somebody would who has the database and takes the triggers away first."""
    drops = (
        [f"DROP TRIGGER IF EXISTS audit_entries_refuse_{verb}" for verb in ("update", "delete", "replace", "unkeyed")]
        if parts.database.is_sqlite
        else [f"DROP TRIGGER IF EXISTS audit_entries_refuse_{what} ON audit_entries" for what in ("change", "unkeyed")]
    )
    with parts.database.write() as connection:
        for each in (*drops, *statements):
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
            audit.write(connection, parts.encryption, at=parts.clock(), who="x", what="lost", why=None, about={})
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
        audit.write(connection, parts.encryption, at=elsewhere, who="x", what="y", why=None, about={})
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
        "INSERT OR REPLACE INTO audit_entries SELECT id, at, 'x', what, why, about, digest, key FROM audit_entries"
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


ADDED = (
    "INSERT INTO audit_entries (id, at, who, what, about, digest, key)"
    " SELECT 9, at, 'x', 'y', about, {digest}, {key} FROM audit_entries WHERE id = 1"
)
GONE = {
    "cut at the end": (["DELETE FROM audit_entries WHERE id = 3"], "3 entries were written and 2 are there"),
    "emptied": (["DELETE FROM audit_entries"], "3 entries were written and 0 are there"),
    "emptied with its head": (["DELETE FROM audit_entries", "DELETE FROM audit_head"], "the head row"),
    "emptied with head and keys": (
        ["DELETE FROM audit_entries", "DELETE FROM audit_head", "DELETE FROM audit_keys"],
        "the head row",
    ),
    "cut with a forged head": (
        [
            "DELETE FROM audit_entries WHERE id = 3",
            "UPDATE audit_head SET entries = 2, digest = (SELECT digest FROM audit_entries WHERE id = 2)",
        ],
        "the head row",
    ),
    "cut, and the keys with it": (
        ["DELETE FROM audit_entries WHERE id = 3", "DELETE FROM audit_keys"],
        "which is gone",
    ),
    "added without a key": ([ADDED.format(digest="'x'", key="NULL")], "entry 9 names no key"),
    "added with a copied digest": ([ADDED.format(digest="digest", key="key")], "entry 9 does not fit"),
}


@pytest.mark.parametrize(("statements", "said"), GONE.values(), ids=GONE)
def test_what_is_cut_or_added_behind_its_back_is_found_and_writing_on_does_not_heal_it(
    parts: Runtime, statements: list[str], said: str
) -> None:
    write(parts, "a", "b", "c")
    behind_its_back(parts, *statements)
    with pytest.raises(AuditBroken, match=said):
        verify(parts)
    write(parts, "d")
    with pytest.raises(AuditBroken):
        verify(parts)


def _rows(parts: Runtime) -> dict[Any, list[Any]]:
    with parts.database.read() as connection:
        return {
            table: [row._asdict() for row in connection.execute(select(table))]
            for table in (table_of(AuditEntry), table_of(AuditHead))
        }


def test_a_chain_that_is_computed_anew_without_the_key_is_found(parts: Runtime) -> None:
    """As the releases without a key would have computed it."""
    write(parts, "a", "b", "c")
    before = None
    statements = []
    for entry in _rows(parts)[table_of(AuditEntry)]:
        about = {**entry["about"], "number": 2}
        content = [before, entry["at"].isoformat(), entry["who"], entry["what"], entry["why"], about]
        before = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        statements.append(
            f"UPDATE audit_entries SET about = '{json.dumps(about)}', digest = '{before}', key = NULL "  # noqa: S608
            f"WHERE id = {entry['id']}"
        )
    behind_its_back(parts, *statements, f"UPDATE audit_head SET digest = '{before}'")  # noqa: S608 - our own
    with pytest.raises(AuditBroken, match="the head row"):
        verify(parts)


def test_a_whole_older_state_that_is_put_back_is_found_with_an_anchor_alone(parts: Runtime) -> None:
    write(parts, "a", "b")
    older = _rows(parts)
    write(parts, "c")
    with parts.database.read() as connection:
        state = audit.state(connection)
    assert state is not None
    assert verify(parts, state.digest) == 3
    write(parts, "d")
    assert verify(parts, state.digest) == 4, "an anchor stays good while the log grows"
    behind_its_back(parts)
    with parts.database.write() as connection:
        for table, rows in older.items():
            connection.execute(delete(table))
            connection.execute(insert(table), rows)
    assert verify(parts) == 2
    with pytest.raises(AuditBroken, match="an older state of the log was put back"):
        verify(parts, state.digest)
    write(parts, "e", "f")
    with pytest.raises(AuditBroken, match="an older state of the log was put back"):
        verify(parts, state.digest)


def test_entries_of_a_key_that_is_rotated_out_stay_verifiable(parts: Runtime) -> None:
    """Two keys, everything encrypted anew, then the new key alone; what the old key made can still not be changed."""
    new = "A" * 43 + "="
    write(parts, "a", "b")
    both, alone = Encryption([new, KEY]), Encryption([new])
    with parts.database.write() as connection:
        reencrypt_all(connection, both)
        audit.write(connection, both, at=parts.clock(), who="x", what="c", why=None, about={})
    with parts.database.write() as connection:
        audit.write(connection, alone, at=parts.clock(), who="x", what="d", why=None, about={})
    keys = {row["key"] for row in _rows(parts)[table_of(AuditEntry)]}
    assert len(keys) == 2
    with parts.database.read() as connection:
        assert audit.verify(connection, alone).entries == 4
    behind_its_back(parts, "UPDATE audit_entries SET who = 'nobody' WHERE id = 1")
    with parts.database.read() as connection, pytest.raises(AuditBroken, match="entry 1 does not fit"):
        audit.verify(connection, alone)


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the release before, with two entries that have no key."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/old/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    schema.upgrade(database, ENCRYPTION, "0004")
    with database.write() as connection:
        before = None
        for what in ("a", "b"):
            before = _write_without_key(connection, before, what)
    yield database
    database.close()


def _write_without_key(connection: Any, before: str | None, what: str) -> str:
    """As the releases without a key did."""
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    content: list[Any] = [before, at.isoformat(), "cli:ops", what, None, {}]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    stored_at = at if connection.dialect.name == "postgresql" else "2026-03-04 12:00:00.000000"
    connection.execute(
        text("INSERT INTO audit_entries (at, who, what, about, digest) VALUES (:at, 'cli:ops', :what, '{}', :digest)"),
        {"at": stored_at, "what": what, "digest": digest},
    )
    return digest


def test_the_upgrade_binds_what_was_there_before_there_were_keys(old: Database) -> None:
    schema.upgrade(old, ENCRYPTION)
    with old.read() as connection:
        assert audit.verify(connection, ENCRYPTION).entries == 2
    with old.write() as connection:
        audit.write(connection, ENCRYPTION, at=datetime.now(UTC), who="x", what="c", why=None, about={})
    with old.read() as connection:
        assert audit.verify(connection, ENCRYPTION).entries == 3
    with pytest.raises(StoreUnavailable, match="older release"), old.write() as connection:
        _write_without_key(connection, None, "d")


def test_the_chain_of_before_can_not_be_computed_anew_once_it_is_bound(old: Database) -> None:
    schema.upgrade(old, ENCRYPTION)
    trigger = "update" if old.is_sqlite else "change ON audit_entries"
    content: list[Any] = [None, datetime(2026, 3, 4, 12, tzinfo=UTC).isoformat(), "nobody", "a", None, {}]
    first = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    content[0], content[3] = first, "b"
    second = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    with old.write() as connection:
        connection.execute(text(f"DROP TRIGGER audit_entries_refuse_{trigger}"))
        for what, digest in (("a", first), ("b", second)):
            change = text("UPDATE audit_entries SET who = 'nobody', digest = :digest WHERE what = :what")
            connection.execute(change, {"digest": digest, "what": what})
    with old.read() as connection, pytest.raises(AuditBroken, match="is not the one that"):
        audit.verify(connection, ENCRYPTION)
