"""A bank that tells nothing and answers nothing while a business day ends: the day waits, and all is made good."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import KEY, StandingClock, add_source
from drills.test_bank_days import numbers, proofs, states, told
from reconcile.bank_day import BankDay, Fates, listening

from receiver.admin import day_verification, days
from receiver.model import DayState
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.faults import Fault
from receiver.worker.loop import Worker

pytestmark = [pytest.mark.larger, pytest.mark.timeout(1800)]

PAYMENTS, HOURS = (1000, 1) if "DRILLS" in os.environ else (24, 4)

MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
"""The beginning of the day: the business days of this bank are those of UTC."""

SILENT_FROM, DOWN_FROM, DOWN_UNTIL = (MIDNIGHT + timedelta(hours=hours) for hours in (12, 20, 30))
"""When the subscription is switched off, for a day; and when the bank's API is away, over the end of the day."""


@pytest.fixture
def settings(database_url: str) -> Settings:
    """With sweeps, as they are by default."""
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url)


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(token_lifetime_seconds=1e7), clock=clock) as running:
        yield running


def test_a_day_that_ends_while_the_bank_is_away_is_closed_once_it_is_back_and_again_when_callbacks_come(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    clock.now = MIDNIGHT - timedelta(minutes=1)
    add_source(parts, base_url=simulator.url)
    day, worker = BankDay(simulator, clock, Fates(PAYMENTS)), Worker(parts)

    def work() -> None:
        simulator.outbox.activate(clock() < SILENT_FROM or clock() >= SILENT_FROM + timedelta(days=1))
        is_down = DOWN_FROM <= clock() < DOWN_UNTIL
        if is_down and not simulator.faults.left():
            simulator.faults.add(Fault("hang-up", count=None))
        elif not is_down:
            simulator.faults.clear()
        clock.forward(1)
        worker.run_once()
        clock.forward(16)
        worker.run_once()

    def pass_hours(number: int) -> None:
        for _ in range(number):
            clock.forward(3600)
            work()

    work()
    with listening(parts) as url:
        simulator.options.change({"callback_url": url})
        day.play(work, HOURS)
        assert simulator.outbox.state()["missed"] not in (0, PAYMENTS)
        pass_hours(3)
        waiting = days.find(parts, "bcb", MIDNIGHT.date())
        assert (waiting.state, waiting.versions) == (DayState.INCOMPLETE, ())
        assert waiting.incomplete_until is not None
        assert waiting.incomplete_until >= waiting.window.end
        assert waiting.covered_until is not None
        assert waiting.covered_until < waiting.window.end

        pass_hours(5)
        closed = days.find(parts, "bcb", MIDNIGHT.date())
        assert (closed.state, len(closed.versions)) == (DayState.CLOSED, 1)
        # The work in between takes time too, so that the last ones come on the next day.
        of_day = [name for name in day.payments if day.known(name).started < closed.window.end]
        unheard = [name for name, found in proofs(parts).items() if found == ["none"] and name in of_day]
        assert numbers(closed) == {"agreed": len(of_day) - len(unheard), "recovered": len(unheard)}
        assert closed.content["detection"]["never"] == len(unheard)

        # The subscription is back: the bank sends some of what it had not sent, and they join what was recovered.
        pass_hours(5)
        sent = unheard[: len(unheard) // 2]
        day.tell_late(sent)
        pass_hours(2)
    again = days.find(parts, "bcb", MIDNIGHT.date())
    assert [each.version for each in again.versions] == [1, 2]
    left = len(unheard) - len(sent)
    assert numbers(again) == {"agreed": len(of_day) - left, "recovered": left}
    assert day_verification.verify(parts, "bcb", MIDNIGHT.date()) == 2
    assert states(parts) == {("completed", "confirmed"): PAYMENTS}
    assert {name: len(found) for name, found in proofs(parts).items()} == dict.fromkeys(day.payments, 1)
    happened = Counter(name for kind, name in told(parts).elements() if kind in ("bcb.deposit", "payment.recovered"))
    assert happened == Counter(day.payments)
    assert 429 not in {each.status for each in simulator.requests.entries()}
