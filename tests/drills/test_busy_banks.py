"""Many payments, few requests: what two slow and failing banks take is never passed, and every payment has its turn."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_source
from sqlalchemy import select

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.faults import Fault
from receiver.simulator.scripts import Script
from receiver.store.tables import Source, Subject, table_of
from receiver.web import create_app
from receiver.worker.loop import Worker

pytestmark = [pytest.mark.larger, pytest.mark.timeout(1800)]

PART = 1 if "DRILLS" in os.environ else 20
PAYMENTS = 1000 // PART
"""At each of two banks."""
REQUESTS = 300 // PART
"""In an hour, at each."""
WORKERS = 4
STEP_SECONDS = 300 if PART == 1 else 900
LONGEST = timedelta(hours=8)
"""Four hours' requests would do, if each payment were asked for once, and each time with success."""


@pytest.fixture
def simulators(clock: StandingClock) -> Iterator[dict[str, Simulator]]:
    """A fifth of the answers takes longer, so that others come before them; a twentieth is a failure."""
    config = Config(rate_limit=REQUESTS, token_lifetime_seconds=1e7)
    with ExitStack() as running:
        found = {
            name: running.enter_context(Simulator(config, clock=clock, sleep=lambda _: time.sleep(0.01)))
            for name in ("bcb", "another")
        }
        for simulator in found.values():
            simulator.faults.add(Fault("slow", count=None, seconds=12, share=0.2))
            simulator.faults.add(Fault("500", "/v1/*", count=None, share=0.05))
        yield found


def claim(parts: Runtime, simulators: dict[str, Simulator], clock: StandingClock) -> None:
    """Let both banks tell of their payments, few on each account, so that none is asked for in bulk."""
    for name, simulator in simulators.items():
        add_source(parts, name, base_url=simulator.url, requests_per_window=REQUESTS)
    client, bank = create_app(parts).test_client(), BankSigner(clock)
    for name, simulator in simulators.items():
        for number in range(PAYMENTS):
            account, payment_id = f"10{number // 5:08d}", f"FT{number}"
            script = Script.of(("Pending", 600 if number % 10 == 0 else 0), ("Completed", 0))
            simulator.bank.add_payment(Payment(payment_id, account, Decimal("1000.00"), "USD", script, clock()))
            signed = bank.sign(deposit(transactionId=payment_id, accountNumber=account), path=f"/webhooks/{name}")
            assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    catch_up(parts.database)


def open_ones(parts: Runtime) -> list[str]:
    """The sources of what is not final."""
    subjects, sources = table_of(Subject), table_of(Source)
    query = select(sources.c.name).join(subjects, subjects.c.source_id == sources.c.id)
    with parts.database.read() as connection:
        return list(connection.execute(query.where(subjects.c.status != "completed")).scalars())


def test_no_limit_is_passed_and_none_starves(
    parts: Runtime, simulators: dict[str, Simulator], clock: StandingClock
) -> None:
    claim(parts, simulators, clock)
    workers = [Worker(parts) for _ in range(WORKERS)]
    began = clock()
    with ThreadPoolExecutor(WORKERS) as pool:
        while left := open_ones(parts):
            assert clock() - began < LONGEST, f"{len(left)} are left"
            list(pool.map(Worker.run_once, workers))
            clock.forward(STEP_SECONDS)
    statuses = [entry.status for simulator in simulators.values() for entry in simulator.requests.entries()]
    assert 429 not in statuses
    assert 500 in statuses
