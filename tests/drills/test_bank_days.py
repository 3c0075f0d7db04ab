"""A day of which callbacks were dropped, doubled, late, wrong and made up: afterwards every payment is there, once."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import banking_circle
import pytest
from conftest import KEY, StandingClock, add_source
from encrypting_bank import KEY as AES_KEY
from reconcile.bank_day import BankDay, Fates, listening, of
from sqlalchemy import select

from receiver.admin import day_verification, days
from receiver.model import DayState
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.banking_circle import Config as CircleConfig
from receiver.simulator.banking_circle import Simulator as Circle
from receiver.simulator.banking_circle.notifications import kinds_of, notification
from receiver.simulator.banking_circle.payments import Payment
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.faults import Fault
from receiver.simulator.scripts import Script
from receiver.store import feed, payments
from receiver.store.tables import BankLine, Event, Subject, table_of
from receiver.worker.loop import Worker

MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
"""The beginning of the day: the business days of this bank are those of UTC."""

pytestmark = [pytest.mark.larger, pytest.mark.timeout(1800)]

PAYMENTS, HOURS = (1000, 1) if "DRILLS" in os.environ else (40, 3)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """With sweeps, as they are by default."""
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url)


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(token_lifetime_seconds=1e7), clock=clock) as running:
        yield running


def states(parts: Runtime) -> Counter[tuple[str, str]]:
    subjects = table_of(Subject)
    with parts.database.read() as connection:
        rows = connection.execute(select(subjects.c.status, subjects.c.agreement).where(subjects.c.kind == "payment"))
        return Counter((str(status), str(agreement)) for status, agreement in rows)


def told(parts: Runtime) -> Counter[tuple[str, str]]:
    """The entries of the feed about what happened, by type and payment."""
    catch_up(parts.database)
    found: Counter[tuple[str, str]] = Counter()
    with parts.database.read() as connection:
        after = 0
        while entries := feed.read(connection, after=after, limit=500).entries:
            after = entries[-1].position
            found.update((entry.type, str(entry.subject)) for entry in entries)
    return found


def numbers(found: days.Day) -> dict[str, int]:
    return {str(category): number for category, number in found.numbers.items() if number}


def proofs(parts: Runtime) -> dict[str, list[str]]:
    events = table_of(Event)
    found: dict[str, list[str]] = {}
    with parts.database.read() as connection:
        for payment_id, proof in connection.execute(select(events.c.payment_id, events.c.proof)):
            found.setdefault(payment_id, []).append(str(proof))
    return found


def test_every_payment_of_the_day_is_there_once_with_the_banks_state(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    add_source(parts, base_url=simulator.url)
    day, worker = BankDay(simulator, clock, of(PAYMENTS)), Worker(parts)

    def work() -> None:
        clock.forward(1)
        worker.run_once()

    work()
    clock.now = MIDNIGHT - timedelta(minutes=1)

    with listening(parts) as url:
        simulator.options.change({"callback_url": url})
        day.play(work, HOURS)
        day.tell_late(day.after_final)
        for _ in range(4):
            clock.forward(3600)
            work()
        recovered = {name for kind, name in told(parts) if kind == "payment.recovered"}
        assert {*day.dropped, *day.day_later} <= recovered <= {*day.dropped, *day.day_later, *day.after_final}
        told_a_day_later = days.find(parts, "bcb", MIDNIGHT.date())
        assert (told_a_day_later.state, numbers(told_a_day_later)) == (
            DayState.CLOSED,
            {
                "agreed": PAYMENTS - len([*day.dropped, *day.day_later, *day.other_amount]),
                "recovered": len([*day.dropped, *day.day_later]),
                "amount_differs": len(day.other_amount),
                "ours_alone": len(day.denied),
            },
        )
        clock.forward(86400)
        day.tell_late(day.day_later)
        for _ in range(4):
            clock.forward(3600)
            work()
    closed = days.find(parts, "bcb", MIDNIGHT.date())
    assert len(closed.versions) > len(told_a_day_later.versions)
    assert numbers(closed) == {
        "agreed": PAYMENTS - len([*day.dropped, *day.other_amount]),
        "recovered": len(day.dropped),
        "amount_differs": len(day.other_amount),
        "ours_alone": len(day.denied),
    }
    assert day_verification.verify(parts, "bcb", MIDNIGHT.date()) == len(closed.versions)
    assert 429 not in {each.status for each in simulator.requests.entries()}
    assert states(parts) == {
        ("completed", "confirmed"): PAYMENTS,
        ("unknown", "unknown_to_bank"): len(day.denied),
    }
    by_payment = proofs(parts)
    assert {name for name, found in by_payment.items() if found == ["none"]} == set(day.dropped)
    assert {name for name, found in by_payment.items() if len(found) > 1} == set()
    entries = told(parts)
    happened = Counter(name for kind, name in entries.elements() if kind in ("bcb.deposit", "payment.recovered"))
    assert happened == Counter([*day.payments, *day.denied])
    lines = table_of(BankLine)
    with parts.database.read() as connection:
        joined = list(connection.execute(select(lines.c.payment_id, lines.c.event_id)))
    assert sorted(name for name, _ in joined) == day.payments
    assert all(event_id for _, event_id in joined)


def test_a_day_without_callbacks_and_hours_without_the_bank_are_made_good(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    add_source(parts, base_url=simulator.url)
    day, worker = BankDay(simulator, clock, Fates(PAYMENTS // 2)), Worker(parts)
    began = clock()

    def work() -> None:
        clock.forward(1)
        hours = (clock() - began).total_seconds() / 3600
        if 6 <= hours < 12 and not simulator.faults.left():
            simulator.faults.add(Fault("hang-up", count=None))
        elif hours >= 12:
            simulator.faults.clear()
        worker.run_once()

    with listening(parts) as url:
        simulator.options.change({"callback_url": url})
        simulator.outbox.activate(False)
        day.play(work, HOURS)
        simulator.outbox.activate(True)
        for _ in range(4):
            clock.forward(3600)
            work()
    assert simulator.outbox.state()["missed"] == len(day.payments)
    assert states(parts) == {("completed", "confirmed"): len(day.payments)}
    assert Counter(name for kind, name in told(parts).elements() if kind == "payment.recovered") == Counter(
        day.payments
    )
    assert 429 not in {each.status for each in simulator.requests.entries()}


@pytest.fixture
def circle(clock: StandingClock) -> Iterator[Circle]:
    config = CircleConfig(encryption_key=AES_KEY, token_lifetime_seconds=1e7, token_requests=0)
    with Circle(config, clock=clock) as running:
        yield running


WAYS = {
    "processed": [("PendingProcessing", 60), ("Processed", 0)],
    "pending": [("PendingProcessing", 0)],
    "rejected": [("Rejected", 0)],
    "unfunded": [("MissingFunding", 43200), ("Rejected", 0)],
    "reversed": [("Processed", 7200), ("Reversed", 0)],
}


def test_what_a_bank_with_reports_never_told_is_there_with_its_state(
    parts: Runtime, circle: Circle, clock: StandingClock
) -> None:
    """Banking Circle: a payment has several notifications, a reversed one two lines; a rejected one is a reference."""
    source = banking_circle.add_source(parts, circle)
    worker = Worker(parts)
    made = {
        f"{name} {fate}": circle.bank.add_payment(f"{name} {fate}", script=Script.of(*steps), announced=False)
        for fate in ("told", "dropped")
        for name, steps in WAYS.items()
    }
    before: dict[str, str | None] = {}
    with listening(parts, source.name) as url:
        circle.options.change({"callback_url": url})
        for minutes in (30, 60, 60, 30, 570, 60):
            clock.forward(minutes * 60)
            for name, payment in made.items():
                status = payment.status(clock())
                if name.endswith("told") and status != before.get(name):
                    before[name] = status
                    tell(circle, payment, str(status))
            worker.run_once()
    finals = {"processed": "completed", "rejected": "rejected", "unfunded": "rejected", "reversed": "reversed"}
    with parts.database.read() as connection:
        for name in made:
            row = payments.find(connection, source.name, "payment", name)
            assert row is not None, name
            assert row.status == finals.get(name.split()[0], "pending"), name
    reference = {name: payment.transaction_reference for name, payment in made.items()}
    assert Counter(name for kind, name in told(parts).elements() if kind == "payment.recovered") == {
        "processed dropped": 1,
        reference["rejected dropped"]: 1,
        reference["unfunded dropped"]: 1,
        "reversed dropped": 2,
        # Of a payment that is pending nothing is told by the simulator.
        "pending told": 1,
        "pending dropped": 1,
    }


def tell(circle: Circle, payment: Payment, status: str) -> None:
    """Let the bank tell that a payment has come to a status."""
    for kind in kinds_of(payment, status, "after"):
        made = notification(payment, kind, circle.bank.config, circle.bank.clock())
        (message,) = circle.bank.batches([made])
        (sent,) = circle.outbox.send(message)
        assert sent.accepted, sent.answer
