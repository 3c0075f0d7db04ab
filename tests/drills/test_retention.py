"""Old payloads are taken away while callbacks come in: none is lost, none waits, and nothing that is new goes."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from bank import BankSigner
from conftest import KEY, _execute
from drills.senders import Senders
from servers import RECEIVER, WebServer, environment
from sqlalchemy import func, select, text
from store.plenty import START, fill

from bench import signed
from bench.load import Generator, Shape
from receiver.runtime import Runtime
from receiver.store import retention, sources
from receiver.store.records import lowest_id
from receiver.store.tables import Delivery, table_of

_deliveries = table_of(Delivery)

FEW, MANY = 1200, 1_000_000
OLD_PART = 0.9
"""Of all that came, how much is to go."""

RATE, SECONDS = 200, 40
P99_MS = 50
STANDS_STILL_MAX = 3
"""Looks in a row, `SECONDS` apart, between which nothing has gone."""


def filled(parts: Runtime, number: int) -> int:
    """Write so many events, the older ones of which are to go; return how many those are at least."""
    fill(parts, number)
    old = int(number * OLD_PART)
    days = (parts.clock() - START - timedelta(seconds=old)).days
    with parts.database.write() as connection:
        # Nobody can be asked about them here.
        connection.execute(text("UPDATE subjects SET due_at = NULL"))
        for source in sources.every(connection):
            if source.name != "bcb":
                sources.change(connection, source.id, options={"retention_payload_days": days})
        # They are searched for by nobody: the worker would index them beside.
        connection.execute(text("UPDATE search_progress SET below = 0"))
    return old


@contextmanager
def worker(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker as an operator starts it, killed in the middle of whatever it does."""
    given = environment(url, KEY, RECEIVER_LOG_LEVEL="ERROR")
    process = subprocess.Popen([*RECEIVER, "worker"], env=given)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def removed(parts: Runtime) -> int:
    with parts.database.read() as connection:
        return sum(each.removed for each in retention.every_progress(connection))


def wait_until(parts: Runtime, number: int, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while removed(parts) < number:
        assert time.monotonic() < ends, f"{removed(parts)} of {number} were removed in time"
        time.sleep(0.2)


def assert_only_what_is_old_is_gone(parts: Runtime, new: int) -> None:
    """All that came just now is whole, and as much is gone as is said."""
    today = lowest_id("dlv", parts.clock() - timedelta(hours=2))
    with parts.database.read() as connection:
        gone = select(func.count()).where(_deliveries.c.body.is_(None))
        assert connection.execute(gone).scalar_one() == removed(parts)
        assert connection.execute(gone.where(_deliveries.c.id >= today)).scalar_one() == 0
        came = select(func.count()).select_from(_deliveries).where(_deliveries.c.id >= today)
        # What is sent before the measured time begins is not counted there.
        assert connection.execute(came).scalar_one() >= new


def test_workers_that_are_killed_take_old_payloads_away_while_callbacks_come(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    old = filled(live, FEW)
    with Senders(server.url, live_bank, range(100)) as senders:
        with worker(live.settings.database_url), worker(live.settings.database_url):
            wait_until(live, 200, 300)
        with worker(live.settings.database_url):
            wait_until(live, old, 300)
        results = senders.results()
    assert len(results) == 100
    assert not senders.refusals
    assert_only_what_is_old_is_gone(live, 100)


@pytest.mark.drill
@pytest.mark.timeout(3600)
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the load generator is compiled")
def test_900_000_payloads_go_while_200_callbacks_a_second_are_answered_in_50_ms(
    server: WebServer, live: Runtime, tmp_path: Path
) -> None:
    kind = live.database.engine.dialect.name
    _made_durable(live)
    old = filled(live, MANY)
    load, sizes = Generator(tmp_path), _sizes(live)
    before = _callbacks(load, server, tmp_path)
    print(f"{kind}: without retention p50 {before['p50']:.1f} ms, p99 {before['p99']:.1f} ms")
    sent, slowest = before["ok"], 0.0
    started, stood_still = time.monotonic(), 0
    with worker(live.settings.database_url):
        while (done := removed(live)) < old:
            found = _callbacks(load, server, tmp_path)
            sent, slowest = sent + found["ok"], max(slowest, found["p99"])
            gone = removed(live) - done
            stood_still = 0 if gone else stood_still + 1
            assert stood_still < STANDS_STILL_MAX, f"{done} of {old}"
            print(
                f"{kind}: {gone / SECONDS:.0f} payloads a second, p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms"
            )
    ended = time.monotonic()
    print(f"{kind}: {old} payloads in {ended - started:.0f} s, p99 {slowest:.1f} ms at most")
    print(f"{kind}: {sizes}, and {_sizes(live)} afterwards")
    assert slowest < P99_MS
    # It keeps up with what comes in.
    assert old / (ended - started) > RATE
    assert_only_what_is_old_is_gone(live, int(sent))


def _callbacks(load: Generator, server: WebServer, folder: Path) -> dict[str, float]:
    """Send callbacks at the rate for a while; all must be answered 2xx."""
    file = signed.write(folder / "requests", "bcb", "/webhooks/bcb", RATE * (SECONDS + 5))
    shape = Shape(rate=RATE, seconds=SECONDS)
    found = load.run(server.port, file, shape, lambda: (0.0, 0.0, 0))
    assert found.errors == 0, found.load
    assert not found.load["ran_dry"]
    return found.load


def _sizes(parts: Runtime) -> str:
    """How much the database takes, and how much of that is free for what comes next."""
    with parts.database.read() as connection:
        if parts.database.is_sqlite:
            pages, unused = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "freelist_count")
            )
            return f"{pages * 4096 / 1e6:.0f} MB, {unused * 4096 / 1e6:.0f} MB of them free"
        query = (
            "SELECT pg_total_relation_size(relid), n_dead_tup, autovacuum_count FROM pg_stat_user_tables"
            " WHERE relname = 'deliveries'"
        )
        size, dead, vacuumed = connection.execute(text(query)).one()
        return f"{size / 1e6:.0f} MB of deliveries, {dead} dead rows, vacuumed {vacuumed} times"


def _made_durable(parts: Runtime) -> None:
    """Have PostgreSQL wait for the disk, as it comes; other tests have it faster."""
    if not parts.database.is_sqlite:
        url = parts.settings.database_url.replace("+psycopg", "")
        _execute(url, "ALTER SYSTEM SET fsync = on")
        _execute(url, "SELECT pg_reload_conf()")
