"""Two web servers and two workers over one PostgreSQL behave as one: each thing happens once, whoever does it."""

import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal

import pytest
from bank import BankSigner
from conftest import KEY, add_source, make_token
from drills.ledger import read_feed
from drills.senders import Senders, Sent
from servers import RECEIVER, WebServer, environment
from sqlalchemy import func, select

from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.scripts import Script
from receiver.store.tables import Check, Event, Subject, table_of

_events, _subjects, _checks = (table_of(model) for model in (Event, Subject, Check))

EVERY_TENTH = 9
"""Of so many callbacks one is sent once more, to the other server: a tenth of all that are sent."""


@contextmanager
def worker(served: dict[str, str]) -> Iterator[None]:
    """Let a worker run; in the end it has stopped as it should."""
    process = subprocess.Popen([*RECEIVER, "worker"], env=served)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0


@contextmanager
def web_server(served: dict[str, str]) -> Iterator[WebServer]:
    started = WebServer(served).start()
    try:
        yield started
    finally:
        started.stop()


def known_payments(simulator: Simulator, parts: Runtime, payments: int) -> None:
    """Let the bank know of completed payments, and keep every request that it gets."""
    simulator.requests._entries = deque()
    for number in range(payments):
        script = Script.of(("Completed", 0))
        payment = Payment(f"FT{number}", "1046406142", Decimal("1000.00"), "USD", script, parts.clock())
        simulator.bank.add_payment(payment)


def shares(payments: int) -> tuple[list[int], list[int]]:
    """Which payments each server is told of."""
    both: tuple[list[int], list[int]] = ([], [])
    for number in range(payments):
        both[number % 2].append(number)
        if number % EVERY_TENTH == 0:
            both[1 - number % 2].append(number)
    return both


STANDSTILL_SECONDS = 120


def wait_until_reconciled(parts: Runtime, payments: int) -> None:
    """Wait for as long as it goes on, however slow the machine is."""
    query = select(func.count()).select_from(_subjects).where(_subjects.c.status == "completed")
    before, ends = -1, 0.0
    while True:
        with parts.database.read() as connection:
            done = connection.execute(query).scalar_one()
        if done == payments:
            return
        if done > before:
            before, ends = done, time.monotonic() + STANDSTILL_SECONDS
        assert time.monotonic() < ends, f"{done} of {payments} were reconciled"
        time.sleep(0.2)


def assert_told_once(parts: Runtime, results: list[Sent], payments: int) -> None:
    """Each event is there once, under the id that every one of its callbacks was answered with."""
    with parts.database.read() as connection:
        stored = {row.subject: [row.id] for row in connection.execute(select(_events.c.id, _events.c.subject))}
        events = connection.execute(select(func.count()).select_from(_events)).scalar_one()
    assert events == len(stored) == payments
    assert all(stored[f"FT{sent.number}"] == sent.events for sent in results)
    assert Counter(sent.number for sent in results if sent.status == "accepted") == Counter(range(payments))


def assert_reconciled_once(parts: Runtime, simulator: Simulator, payments: int) -> None:
    """The bank was asked about no payment twice, but with others of its account; each answer was written down once."""
    asked = Counter(entry.path for entry in simulator.requests.entries() if entry.path.endswith("/status"))
    assert len(asked) == asked.total() <= payments
    with parts.database.read() as connection:
        checks = Counter(connection.execute(select(_checks.c.subject_id)).scalars())
    assert (len(checks), checks.total()) == (payments, payments)


def drill(database_url: str, parts: Runtime, bank: BankSigner, *, payments: int) -> None:
    served = environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING", RECEIVER_PROCESSES="2")
    started = time.monotonic()
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(Config(rate_limit=0)))
        known_payments(simulator, parts, payments)
        add_source(parts, base_url=simulator.url, requests_per_window=payments * 10)
        token = make_token(parts)
        servers = [stack.enter_context(web_server(served)) for _ in range(2)]
        for _ in range(2):
            stack.enter_context(worker(served))
        senders = [
            stack.enter_context(Senders(server.url, bank, share))
            for server, share in zip(servers, shares(payments), strict=True)
        ]
        results = [sent for each in senders for sent in each.results()]
        wait_until_reconciled(parts, payments)
        entries = read_feed(servers[0].url, token)
        assert read_feed(servers[1].url, token) == entries
        assert_told_once(parts, results, payments)
    # Only now nobody can ask any more.
    assert_reconciled_once(parts, simulator, payments)
    told = Counter((entry["type"], entry["subject"]) for entry in entries)
    types = ("bcb.deposit", "payment.status_changed")
    assert told == Counter((type_, f"FT{number}") for type_ in types for number in range(payments))
    assert [entry["position"] for entry in entries] == list(range(1, 2 * payments + 1))
    print(
        f"{len(results)} callbacks over two servers, {len(results) - payments} of them duplicates: {payments} events, "
        f"{len(entries)} feed entries, {payments} answers to two workers, {time.monotonic() - started:.0f} s"
    )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_servers_and_two_workers_take_100_callbacks_as_one(
    database_url: str, live: Runtime, live_bank: BankSigner
) -> None:
    drill(database_url, live, live_bank, payments=90)


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_servers_and_two_workers_take_20000_callbacks_as_one(
    database_url: str, live: Runtime, live_bank: BankSigner
) -> None:
    drill(database_url, live, live_bank, payments=18_000)
