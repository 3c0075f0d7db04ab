"""Two banks with more payments than their limits take for hours: no limit passed, none starved, all final."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from conftest import StandingClock, add_source
from store.made import delivery, event, record

from receiver.model import Purpose
from receiver.projection.projector import catch_up
from receiver.reconcile.checks import Reconciler
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.faults import Fault
from receiver.simulator.scripts import Script
from receiver.store import payments, request_budget
from receiver.store.database import Contended
from receiver.store.sources import SourceRecord

WORKERS = 4
STEP = 300
HOUR = timedelta(hours=1)


@dataclass
class Trial:
    """How much there is to do, and how much a bank takes."""

    payments: int
    """Of each of the two banks."""
    limit: int
    hours: int
    """Within which all must be final."""


SHORT = Trial(payments=30, limit=20, hours=14)
LONG = Trial(payments=1000, limit=300, hours=24)


def prepare(parts: Runtime, simulator: Simulator, source: SourceRecord, number: int) -> None:
    """Half are final at once and half after an hour; a fifth is slow, a twentieth fails twice."""
    chance = random.Random(source.name)  # noqa: S311 - no secret
    names = [f"{source.name}-{count}" for count in range(number)]
    for count, name in enumerate(names):
        steps = [("Completed", 0)] if count % 2 else [("Pending", 3600), ("Completed", 0)]
        script = Script.of(*steps)
        simulator.bank.add_payment(Payment(name, "1046406142", Decimal(1), "EUR", script, parts.clock()))
        drawn = chance.random()
        if drawn < 0.2:
            simulator.faults.add(Fault("slow", path=f"/v1/payments/{name}/status", seconds=0.02))
        elif drawn < 0.25:
            simulator.faults.add(Fault("500", path=f"/v1/payments/{name}/status", count=2))
    for start in range(0, number, 100):
        record(parts, delivery(parts, source), *(event(parts, name) for name in names[start : start + 100]))


def spent(parts: Runtime, source: SourceRecord, limit: int) -> dict[Purpose, int]:
    with parts.database.read() as connection:
        budget = request_budget.budget(connection, source.id, now=parts.clock(), limit=limit, window=HOUR)
        return request_budget.spent(connection, source.id, budget, HOUR)


def left(parts: Runtime) -> int:
    with parts.database.read() as connection:
        open_ = payments.listing(connection, "payment", statuses=["unknown", "pending"], limit=5000)
    return len(open_)


def work(parts: Runtime, _number: int) -> None:
    reconciler = Reconciler(parts)
    is_more_due = True
    while is_more_due:
        # On a busy machine others may lock a row for longer than banks wait: a worker tries anew in its next round.
        with suppress(Contended):
            is_more_due = reconciler.check_due() > 0


def assert_within(simulator: Simulator) -> None:
    """The bank itself has refused nothing for its limit."""
    assert not [entry for entry in simulator.requests.entries() if entry.status == 429]
    simulator.requests.clear()


def trial(parts: Runtime, clock: StandingClock, wanted: Trial) -> None:
    with ExitStack() as stack:
        config = Config(rate_limit=wanted.limit)
        banks = [stack.enter_context(Simulator(config, clock=clock)) for _ in range(2)]
        sources = [
            add_source(parts, name, base_url=bank.url, requests_per_window=wanted.limit)
            for name, bank in zip(("one", "two"), banks, strict=True)
        ]
        for bank, source in zip(banks, sources, strict=True):
            prepare(parts, bank, source, wanted.payments)
        catch_up(parts.database)
        mixed = 0
        with ThreadPoolExecutor(WORKERS) as pool:
            for _ in range(wanted.hours * 3600 // STEP):
                list(pool.map(lambda number: work(parts, number), range(WORKERS)))
                now = [spent(parts, source, wanted.limit) for source in sources]
                assert all(sum(each.values()) <= wanted.limit for each in now)
                for bank in banks:
                    assert_within(bank)
                mixed += all(each.get(Purpose.CLAIM) and each.get(Purpose.RECHECK) for each in now)
                if not left(parts):
                    break
                clock.forward(STEP)
        assert left(parts) == 0
        # While new ones waited for hours, those that were asked before had their turns too.
        assert mixed


def test_no_limit_is_passed_none_starves_and_all_come_to_an_end(parts: Runtime, clock: StandingClock) -> None:
    trial(parts, clock, SHORT)


@pytest.mark.drill
def test_two_thousand_payments_over_two_banks(parts: Runtime, clock: StandingClock) -> None:
    trial(parts, clock, LONG)
