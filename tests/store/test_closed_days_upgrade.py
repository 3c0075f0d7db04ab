"""A database of the release before has its banks' lines after the upgrade, and closes days of them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import ENCRYPTION, KEY
from sqlalchemy import text

from receiver.admin import day_verification, days
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema, tables
from receiver.store.database import Database

DAY = date(2026, 1, 2)
END = datetime(2026, 1, 3, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/new/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    yield database
    database.close()


@pytest.mark.parametrize("before", ["0017", "0025"])
def test_lines_that_were_read_before_the_upgrade_are_closed_after_it(empty: Database, before: str) -> None:
    schema.upgrade(empty, ENCRYPTION, before)
    with empty.write() as connection:
        connection.execute(
            text(
                "INSERT INTO sources (id, name, bank, environment, options, enabled, created_at)"
                " VALUES (7, 'bcb', 'bcb', 'sandbox', '{}', true, '2026-01-01 00:00:00')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO bank_lines (source_id, identity, list_name, day, type, payment_id, amount, currency,"
                " status, detail, seen_at) VALUES (7, 'x', 'one', '2026-01-02', 'bcb.deposit', 'FT1', '5.00', 'EUR',"
                " 'unknown', '{}', '2026-01-02 12:00:00')"
            )
        )
    schema.upgrade(empty, ENCRYPTION)
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=empty.url)
    parts = Runtime(settings, empty, ENCRYPTION, lambda: END + timedelta(hours=2))
    sweep: dict[str, object] = {"source_id": 7, "list_name": "one", "covered_from": END - timedelta(days=9)}
    sweep |= {"covered_until": END, "next_at": END}
    with empty.write() as connection:
        connection.execute(tables.table_of(tables.Sweep).insert().values(sweep))
    made, is_new = days.close(parts, "cli:test", "bcb", DAY)
    assert (made.version, made.number, is_new) == (1, 1, True)
    assert day_verification.verify(parts) == 1
