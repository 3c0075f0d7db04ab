"""What is inserted past SQLAlchemy is stored as SQLAlchemy would store it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Identity, Integer, MetaData, Table, Text, event, insert, select, text

from receiver.store.bulk_insert import BulkInsert, LinkedInserts
from receiver.store.database import Database
from receiver.store.tables.base import UtcDateTime

TIMES = (
    None,
    datetime(2026, 11, 21, 20, 15, 30, 5, UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(2026, 11, 21, 1, tzinfo=timezone(timedelta(hours=14, minutes=45))),
)
VALUES: tuple[Any, ...] = (
    {},
    {"name": "Zoë", "facts": [1, -2.5, None, True, "10.00"]},
    {"control": "\x00\x1f\u2028", "quoted": '"\\'},
    {"half a pair": "\ud800"},
    {"large": 2**70},
)
THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("time", UtcDateTime),
    Column("data", JSON),
)
inserted = BulkInsert(THINGS, ("id", "time", "data"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    with opened.write() as connection:
        THINGS.create(connection)
    yield opened
    opened.close()


@pytest.mark.parametrize("time", TIMES)
def test_times_are_stored_as_sqlalchemy_stores_them(database: Database, time: datetime | None) -> None:
    with database.write() as connection:
        connection.execute(insert(THINGS).values(id=1, time=time, data={}))
        inserted.run(connection, [(2, time, {})])
    with database.read() as connection:
        first, second = connection.execute(text("SELECT CAST(time AS TEXT) FROM things ORDER BY id")).scalars()
        assert first == second
        assert set(connection.execute(select(THINGS.c.time)).scalars()) == {time}


@pytest.mark.parametrize("value", VALUES)
def test_data_is_read_as_it_was_given(database: Database, value: Any) -> None:
    with database.write() as connection:
        inserted.run(connection, [(1, None, value)])
    with database.read() as connection:
        assert connection.execute(select(THINGS.c.data)).scalar_one() == value


PARENTS = Table("parents", MetaData(), Column("name", Text, primary_key=True))
CHILDREN = Table(
    "children",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("parent", Text),
    Column("number", Integer, Identity()),
)
linked = LinkedInserts(
    BulkInsert(PARENTS, ["name"], unique=["name"]),
    (BulkInsert(CHILDREN, ["name", "parent"], unique=["name"]), "parent"),
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_linked_inserts_are_one_statement(database: Database) -> None:
    """What they write on both is tested where they are used: in `test_intake.py`."""
    with database.write() as connection:
        PARENTS.create(connection)
        CHILDREN.create(connection)
        linked.run(connection, [[("old",)], [("o1", "old")]])
    sent: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    names = [f"n{number}" for number in range(200, 0, -1)]
    with database.write() as connection:
        children = [("o2", "old"), ("o1", "new"), *((name, "new") for name in names)]
        new = linked.run(connection, [[("old",), ("new",)], children])
    assert new == [{"new"}, set(names)]
    assert len(sent) == 1
    with database.read() as connection:
        assert list(connection.execute(text("SELECT name FROM children ORDER BY number")).scalars()) == ["o1", *names]
