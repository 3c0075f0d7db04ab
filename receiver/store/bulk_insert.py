"""Bulk inserts by a statement that is prepared once (no ORM), into several tables at once too; and upserts."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import JSON, Column, Connection, CursorResult, Dialect, Enum, Table, literal
from sqlalchemy.dialects import postgresql, sqlite

from receiver.store.tables.base import UtcDateTime, sqlite_text

Insert = postgresql.Insert | sqlite.Insert

RowValues = Sequence[Any]
"""The values of a row, in the order of the columns."""


class _Prepared(NamedTuple):
    text: str
    binds: Sequence[tuple[int, Callable[[Any], Any]]]
    """What the driver would not take as it is: which value, and what makes it one that it takes."""


class BulkInsert:
    """`INSERT … ON CONFLICT …` into the named columns of a table, for as many rows as there are.

    With `unique`, a row whose unique columns are there already is skipped: the statement itself says which rows are
    new, so that two writers never both hear it of theirs. With `otherwise`, the SQL of a `DO UPDATE SET` is run on it.
    """

    def __init__(
        self, table: Table, columns: Sequence[str], *, unique: Sequence[str] = (), otherwise: str | None = None
    ) -> None:
        self._table = table
        self._columns = tuple(columns)
        self._conflict = _conflict(unique, otherwise)
        self._prepared = cache(self._prepare)

    def run(self, connection: Connection, rows: Sequence[RowValues]) -> None:
        """Insert rows, in their order."""
        if not rows:
            return
        if connection.dialect.name == "sqlite":
            _one_by_one(connection, self._prepared("sqlite"), rows)
        else:
            _at_once(connection, self._prepared("postgresql"), rows)

    def run_for_new(self, connection: Connection, rows: Sequence[RowValues]) -> set[Any]:
        """Insert rows, in their order, and return the first column's values of those that are new."""
        if not rows:
            return set()
        if connection.dialect.name == "sqlite":
            return _one_by_one(connection, self._prepared("sqlite"), rows)
        return set(_at_once(connection, self._prepared("postgresql", self._columns[0]), rows).scalars())

    def _prepare(self, dialect_name: str, returning: str | None = None, condition: str = "") -> _Prepared:
        columns = [self._table.c[name] for name in self._columns]
        names = ", ".join(f'"{name}"' for name in self._columns)
        ending = self._conflict + (f' RETURNING "{returning}"' if returning is not None else "")
        if dialect_name == "sqlite":
            dialect: Dialect = sqlite.dialect()
            values = f"VALUES ({', '.join('?' for _ in columns)})"
        else:
            dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
            values = _unnested(columns, dialect) + condition
        binds = [(number, bind) for number, column in enumerate(columns) if (bind := _bind(column, dialect))]
        return _Prepared(f'INSERT INTO "{self._table.name}" ({names}) {values}{ending}', binds)


class LinkedInserts:
    """Inserts into several tables, of each only rows that belong to a new row of the table before it.

    For PostgreSQL it is one statement (data-modifying `WITH`), and so one way to the server instead of several.
    """

    def __init__(self, first: BulkInsert, *others: tuple[BulkInsert, str]) -> None:
        """Take the first insert, and each further one with its column that names the row of the one before.

        A row is named by the value in the first column of its insert.
        """
        self._inserts = [first, *(insert for insert, _ in others)]
        self._links = [link for _, link in others]
        self._prepared = cache(self._prepare)

    def run(self, connection: Connection, tables: Sequence[Sequence[RowValues]]) -> list[set[Any]]:
        """Insert the rows of each table, in their order, and return the names of those that are new, of each table."""
        if connection.dialect.name == "postgresql" and all(tables):
            return self._at_once(connection, tables)
        new = [self._inserts[0].run_for_new(connection, tables[0])]
        for insert, link, rows in zip(self._inserts[1:], self._links, tables[1:], strict=True):
            place = insert._columns.index(link)
            new.append(insert.run_for_new(connection, [row for row in rows if row[place] in new[-1]]))
        return new

    def _at_once(self, connection: Connection, tables: Sequence[Sequence[RowValues]]) -> list[set[Any]]:
        text, parts = self._prepared()
        values = [column for part, rows in zip(parts, tables, strict=True) for column in _columns(part, rows)]
        new: list[set[Any]] = [set() for _ in tables]
        for number, name in connection.exec_driver_sql(text, tuple(values)):
            new[number].add(name)
        return new

    def _prepare(self) -> tuple[str, list[_Prepared]]:
        parts = []
        for number, insert in enumerate(self._inserts):
            # In the order given: of rows that others wait for, and of numbers that are given out.
            condition = f' WHERE g."{self._links[number - 1]}" IN (TABLE new_{number - 1})' if number else ""
            parts.append(insert._prepare("postgresql", insert._columns[0], f"{condition} ORDER BY g.ordinality"))
        inserts = ", ".join(f"new_{number} AS ({part.text})" for number, part in enumerate(parts))
        new = " UNION ALL ".join(f"SELECT {number}, * FROM new_{number}" for number in range(len(parts)))  # noqa: S608
        return f"WITH {inserts} {new}", parts


def _conflict(unique: Sequence[str], otherwise: str | None) -> str:
    if not unique:
        return ""
    action = f"UPDATE SET {otherwise}" if otherwise else "NOTHING"
    return f" ON CONFLICT ({', '.join(unique)}) DO {action}"


def _bind(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    if isinstance(column.type, JSON):
        return _json
    if dialect.name != "sqlite":
        return None
    if isinstance(column.type, Enum):
        return _word
    if isinstance(column.type, UtcDateTime):
        return _time
    return None


@lru_cache(maxsize=64)
def _word(value: str | None) -> str | None:
    """Return a word of an enum as a plain string: SQLite's driver takes long to find out that it is one."""
    return None if value is None else str(value)


@lru_cache(maxsize=256)
def _time(value: datetime | None) -> str | None:
    """Write a time as `UtcDateTime` does; those of a delivery are often those of its events, too."""
    return None if value is None else sqlite_text(value)


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # What it refuses: half of a surrogate pair, whole numbers beyond 64 bits.
        return json.dumps(value)


def _one_by_one(connection: Connection, prepared: _Prepared, rows: Sequence[RowValues]) -> set[Any]:
    """Return the first column's values of the rows that each their own statement has counted as written.

    SQLite runs in this process: a statement for each row costs no way to a server and back.
    """
    written = set()
    cursor = connection.connection.cursor()
    try:
        for values in zip(*_columns(prepared, rows), strict=True):
            cursor.execute(prepared.text, values)
            if cursor.rowcount:
                written.add(values[0])
    finally:
        cursor.close()
    return written


def _at_once(connection: Connection, prepared: _Prepared, rows: Sequence[RowValues]) -> CursorResult[Any]:
    return connection.exec_driver_sql(prepared.text, tuple(_columns(prepared, rows)))


def _columns(prepared: _Prepared, rows: Sequence[RowValues]) -> list[list[Any]]:
    """Return the rows' values column by column, as the driver takes them."""
    columns = [list(values) for values in zip(*rows, strict=True)]
    for number, bind in prepared.binds:
        columns[number] = list(map(bind, columns[number]))
    return columns


def _unnested(columns: Sequence[Column[Any]], dialect: Dialect) -> str:
    """PostgreSQL takes a column of all rows as one array: one way to the server, whatever their number."""
    kinds = ["TEXT" if isinstance(column.type, JSON) else column.type.compile(dialect) for column in columns]
    arrays = ", ".join(f"%b::{kind}[]" for kind in kinds)
    names = ", ".join(f'"{column.name}"' for column in columns)
    picked = ", ".join(
        f'g."{column.name}"::JSON' if isinstance(column.type, JSON) else f'g."{column.name}"' for column in columns
    )
    return f"SELECT {picked} FROM unnest({arrays}) WITH ORDINALITY AS g({names})"  # noqa: S608 - names of our own


def insert_or_skip(connection: Connection, table: Table, unique: list[str], values: dict[str, Any]) -> bool:
    """Insert a row unless one with the same unique columns is there; tell whether it is new.

    The verdict comes from the statement itself, so two writers never both hear that theirs is the new one.
    """
    statement = upsert(connection, table).values(**values).on_conflict_do_nothing(index_elements=unique)
    # By RETURNING and not by the count of rows, which the drivers do not all give for an insert.
    return connection.execute(statement.returning(literal(1))).first() is not None


def upsert(connection: Connection, table: Table) -> Insert:
    """Return an insert statement that can take `ON CONFLICT`."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
