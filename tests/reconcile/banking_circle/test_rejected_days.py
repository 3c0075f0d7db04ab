"""Payments without funds that no callback told of, and that were rejected then: what the closed day says of them."""

import json
from datetime import UTC, date, datetime

import pytest
from banking_circle import state, tell
from conftest import KEY, StandingClock

from receiver.admin import day_lines, days
from receiver.model import DayState
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.banking_circle import Simulator
from receiver.simulator.banking_circle.notifications import notification
from receiver.simulator.scripts import Script
from receiver.worker.loop import Worker

UNFUNDED = Script.of(("MissingFunding", 4 * 3600), ("Rejected", 0))

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def settings(database_url: str) -> Settings:
    """With sweeps, as they are by default."""
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url)


def work(worker: Worker, clock: StandingClock, *minutes: int) -> None:
    for each in minutes:
        clock.forward(each * 60)
        worker.run_once()


def test_a_rejection_that_was_told_is_agreed_though_the_lack_of_funds_was_not(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    """Each is one line of the day: the bank's list has it as rejected by then, and so does the callback, if any."""
    worker = Worker(parts)
    worker.run_once()
    clock.now = datetime(2026, 3, 5, 8, tzinfo=UTC)
    made = {name: simulator.bank.add_payment(name, script=UNFUNDED, announced=False) for name in ("told", "never told")}
    work(worker, clock, 16, 16, 240)
    rejection = notification(made["told"], "OutgoingPaymentRejected", simulator.bank.config, clock())
    tell(parts, json.loads(json.dumps(rejection, default=float)))
    # The bank's day ends at 18:00 UTC.
    work(worker, clock, 61, 7 * 60, 16)
    found = days.find(parts, "bc", date(2026, 3, 5))
    assert found.state == DayState.CLOSED
    lines = {line.payment_id: line for line in day_lines.every_line(parts, found)}
    assert {name: str(line.category) for name, line in lines.items()} == {"told": "agreed", "never told": "recovered"}
    for name, line in lines.items():
        assert state(parts, str(name))["status"] == line.our_status == "rejected"
        assert (line.bank_status, line.agreement) == ("Rejected", "confirmed")
        assert line.reference == made[str(name)].transaction_reference
        assert (line.received_at is not None) == (name == "told")
