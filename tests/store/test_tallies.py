"""Numbers that triggers keep are those that counting gives, whatever was written, by whom, and how many at once."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import ENCRYPTION, add_source
from sqlalchemy import Connection, text

from receiver.model import Agreement, ExceptionKind, Status
from receiver.runtime import Runtime
from receiver.store import claims, exceptions, figures, schema
from receiver.store.claims import NewClaim
from receiver.store.database import Database
from receiver.store.exceptions import Opened
from receiver.store.sources import SourceRecord

COUNTED = {
    "subjects": "SELECT source_id, kind, status, agreement, count(*) FROM subjects GROUP BY 1, 2, 3, 4",
    "exceptions": "SELECT source_id, kind, state, '', count(*) FROM exceptions GROUP BY 1, 2, 3",
}


def assert_right(database: Database) -> None:
    with database.read() as connection:
        for table, query in COUNTED.items():
            told = {row[:4]: row.number for row in figures.numbers(connection, table) if row.number}
            assert told == {tuple(row[:4]): row[4] for row in connection.execute(text(query))}, table


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    return add_source(parts)


def claim(source: SourceRecord, number: int, parts: Runtime) -> NewClaim:
    return NewClaim(source.id, "payment", f"FT{number}", "completed", "1.00", "USD", f"evt_{number}", parts.clock())


def change(connection: Connection, parts: Runtime, source: SourceRecord, chance: random.Random) -> None:
    """One statement of those that there are, and some that there might be."""
    numbers = [chance.randrange(40) for _ in range(5)]
    names = ", ".join(f"'FT{number}'" for number in numbers)
    match chance.randrange(6):
        case 0:
            claims.make_due(connection, [claim(source, number, parts) for number in numbers])
        case 1:
            words = {"status": chance.choice(list(Status)), "agreement": chance.choice(list(Agreement))}
            update = f"UPDATE subjects SET status = :status, agreement = :agreement WHERE subject IN ({names})"  # noqa: S608
            connection.execute(text(update), words)
        case 2:
            connection.execute(text(f"UPDATE subjects SET attempts = attempts + 1 WHERE subject IN ({names})"))  # noqa: S608
        case 3:
            connection.execute(text(f"DELETE FROM subjects WHERE subject IN ({names})"))  # noqa: S608
        case 4:
            opened = [Opened(ExceptionKind.CONFLICT, source.id, "event", f"evt_{number}") for number in set(numbers)]
            exceptions.open_all(connection, opened, parts.clock())
        case _:
            about = (source.id, "event", f"evt_{numbers[0]}")
            exceptions.resolve_about(connection, ExceptionKind.CONFLICT, *about, parts.clock())


def test_whatever_is_written_the_numbers_are_right(parts: Runtime, source: SourceRecord) -> None:
    chance = random.Random(19)  # noqa: S311 - no secret
    for turn in range(120):
        with parts.database.write() as connection:
            for _ in range(chance.randrange(1, 4)):
                change(connection, parts, source, chance)
        if turn % 40 == 0:
            assert_right(parts.database)
    assert_right(parts.database)


def test_what_is_rolled_back_is_not_counted(parts: Runtime, source: SourceRecord) -> None:
    def write_and_fail() -> None:
        with parts.database.write() as connection:
            claims.make_due(connection, [claim(source, 1, parts)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert_right(parts.database)
    with parts.database.read() as connection:
        assert not [row for row in figures.numbers(connection, "subjects") if row.number]


def test_parts_are_put_together_while_others_write(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "PUT_TOGETHER_ABOVE", 3)

    def write(worker: int) -> None:
        for number in range(12):
            with parts.database.write() as connection:
                claims.make_due(connection, [claim(source, worker * 100 + number, parts)])
            figures.put_together(parts.database)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert_right(parts.database)
    figures.put_together(parts.database)
    assert_right(parts.database)
    with parts.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM tallies")).scalar_one() <= 3


@pytest.fixture(params=["sqlite", "postgresql"])
def before(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the release before, with something in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    schema.upgrade(database, ENCRYPTION, "0017")
    with database.write() as connection:
        fill(connection)
    yield database
    database.close()


SOURCE = (
    "INSERT INTO sources (id, name, bank, environment, options, enabled, created_at)"
    " VALUES (7, 'bcb', 'bcb', 'sandbox', '{}', true, '2026-01-01 00:00:00')"
)
SUBJECT = (
    "INSERT INTO subjects (source_id, kind, subject, status, agreement, created_at, updated_at, attempts) VALUES"
    " (7, 'payment', :subject, 'completed', 'confirmed', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 0)"
)


def fill(connection: Connection) -> None:
    connection.execute(text(SOURCE))
    payments: list[dict[str, Any]] = [{"subject": f"FT{number}"} for number in range(5)]
    connection.execute(text(SUBJECT), payments)


def test_what_was_there_before_is_counted_by_the_migration(before: Database) -> None:
    schema.upgrade(before, ENCRYPTION)
    with before.read() as connection:
        assert figures.numbers(connection, "subjects") == [(7, "payment", "completed", "confirmed", 5)]
    assert_right(before)
