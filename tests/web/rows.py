"""Looking into the tables behind an answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import thread_pool
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


@contextmanager
def no_statement_from_native_threads(parts: Runtime) -> Iterator[None]:
    """Native threads are used, as under gevent, and none of them may talk to the database meanwhile."""
    own, others = threading.get_ident(), []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() != own:
            others.append(statement)

    event.listen(parts.database.engine, "before_cursor_execute", note)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thread_pool, "_under_gevent", lambda: True)
        yield
    event.remove(parts.database.engine, "before_cursor_execute", note)
    assert others == []
