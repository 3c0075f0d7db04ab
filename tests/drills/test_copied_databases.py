"""A hundred thousand events move from SQLite to PostgreSQL, and back: cursors, consumers and searches go on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KEY
from store.plenty import fill, index

from receiver import runtime
from receiver.admin import database as acts
from receiver.admin import search
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import consumers, copying, feed
from receiver.store.search import Wanted

EVENTS = 100_000


@pytest.fixture
def third(parts: Runtime, tmp_path: Path) -> Iterator[Runtime]:
    """An empty file to come back to."""
    url = f"sqlite:///{tmp_path}/back/receiver.db"
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url), parts.clock)
    yield started
    started.database.close()


@pytest.fixture
def second(parts: Runtime, empty_postgres_url: str) -> Iterator[Runtime]:
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=empty_postgres_url), parts.clock)
    yield started
    started.database.close()


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_hundred_thousand_events_move_to_postgresql_and_back(parts: Runtime, second: Runtime, third: Runtime) -> None:
    fill(parts, EVENTS)
    index(parts)
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", EVENTS // 2, parts.clock())
    for here, there in ((parts, second), (second, third)):
        started = time.monotonic()
        rows = {each.table: each for each in acts.copy(here, "cli:ann", there.database)}
        print(f"{sum(each.rows for each in rows.values())} rows in {time.monotonic() - started:.0f} s")
        assert rows["events"].rows == EVENTS
        assert copying.later(here.database, rows) == {}
        with there.database.read() as connection:
            assert consumers.position_of(connection, "ledger") == EVENTS // 2
            page = feed.read(connection, after=EVENTS // 2, limit=2)
        assert [entry.position for entry in page.entries] == [EVENTS // 2 + 1, EVENTS // 2 + 2]
        payment = f"FT{EVENTS * 3 // 4}"
        found = search.find_events(there, Wanted(payment), place=None, limit=10)
        assert [event.payment_id for event in found.events] == [payment]
        assert [checked.faults for checked in acts.check(there)] == [()] * len(acts.CHECKS)
