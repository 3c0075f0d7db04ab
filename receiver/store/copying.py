"""Copying a whole database into another one, of the other kind too: each table row by row, compared at the end.

It reads one snapshot, and writes one transaction: a copy that is cut short leaves nothing behind.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum as PythonEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Connection,
    Enum,
    Select,
    String,
    Table,
    Text,
    cast,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    table,
    text,
    type_coerce,
)

from receiver.model import ReceiverError
from receiver.store import schema
from receiver.store.database import Database, StoreUnavailable, words_of
from receiver.store.encryption import Encryption
from receiver.store.tables import (
    AuditEntry,
    AuditHead,
    AuditKey,
    FeedHead,
    RetentionTurn,
    SearchProgress,
    Tally,
    metadata,
    table_of,
)

ROWS, ROWS_WITH_BODIES = 1000, 50
"""How many rows are in memory at a time."""

TURN_SECONDS = 600

SEEDED = frozenset(table_of(model) for model in (FeedHead, SearchProgress, RetentionTurn, AuditHead, AuditKey))
"""Tables that hold something as soon as they are made."""

FILLED_BY_TRIGGERS = frozenset({table_of(Tally)})
"""Tables that fill themselves while others are written."""

UNKEYED = "audit_entries_refuse_unkeyed"
"""The trigger that refuses entries of the audit log as earlier releases wrote them, of which there may be some."""


class CopyRefused(ReceiverError):
    """A database can't be copied to there, or the copy is not what it was made of."""


class Copied(NamedTuple):
    """A table of which so many rows were copied so far, with their digest; `is_whole` once that is all."""

    table: str
    rows: int
    digest: int
    is_whole: bool


def prepare(target: Database, encryption: Encryption) -> None:
    """Make the tables in a database that has none.

    Raises:
        CopyRefused: it holds something.
        StoreUnavailable
    """
    with target.read() as connection:
        names = inspect(connection).get_table_names()
    if names and (schema.current_revision(target) != schema.newest_revision() or _filled(target)):
        raise CopyRefused("the target is not empty: make an empty database for the copy")
    if not names:
        schema.upgrade(target, encryption)


def _filled(target: Database) -> list[str]:
    with target.read() as connection:
        return [
            each.name
            for each in metadata().sorted_tables
            if each not in SEEDED and connection.execute(select(*each.primary_key.columns).limit(1)).first() is not None
        ]


def copy(source: Database, target: Database) -> Iterator[Copied]:
    """Copy every table into a prepared target, as it is when this begins; compare what is there then.

    It is committed once this has come to its end.

    Raises:
        CopyRefused: what was written is not what was read; nothing is left of it.
        StoreUnavailable
    """
    with source.read() as reading, target.write(turn_seconds=TURN_SECONDS) as writing:
        if target.is_sqlite:
            # Until the end: there, older tables refer to sources, which the models do not say.
            writing.execute(text("PRAGMA defer_foreign_keys = ON"))
        else:
            writing.execute(text("SET LOCAL statement_timeout = 0"))
        # Another copy may have come first.
        if any(_count(writing, each) for each in metadata().sorted_tables if each not in SEEDED):
            raise CopyRefused("the target is not empty any more: another copy was made meanwhile")
        for each in SEEDED:
            writing.execute(delete(each))
        with _unkeyed_allowed(writing):
            for each in _tables():
                yield from _table(reading, writing, each)
        _set_sequences(writing)


def _tables() -> list[Table]:
    """Return the tables to copy, each behind those that it refers to."""
    return [each for each in metadata().sorted_tables if each not in FILLED_BY_TRIGGERS]


def _count(connection: Connection, which: Table) -> int:
    number: int = connection.execute(select(func.count()).select_from(which)).scalar_one()
    return number


def _table(reading: Connection, writing: Connection, which: Table) -> Iterator[Copied]:
    put = _put_into_sqlite if writing.dialect.name == "sqlite" else _put_into_postgresql
    number, digest = 0, 0
    for rows in _pages(reading, which):
        put(writing, which, rows)
        number, digest = number + len(rows), _added(digest, rows)
        yield Copied(which.name, number, digest, is_whole=False)
    written, written_digest = _digest(writing, which)
    if (written, written_digest) != (number, digest):
        words = f"{number} rows were read, {written} are there"
        raise CopyRefused(f"the copy of {which.name} is not what it was made of: {words}")
    yield Copied(which.name, number, digest, is_whole=True)


def _digest(connection: Connection, which: Table) -> tuple[int, int]:
    """Return how many rows a table has, and their digest."""
    number, digest = 0, 0
    for rows in _pages(connection, which):
        number, digest = number + len(rows), _added(digest, rows)
    return number, digest


Rows = Sequence[tuple[Any, ...]]


def _pages(connection: Connection, which: Table) -> Iterator[Rows]:
    size = ROWS_WITH_BODIES if "body" in which.c else ROWS
    with connection.execute(_every(which), execution_options={"yield_per": size}) as result:
        for page in result.partitions():
            yield [tuple(map(_plain, row)) for row in page]


def _every(which: Table) -> Select[Any]:
    """Select all rows, JSON as the text that was stored, words as texts: nothing is read into anything and back."""
    return select(*(_as_stored(each) for each in which.c)).order_by(*which.primary_key.columns)


def _as_stored(each: Any) -> Any:
    if isinstance(each.type, JSON):
        return cast(each, Text).label(each.name)
    return type_coerce(each, String).label(each.name) if isinstance(each.type, Enum) else each


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    return str(value) if isinstance(value, PythonEnum) else value


def _added(digest: int, rows: Rows) -> int:
    """Add the digests of rows to one: whatever their order, it is the same for the same rows."""
    for row in rows:
        canonical = repr(tuple(_canonical(value) for value in row)).encode("utf-8", "surrogatepass")
        digest += int.from_bytes(hashlib.sha256(canonical).digest())
    return digest % 2**256


def _canonical(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _put_into_sqlite(connection: Connection, which: Table, rows: Rows) -> None:
    names = [each.name for each in which.c]
    # JSON as the text that it is: by its own type a missing value would become the JSON `null`.
    plain = table(which.name, *(column(each.name, _plain_type(each.type)) for each in which.c))
    connection.execute(insert(plain), [dict(zip(names, row, strict=True)) for row in rows])


def _plain_type(kind: Any) -> Any:
    return String() if isinstance(kind, JSON | Enum) else kind


def _put_into_postgresql(connection: Connection, which: Table, rows: Rows) -> None:
    names = ", ".join(f'"{each.name}"' for each in which.c)
    cursor: Any = connection.connection.cursor()
    # Of the driver itself, which SQLAlchemy knows nothing of here.
    failures: Any = connection.dialect.loaded_dbapi.Error
    try:
        with cursor, cursor.copy(f'COPY "{which.name}" ({names}) FROM STDIN'.encode()) as copying:
            for row in rows:
                copying.write_row(row)
    except failures as error:
        raise StoreUnavailable(f"{which.name} can't be copied: {words_of(error)}") from None


@contextmanager
def _unkeyed_allowed(connection: Connection) -> Iterator[None]:
    """Take entries of the audit log as they were written, by earlier releases too."""
    name = table_of(AuditEntry).name
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER {UNKEYED}"))
        yield
        connection.execute(text(f"ALTER TABLE {name} ENABLE TRIGGER {UNKEYED}"))
        return
    made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": UNKEYED}).scalar_one()
    connection.execute(text(f"DROP TRIGGER {UNKEYED}"))
    yield
    connection.exec_driver_sql(str(made))


def _set_sequences(connection: Connection) -> None:
    """Have PostgreSQL count on from the highest number of each table; SQLite does so by itself."""
    if connection.dialect.name == "sqlite":
        return
    for each in metadata().sorted_tables:
        for key in each.primary_key.columns:
            sequence = connection.execute(select(func.pg_get_serial_sequence(each.name, key.name))).scalar()
            if sequence is not None:
                highest = connection.execute(select(func.max(key))).scalar()
                connection.execute(select(func.setval(sequence, highest or 1, highest is not None)))


def later(source: Database, copied: Mapping[str, Copied]) -> dict[str, int]:
    """Return which tables are not what they were when they were copied, and by how many rows they have grown since.

    Those are 0 where rows were changed in place. Digests are compared only where all numbers are the same: it takes
    about as long as reading everything once more.

    Raises:
        StoreUnavailable
    """
    with source.read() as connection:
        grown = {each.name: _count(connection, each) - copied[each.name].rows for each in _tables()}
        if any(grown.values()):
            return {name: number for name, number in grown.items() if number}
        return {each.name: 0 for each in _tables() if _digest(connection, each)[1] != copied[each.name].digest}
