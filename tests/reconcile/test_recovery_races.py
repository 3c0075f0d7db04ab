"""A callback and a sweep at the same instant: one event of one payment, one entry, and no callback is refused."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_source
from listing import Entry, listing_bank, teach
from sqlalchemy import Connection, text, update
from store.made import delivery, event

from receiver.admin import sweeps
from receiver.projection.projector import catch_up
from receiver.reconcile.recovery import Joined, Recoverer
from receiver.reconcile.sweep import Sweeper
from receiver.runtime import Runtime
from receiver.store import bank_lines, feed, intake, recoveries
from receiver.store import sweeps as store_sweeps
from receiver.store.bank_lines import NewLine
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankLine, table_of
from receiver.web import create_app

ACCOUNT = "1046406142"
FACTS = {"account_number": ACCOUNT, "direction": "Credit"}


def listed(
    parts: Runtime,
    source: SourceRecord,
    clock: StandingClock,
    names: Sequence[str],
    amount: str = "1.00",
    currency: str = "EUR",
) -> None:
    """Have the bank's list read, with lines about these payments."""
    at = clock() - timedelta(hours=1)
    (group,) = bank_lines.in_groups(new_lines(clock, names, amount, currency))
    with parts.database.write() as connection:
        bank_lines.write(connection, source.id, group, (at, clock()), clock())


def new_lines(clock: StandingClock, names: Sequence[str], amount: str = "1.00", currency: str = "EUR") -> list[NewLine]:
    """Lines of an hour ago."""
    worth: tuple[Any, ...] = (amount, currency, None, "unknown", clock() - timedelta(hours=1), {})
    day, kind = date(2026, 3, 4), "bcb.deposit"
    return [NewLine(ACCOUNT, day, kind, name, None, ACCOUNT, "incoming", *worth) for name in names]


def state(parts: Runtime) -> tuple[list[Any], list[str], list[Any]]:
    """All events, the types in the feed, and the lines."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        events = list(connection.execute(text("SELECT payment_id, proof, found_by, id FROM events ORDER BY id")).all())
        entries = feed.read(connection, after=0, limit=1000).entries
        types = [entry.type for entry in entries if not entry.type.startswith("exception.")]
        lines = list(connection.execute(text("SELECT payment_id, event_id FROM bank_lines")).all())
    return events, types, lines


def test_a_callback_that_is_being_written_down_is_waited_for(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """It looked before the sweep left word, and is committed after: the sweep sees it all the same."""
    listed(parts, source, clock, ["FT1"])
    is_written, may_commit = threading.Event(), threading.Event()

    def tell() -> None:
        with parts.database.write() as connection:
            intake.record(connection, delivery(parts, source), [event(parts, "FT1", facts=FACTS)])
            is_written.set()
            # On SQLite nobody else writes meanwhile, so that there is nothing to wait for.
            assert parts.database.is_sqlite or may_commit.wait(30)

    with ThreadPoolExecutor(2) as pool:
        telling = pool.submit(tell)
        assert is_written.wait(30)
        recovering = pool.submit(Recoverer(parts).run, source)
        if not parts.database.is_sqlite:
            _wait_until_expected(parts, source)
            assert not recovering.done()
            assert state(parts)[0] == []
            may_commit.set()
        telling.result()
        done = recovering.result()
    ((payment, proof, found_by, event_id),), types, lines = state(parts)
    assert done == Joined(joined=1)
    assert (payment, proof, found_by) == ("FT1", "signature", None)
    assert types == ["bcb.deposit"]
    assert lines == [("FT1", event_id)]


def _wait_until_expected(parts: Runtime, source: SourceRecord) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with parts.database.read() as connection:
            expected = recoveries.expected(connection, source.id)
            if expected.ids:
                assert not recoveries.has_passed(connection, expected.horizon)
                return
        time.sleep(0.01)
    raise AssertionError("the sweep has left no word")


def _wait_until_made(parts: Runtime, payment_id: str) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with parts.database.read() as connection:
            if connection.execute(text("SELECT id FROM events WHERE payment_id = :id"), {"id": payment_id}).first():
                return
        time.sleep(0.01)
    raise AssertionError("the sweep has made no event")


def test_a_callback_that_comes_before_the_event_is_made_keeps_the_sweep_from_making_it(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(parts, source, clock, ["FT1"])
    passed = recoveries.has_passed

    def meanwhile(*given: Any) -> bool:
        with parts.database.write() as connection:
            recorded = intake.record(connection, delivery(parts, source), [event(parts, "FT1", facts=FACTS)])
        assert recorded.is_new
        monkeypatch.setattr(recoveries, "has_passed", passed)
        return passed(*given)

    monkeypatch.setattr(recoveries, "has_passed", meanwhile)
    assert Recoverer(parts).run(source) == Joined()
    assert Recoverer(parts).run(source) == Joined(joined=1)
    assert state(parts)[1] == ["bcb.deposit"]


@pytest.mark.parametrize("name", ["F\0T", "F\ud800T", "F" * 100_000, "F'T\\"])
def test_no_name_in_a_callback_keeps_it_from_being_written_down(
    parts: Runtime, source: SourceRecord, clock: StandingClock, name: str
) -> None:
    listed(parts, source, clock, ["FT1"])
    Recoverer(parts).run(source)
    facts = FACTS | {"reference": name}
    with parts.database.write() as connection:
        recorded = intake.record(connection, delivery(parts, source), [event(parts, "FT1", facts=facts)])
    assert not recorded.is_new


def test_callbacks_and_sweeps_at_once_make_one_event_of_each_payment(
    parts: Runtime, source: SourceRecord, clock: StandingClock, bank: BankSigner
) -> None:
    client, done = create_app(parts), threading.Event()
    names = [f"FT{number}" for number in range(80)]

    def tell(name: str) -> int:
        worth = {"amount": "1.00", "currency": "EUR"}
        signed = bank.sign(deposit(transactionId=name, value=worth))
        return client.test_client().post(signed.path, data=signed.body, headers=signed.headers).status_code

    def recover() -> None:
        while not done.is_set():
            Recoverer(parts).run(source)

    with ThreadPoolExecutor(16) as pool:
        recovering = [pool.submit(recover) for _ in range(2)]
        answers = []
        try:
            for start in range(0, len(names), 8):
                early, *some, late = names[start : start + 8]
                answers.append(tell(early))
                telling = [pool.submit(tell, name) for name in some]
                listed(parts, source, clock, [early, *some, late])
                telling += [pool.submit(tell, name) for name in some]
                _wait_until_made(parts, late)
                answers += [tell(late), *(each.result() for each in telling)]
        finally:
            done.set()
        for each in recovering:
            each.result()
    Recoverer(parts).run(source)
    Recoverer(parts).run(source)
    events, types, lines = state(parts)
    assert Counter(answers) == {200: 140}
    assert sorted(payment for payment, *_ in events) == sorted(names)
    assert {proof for _, proof, *_ in events} == {"signature"}
    # The last of each eight at least, and never the first.
    recovered = sum(found_by is not None for _, _, found_by, _ in events)
    assert Counter(each for each in types if each != "payment.status_changed") == Counter(
        {"bcb.deposit": 80 - recovered, "payment.recovered": recovered}
    )
    assert 10 <= recovered <= 70
    assert sorted(lines) == sorted((payment, event_id) for payment, _, _, event_id in events)
    with parts.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM recoveries")).scalar_one() == 0


def test_lines_that_are_read_and_joined_at_once_wait_for_each_other_in_no_circle(
    parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stores lines has them in one order, and who joins them in another: neither is given up by the database."""
    teach(monkeypatch)
    with listing_bank() as bank, ThreadPoolExecutor(1) as pool:
        source = add_source(parts, base_url=bank.server.url)
        span = sweeps.span(parts, "bcb", clock().date(), None)
        bank.add(*(Entry(f"FT{number}", clock() - timedelta(hours=1)) for number in range(2)))
        sweeps.run(parts, "cli:ann", "bcb", span, lambda _: None)
        bank.lists[ACCOUNT] = [replace(entry, at=entry.at + timedelta(minutes=1)) for entry in bank.lists[ACCOUNT]]
        until = clock() + timedelta(minutes=5)
        with parts.database.write() as connection:
            claimed = store_sweeps.claim(connection, source.id, ACCOUNT, now=clock(), until=until, lease="l")
        assert claimed is not None
        steps = Sweeper(parts, source).read(claimed, span, timedelta(days=1))
        with parts.database.write() as connection:
            store_sweeps.lock(connection, source.id, clock())
            (group,) = bank_lines.in_groups(new_lines(clock, ["FT0", "FT1"], "1000.00", "USD"))
            first, second = [line.payment_id for lines in group.values() for line in lines]
            _touch(connection, second)
            storing = pool.submit(list, steps)
            # On SQLite one writes at a time anyway.
            if not parts.database.is_sqlite:
                _wait_until_waited_for(parts, storing)
            _touch(connection, first)
        assert storing.result()[-1].lines == 2
    assert len(state(parts)[2]) == 2


def _touch(connection: Connection, payment_id: str | None) -> None:
    """Have a line locked, as whoever joins it has."""
    lines = table_of(BankLine)
    connection.execute(update(lines).where(lines.c.payment_id == payment_id).values(event_id=lines.c.event_id))


def _wait_until_waited_for(parts: Runtime, storing: Future[Any]) -> None:
    query = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with parts.database.read() as connection:
            if connection.execute(query).first():
                return
        assert not storing.done(), storing.result()
        time.sleep(0.01)
    raise AssertionError("nobody waits")
