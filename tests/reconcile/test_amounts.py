"""A callback's amount against the bank's answer: exact, and only where the two can be compared."""

from decimal import Decimal
from typing import Any

import pytest
from admin.looking import WHO
from bank import deposit
from conftest import StandingClock
from reconcile.conftest import book, tell
from reconcile.ledger import Ledger
from reconcile.test_worker import feed_types

from receiver.admin import exceptions
from receiver.banks.bcb.api import _money
from receiver.banks.protocol import Answer, Money
from receiver.model import ExceptionKind
from receiver.reconcile.amounts import NET_OF_FEES
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store import bank_lines, recovered_events
from receiver.store.exceptions import ExceptionRecord, Wanted
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker


def differing(parts: Runtime, *states: str) -> list[ExceptionRecord]:
    kinds = [ExceptionKind.AMOUNT_DIFFERS]
    return exceptions.listing(parts, Wanted(states or ("open",), kinds), limit=9)


def tell_amount(parts: Runtime, amount: str, currency: str = "USD", **more: Any) -> str:
    told = tell(parts, deposit(transactionId="FT1", value={"amount": amount, "currency": currency}, **more))
    return str(told["events"][0])


def test_another_amount_is_opened_once_and_says_that_it_may_be_net_of_fees(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 60), ("Completed", 0))
    event_id = tell_amount(parts, "20000.01")
    worker.run_once()
    clock.forward(61)
    worker.run_once()
    (found,) = differing(parts)
    assert (found.about, found.subject, found.event_id, found.amount) == ("payment", "FT1", event_id, "20000.01")
    words = "the callback claims 20000.01 USD, and the bank has 1000.00 USD"
    assert found.detail == f"{words}; {NET_OF_FEES}"
    assert exceptions.severity(found, clock()) == "low"


def test_another_difference_is_said_on_the_line_that_is_open_and_opens_one_that_a_person_has_resolved(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))

    def told(amount: str, **more: str) -> ExceptionRecord:
        tell_amount(parts, amount, **more)
        clock.forward(60)
        worker.run_once()
        (found,) = differing(parts, "open", "acknowledged", "resolved")
        return found

    first = exceptions.acknowledge(parts, WHO, told("1000.50").id, "asking the bank")
    larger = told("5000.00")
    assert (larger.id, larger.state, larger.amount, larger.note) == (first.id, first.state, "5000.00", first.note)
    assert larger.detail == f"the callback claims 5000.00 USD, and the bank has 1000.00 USD; {NET_OF_FEES}"
    assert feed_types(parts).count("exception.opened") == 1
    exceptions.resolve(parts, WHO, first.id, "these were fees")
    assert told("2000.00").state == "resolved"
    assert told("5000.000", accountNumber="another").state == "resolved"
    anew = told("1000000.00")
    assert (anew.id, anew.state, anew.amount, anew.note) == (first.id, "open", "1000000.00", None)
    assert feed_types(parts).count("exception.opened") == 2


def test_an_amount_that_a_person_has_resolved_stays_so_however_the_bank_writes_it(
    parts: Runtime, source: SourceRecord
) -> None:
    ledger = Ledger(parts, source)
    ledger.event("FT1", "10.00", currency="EUR")

    def answered(*amounts: Money) -> ExceptionRecord:
        ledger.answered("FT1", Answer("Completed", "completed", amounts=amounts))
        (found,) = differing(parts, "open", "resolved")
        return found

    two, nine = Money(Decimal("2.125"), "EUR"), Money(Decimal("9.00"), "EUR")
    first = answered(nine, two)
    assert (first.detail or "").split("; ")[0].endswith("and the bank has 2.125 EUR or 9.00 EUR")
    exceptions.resolve(parts, WHO, first.id, "these were fees")
    for same in ("9", "9.0", "9.000", "0.9E1"):
        assert answered(two, Money(Decimal(same), "eur")) == answered(Money(Decimal(same), None), two, nine)
    (still,) = differing(parts, "resolved")
    assert still.detail == first.detail
    assert answered(two, Money(Decimal("9.001"), "EUR")).state == "open"


def test_the_same_amount_however_it_is_written_is_none(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_amount(parts, "1000.0")
    worker.run_once()
    assert differing(parts, "open", "resolved") == []


def test_another_currency_is_not_compared(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_amount(parts, "5.00", "BMD")
    worker.run_once()
    assert differing(parts) == []


def test_a_currency_in_small_letters_is_compared(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_amount(parts, "5.00", "usd")
    worker.run_once()
    assert [found.amount for found in differing(parts)] == ["5.00"]


def test_one_of_several_events_that_has_it_is_enough_and_resolves_the_others(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_amount(parts, "2.50")
    worker.run_once()
    assert len(differing(parts)) == 1
    # Fees share the payment's id.
    tell_amount(parts, "1000.00")
    worker.run_once()
    assert differing(parts) == []
    (resolved,) = differing(parts, "resolved")
    assert (resolved.amount, resolved.handled_by) == ("2.50", None)


def test_what_a_sweep_has_made_of_the_bank_s_own_list_does_not_agree_in_a_callback_s_place(
    parts: Runtime, source: SourceRecord, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_amount(parts, "20000.01")
    Ledger(parts, source).line("FT1", "1000.00", currency="USD")
    with parts.database.write() as connection:
        recovered_events.make(connection, bank_lines.unjoined(connection, source.id, behind=0, limit=9), clock())
    worker.run_once()
    (found,) = differing(parts)
    assert found.amount == "20000.01"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"amount": "5.00", "currency": "USD"}, Money(Decimal("5.00"), "USD")),
        ({"amount": Decimal("-5.00")}, Money(Decimal("5.00"), None)),
        (Decimal("7"), Money(Decimal("7"), None)),
        ("seven", None),
        (None, None),
        ([], None),
    ],
)
def test_an_amount_of_the_banks_is_read_in_every_shape(given: Any, found: Money | None) -> None:
    assert _money({"creditAmount": given}, "creditAmount") == found
