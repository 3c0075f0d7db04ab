"""What the two databases spell differently."""

from typing import Any

from sqlalchemy import Connection, Table, literal
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


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
