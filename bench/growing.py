"""A database that grows to millions of payments: real rows of a few, written once more by the database itself.

A few callbacks are taken in as they would come, their payments asked about, and their lines listed by the bank. All
others are copies of these rows with numbers, accounts, amounts and times of their own, in the order in which they would
have been written; searches are indexed by the receiver's own code. So a row, and an index, is as large as a real one.
"""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from bank import BankSigner, deposit
from conftest import add_source
from reconcile.ledger import Ledger
from sqlalchemy import text

from bench import copies
from receiver import banks
from receiver.banks.abilities import Listed
from receiver.projection.projector import catch_up
from receiver.reconcile import list_lines
from receiver.reconcile.recovery import Joined, Recoverer
from receiver.runtime import Runtime
from receiver.store import bank_lines, integrity, search_index, sources, sweeps
from receiver.store.records import lowest_id
from receiver.store.sources import SourceRecord
from receiver.web import create_app

PART = 50_000
"""Copies in one transaction: what is lost when it is interrupted."""

INDEXED_AT_ONCE = 5000

SWEPT = 1_000
"""Of the newest payments so many are on no list of the bank yet: a sweep is about to find them there."""

UNHEARD_OF = 10
"""Of what a sweep finds, so many have no callback."""


A_SECOND = timedelta(seconds=1)

AFTER_ALL = datetime(2025, 1, 1, tzinfo=UTC)
"""Behind all copies, and before what comes as callbacks come."""


def head(parts: Runtime) -> int:
    """Return the feed's last position: each payment has two, its callback's and the one of its new status."""
    with parts.database.read() as connection:
        return int(connection.execute(text("SELECT position FROM feed_head")).scalar_one())


def payments(parts: Runtime) -> int:
    """Return how many payments there are, about."""
    return head(parts) // 2


def start(parts: Runtime) -> None:
    """Take the originals in, where nothing has been yet."""
    if head(parts):
        return
    source = add_source(parts)
    bank, client, ledger = BankSigner(parts.clock), create_app(parts).test_client(), Ledger(parts, source)
    lines = []
    for number in range(copies.ORIGINALS):
        line = copies.original(number, parts.clock())
        signed = bank.sign(_callback(line))
        answer = client.post(signed.path, data=signed.body, headers=signed.headers)
        assert answer.status_code == 200, answer.text
        ledger.checked(line.payment_id or "", "completed", str(line.amount))
        lines.append(line)
    catch_up(parts.database)
    assert list_and_join(parts, source, lines) == Joined(joined=copies.ORIGINALS)


def _callback(line: Listed) -> dict[str, Any]:
    return deposit(
        transactionId=line.payment_id,
        accountNumber=line.account,
        value={"amount": str(line.amount), "currency": line.currency},
        transactionDetails=line.detail["remittance"],
    )


def list_and_join(parts: Runtime, source: SourceRecord, lines: list[Listed]) -> Joined:
    """Store lines of a bank's list as a sweep does, and join them to events, without asking the bank."""
    days = banks.named(source.bank).days(source.options)
    by_list: dict[str, list[bank_lines.NewLine]] = {}
    for line in lines:
        name = line.account or ""
        by_list.setdefault(name, []).append(
            list_lines.as_stored(line, name, source.bank, lambda _: days, parts.clock())
        )
    times = [line.at for line in lines if line.at is not None]
    window = (min(times), max(times) + timedelta(seconds=1))
    for part in bank_lines.in_groups([line for stored in by_list.values() for line in stored]):
        with parts.database.write() as connection:
            sweeps.lock(connection, source.id, parts.clock())
            bank_lines.write(connection, source.id, part, window, parts.clock())
    return Recoverer(parts).run(source)


def newest_lines(parts: Runtime) -> list[Listed]:
    """Return what the bank lists of the newest copies, which are on no list yet, and of some without a callback."""
    last = last_copy(parts)
    numbers = [*range(last - SWEPT + UNHEARD_OF + 1, last + 1), *range(10**8 + last, 10**8 + last + UNHEARD_OF)]
    return [
        # At midnight it would be known by its day alone.
        copies.copy(number, copies.came_at(min(number, last)) + A_SECOND)
        for number in numbers
    ]


def the_source(parts: Runtime) -> SourceRecord:
    """Return the one source."""
    with parts.database.read() as connection:
        found = sources.find(connection, "bcb")
    assert found is not None
    return found


def last_copy(parts: Runtime) -> int:
    """Return the number of the newest copy: its event's id begins with the time at which it came."""
    query = text("SELECT id FROM events WHERE id < :below ORDER BY id DESC LIMIT 1")
    with parts.database.read() as connection:
        newest = connection.execute(query, {"below": lowest_id("evt", AFTER_ALL)}).scalar()
    return (int(newest[4:16], 16) - copies.milliseconds(copies.START)) // copies.EVERY_MS if newest else 0


def grow(parts: Runtime, to: int, until: float) -> Iterator[str]:
    """Write copies until there are so many payments, and index them; say after each part how far it has come.

    It stops before a part that begins behind `until`, by the clock that `time.monotonic` reads; whoever calls it once
    more goes on from there, after a kill too.
    """
    catch_up(parts.database)
    while (missing := to - payments(parts)) > 0:
        if time.monotonic() >= until:
            return
        before = head(parts)
        # So that its number is above those of all that came in between.
        first = (before + 1) // 2 + 1
        last = min(first + PART, first + missing) - 1
        with parts.database.write() as connection:
            integrity.take_time(connection)
            copies.write(connection, before, first, last, listed=first + missing - 1 - SWEPT + UNHEARD_OF)
        yield f"{payments(parts):,} payments written"
    for through in _index(parts, until):
        yield f"{through:,} of {head(parts):,} feed entries indexed for searches"
    if is_indexed(parts) and not parts.database.is_sqlite:
        yield "VACUUM (ANALYZE)"
        # As PostgreSQL does by itself after a while; nobody does it for SQLite.
        url = parts.settings.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("VACUUM (ANALYZE)")


def is_indexed(parts: Runtime) -> bool:
    """Tell whether all can be searched for."""
    with parts.database.read() as connection:
        return not search_index.is_behind(connection)


def _index(parts: Runtime, until: float = math.inf) -> Iterator[int]:
    """Index what was written, and say up to which position that is done."""
    # In larger steps than beside callbacks.
    search_index.BATCH = INDEXED_AT_ONCE
    more = True
    while more and time.monotonic() < until:
        with parts.database.write() as connection:
            integrity.take_time(connection)
            more = search_index.follow(connection)
            through = connection.execute(text("SELECT through FROM search_progress")).scalar_one()
        yield int(through)
