"""What the tests of a person's acts look at: the audit log, and the whole database."""

from typing import Any

from sqlalchemy import select
from sqlmodel import SQLModel

from receiver.runtime import Runtime
from receiver.store import audit

WHO = "cli:alice"


def noted(parts: Runtime) -> list[tuple[str, str, dict[str, Any]]]:
    """The audit log, oldest first: who, what and about what."""
    with parts.database.read() as connection:
        rows = audit.listing(connection, limit=1000)
        audit.verify(connection, parts.encryption)
    return [(row.who, row.what, row.about) for row in reversed(rows)]


def everything(parts: Runtime) -> dict[str, list[Any]]:
    """Every row of every table."""
    with parts.database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in SQLModel.metadata.sorted_tables
        }
