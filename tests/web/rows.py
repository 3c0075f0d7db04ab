"""Looking into the tables behind an answer."""

from typing import Any

from sqlalchemy import select

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store.tables import table_of


def rows(parts: Runtime, model: Any, **where: Any) -> list[Any]:
    """All rows of a table whose columns have these values, what follows from events included."""
    catch_up(parts.database)
    table = table_of(model)
    query = select(table)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    with parts.database.read() as connection:
        return list(connection.execute(query))
