"""Closed business days: the bank's list against our events, in versions, each bound by a keyed digest."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from admin.looking import WHO, noted
from conftest import StandingClock, add_source
from lock_waits import wait_until, waiting
from reconcile.ledger import DAY, EVENING, FACTS, MORNING, Ledger, add_silent, known_day, payments_of
from reconcile.test_worker import feed_types
from sqlalchemy import text

from receiver.admin import day_lines, day_verification, days, exceptions, source_changes
from receiver.admin.days import Day
from receiver.admin.source_changes import NewSettings
from receiver.banks import business_days
from receiver.banks.business_days import Window
from receiver.model import DayCategory, DayState, ExceptionKind, NotFound, NotPossible, Status
from receiver.reconcile import day_comparison
from receiver.reconcile import days as closing
from receiver.reconcile.amounts import NET_OF_FEES
from receiver.reconcile.day_comparison import Compared
from receiver.runtime import Runtime
from receiver.store import days as stored
from receiver.store.exceptions import Wanted, open_about
from receiver.worker.loop import Worker

CLOSED_FROM = EVENING + timedelta(hours=1)
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def ledger(parts: Runtime, clock: StandingClock) -> Ledger:
    """The ledger of the source `bcb`, on the evening of the second day after."""
    clock.now = MORNING - timedelta(days=1)
    made = Ledger(parts, add_source(parts))
    clock.now = EVENING + timedelta(hours=36)
    return made


def numbers(found: Day) -> dict[str, int]:
    return {str(category): number for category, number in found.numbers.items() if number}


def payments(parts: Runtime, found: Day, *categories: DayCategory) -> set[str | None]:
    return {line.payment_id for line in day_lines.lines(parts, found, categories, limit=100)}


def close(parts: Runtime) -> Day:
    """Have the worker do what is due; return the day."""
    Worker(parts).run_once()
    return days.find(parts, "bcb", DAY)


def test_a_day_has_exactly_the_numbers_that_it_should(ledger: Ledger, parts: Runtime) -> None:
    known_day(ledger)
    found = close(parts)
    assert (found.state, found.record and found.record.version) == (DayState.CLOSED, 1)
    assert numbers(found) == {
        "agreed": 3,
        "recovered": 2,
        "bank_alone": 1,
        "ours_alone": 2,
        "amount_differs": 1,
        "status_differs": 3,
        "not_final": 1,
    }
    sums = {(str(each.category), each.currency): (each.bank_amount, each.our_amount) for each in found.counts}
    assert sums == {
        ("agreed", "EUR"): ("30.00", "30.00"),
        ("recovered", "EUR"): ("15.00", "15.00"),
        ("bank_alone", "USD"): ("100.00", "0"),
        ("ours_alone", "EUR"): ("0", "5.00"),
        ("ours_alone", "USD"): ("0", "6.00"),
        ("amount_differs", "EUR"): ("12.50", "12.00"),
        ("status_differs", "EUR"): ("30.00", "30.00"),
        ("not_final", "EUR"): ("10.00", "10.00"),
    }
    late = timedelta(hours=15 + 30, seconds=2).total_seconds()
    assert found.content["detection"] == {
        "p50_seconds": 2.0,
        "p95_seconds": late,
        "latest_seconds": late,
        "timed": 8,
        "untimed": 0,
        "late": 1,
        "never": 3,
    }
    assert payments(parts, found, DayCategory.OURS_ALONE) == {"FT-o1", "FT-o2"}
    assert payments(parts, found, DayCategory.AMOUNT_DIFFERS) == {"FT-d1"}
    assert payments(parts, found, DayCategory.STATUS_DIFFERS) == {"FT-s1", "FT-s2", "FT-s3"}
    assert len(payments(parts, found)) == 13


def test_what_a_payment_tells_counts_on_one_day_alone(ledger: Ledger, parts: Runtime) -> None:
    # Dated by the bank before the day's end, and come after it.
    ledger.event("FT-before", at=EVENING + timedelta(seconds=5), claimed_at=EVENING - timedelta(seconds=5))
    ledger.event("FT-two-days", at=EVENING - timedelta(seconds=5))
    ledger.event("FT-two-days", at=EVENING + timedelta(seconds=5))
    ledger.event("FT-other-list", at=MORNING)
    ledger.line("FT-other-list", day=DAY + timedelta(days=1))
    ledger.line(None, event_id=ledger.event("FT-by-reference"), reference="R1")
    ledger.event("FT-by-reference", at=MORNING + timedelta(seconds=5))
    ledger.covered(EVENING + timedelta(hours=36))
    found = close(parts)
    assert payments(parts, found, DayCategory.OURS_ALONE) == {"FT-before", "FT-two-days"}
    after = days.find(parts, "bcb", DAY + timedelta(days=1))
    assert after.state == DayState.CLOSED
    assert payments(parts, after, DayCategory.OURS_ALONE) == set()


def test_a_reference_of_which_the_bank_knows_no_payment_is_ours_alone(ledger: Ledger, parts: Runtime) -> None:
    def told(reference: str, at: datetime = MORNING) -> str:
        facts = {**FACTS, "transaction_reference": reference}
        return ledger.event(reference, at=at, kind="reference", payment_id=None, facts=facts)

    first = told("R-denied")
    told("R-denied", MORNING + timedelta(seconds=1))
    told("R-not-asked-for")
    told("R-before", MORNING - timedelta(days=1))
    told("R-before")
    told("R-listed")
    ledger.line(None, event_id=told("R-listed"), reference="R-listed")
    for reference in ("R-denied", "R-before", "R-listed"):
        ledger.known(reference, "unknown", "unknown_to_bank")
    ledger.covered(EVENING + timedelta(hours=2))
    (line,) = day_lines.lines(parts, close(parts), [DayCategory.OURS_ALONE], limit=9)
    assert (line.event_id, line.payment_id, line.reference) == (first, None, "R-denied")
    assert (line.claimed_status, line.our_status, line.agreement) == ("completed", "unknown", "unknown_to_bank")


def test_of_lines_that_share_a_payment_the_nearest_is_the_one_whose_amount_differs(
    ledger: Ledger, parts: Runtime
) -> None:
    # A fee has the id of its payment, and no callback of its own.
    ledger.line("FT1", "500.00", ledger.swept("FT1", "500.00"))
    ledger.line("FT1", "5.00", ledger.swept("FT1", "5.00"))
    ledger.line("FT1", "7.00", ledger.swept("FT1", "7.00"), direction="outgoing")
    event_id = ledger.event("FT1", "-501.00")
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    assert numbers(found) == {"recovered": 2, "amount_differs": 1}
    (line,) = day_lines.lines(parts, found, [DayCategory.AMOUNT_DIFFERS], limit=9)
    assert (line.amount, line.our_amount, line.event_id) == ("500.00", "-501.00", event_id)
    assert line.why == "a callback tells of -501.00 EUR, and the bank's list has 500.00 EUR"


def test_a_callback_that_agrees_with_no_line_of_its_payment_is_ours_alone(ledger: Ledger, parts: Runtime) -> None:
    def listed(payment: str, **changes: Any) -> None:
        ledger.line(payment, event_id=ledger.event(payment, **changes))

    for payment in ("FT-amount", "FT-account", "FT-direction", "FT-currency"):
        listed(payment)
    first = [
        ledger.event("FT-amount", "9000.00"),
        ledger.event("FT-account", facts={**FACTS, "account_number": "1046406143"}),
        ledger.event("FT-direction", facts={**FACTS, "direction": "Debit"}),
        ledger.event("FT-currency", currency="USD"),
    ]
    # A further step of the same movement, by another way of writing it.
    ledger.event("FT-amount", "9000.0", MORNING + timedelta(seconds=1), claimed_status="pending")
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    assert numbers(found) == {"not_final": 4, "ours_alone": 4}
    alone = day_lines.lines(parts, found, [DayCategory.OURS_ALONE], limit=9)
    assert [line.event_id for line in alone] == sorted(first)
    assert {line.why for line in alone} == {"the bank's list has the payment, and nothing that agrees with this"}
    # The bank lists one of them after all.
    ledger.line("FT-amount", "9000.00", first[0])
    days.close(parts, WHO, "bcb", DAY)
    assert numbers(days.find(parts, "bcb", DAY)) == {"not_final": 5, "ours_alone": 3}


def test_a_callback_that_may_be_about_a_line_of_its_payment_is_not_ours_alone(ledger: Ledger, parts: Runtime) -> None:
    for payment in ("FT-same", "FT-less"):
        ledger.line(payment, event_id=ledger.event(payment))
    ledger.event("FT-same", "-10.0", claimed_status="pending")
    ledger.event("FT-less", amount=None)
    ledger.event("FT-less", "9.00", facts={"direction": "Credit"})
    # The one line has another amount, whether it was joined all the same or not.
    ledger.line("FT-joined", "12.50", ledger.event("FT-joined", "12.00"))
    ledger.line("FT-paired", "12.50", ledger.swept("FT-paired", "12.50"))
    for payment in ("FT-joined", "FT-paired", "FT-paired"):
        ledger.event(payment, "12.00", claimed_status="pending")
    # It names no payment, and its event does.
    ledger.line(None, event_id=ledger.event("FT-by-reference"), reference="R1")
    ledger.event("FT-by-reference", claimed_status="pending")
    # An exchange: what was debited, and what was transferred.
    ledger.line("FT-x", event_id=ledger.event("FT-x", type="banking_circle.outgoing_processed"))
    ledger.event("FT-x", "11.60", currency="USD", type="banking_circle.outgoing_booked")
    ledger.covered(EVENING + timedelta(hours=2))
    assert numbers(close(parts)) == {"not_final": 4, "amount_differs": 2}


def test_a_line_whose_callback_has_come_takes_none_from_another(ledger: Ledger, parts: Runtime) -> None:
    came = ledger.swept("FT1")
    ledger.line("FT1", event_id=came)
    ledger.joined(came, EVENING + timedelta(minutes=1))
    ledger.line("FT1", event_id=ledger.swept("FT1"))
    event_id = ledger.event("FT1")
    ledger.known("FT1")
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    assert numbers(found) == {"agreed": 2}
    told = day_lines.lines(parts, found, [DayCategory.AGREED], limit=9)
    assert {line.event_id for line in told} == {came, event_id}


def test_what_is_told_in_another_currency_differs_in_its_amount_unless_it_is_an_exchange(
    ledger: Ledger, parts: Runtime
) -> None:
    processed, booked = (f"banking_circle.incoming_payment_{step}" for step in ("processed", "booked"))
    # An exchange: the callback of one step was lost, and that of another one names what was booked.
    ledger.line("FT-x", "100.00", ledger.swept("FT-x", "100.00"), type=processed)
    ledger.event("FT-x", "116.00", currency="USD", type=booked)
    # As much in another currency, and nobody knows how much.
    for payment, amount in (("FT-same", "5.00"), ("FT-unknown", None)):
        ledger.line(payment, "5.00", ledger.swept(payment, "5.00"))
        ledger.event(payment, amount, currency="USD")
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    assert payments(parts, found, DayCategory.RECOVERED) == {"FT-x", "FT-unknown"}
    (line,) = day_lines.lines(parts, found, [DayCategory.AMOUNT_DIFFERS], limit=9)
    assert line.why == "a callback tells of 5.00 USD, and the bank's list has 5.00 EUR"
    # No fee makes euros of dollars.
    (opened,) = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
    assert (opened.detail, opened.presses_at_most) == (line.why, None)


def test_a_currency_in_small_letters_is_the_same(ledger: Ledger, parts: Runtime) -> None:
    ledger.line("FT1", event_id=ledger.event("FT1"), currency="eur", status=Status.COMPLETED)
    ledger.event("FT1", currency="eur", claimed_status="pending")
    ledger.line("FT2", event_id=ledger.swept("FT2"), currency="eur", status=Status.COMPLETED)
    ledger.event("FT2")
    ledger.line("FT3", event_id=ledger.event("FT3"), status=Status.COMPLETED)
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    assert numbers(found) == {"agreed": 3}
    assert [(each.currency, each.bank_amount, each.our_amount) for each in found.counts] == [("EUR", "30.00", "30.00")]


def test_what_several_lists_tell_counts_once(ledger: Ledger, parts: Runtime) -> None:
    event_id = ledger.event("FT1")
    ledger.line("FT1", event_id=event_id)
    ledger.line("FT1", event_id=event_id, list_name="rejections", status=Status.REJECTED)
    ledger.line("FT1", event_id=event_id, list_name="others", status=Status.PENDING)
    ledger.line("FT1", event_id=event_id, list_name="rejections", day=DAY - timedelta(days=1))
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    (line,) = day_lines.lines(parts, found, limit=9)
    assert (line.category, line.list_name) == (DayCategory.STATUS_DIFFERS, "rejections")
    assert numbers(days.find(parts, "bcb", DAY - timedelta(days=1))) == {"not_final": 1}


def test_an_amount_that_differs_is_told_where_several_lists_tell_of_the_payment(ledger: Ledger, parts: Runtime) -> None:
    swept = ledger.swept("P1", "90.00")
    booked, rejected = "banking_circle.outgoing_payment_booked", "banking_circle.outgoing_payment_rejected"
    ledger.line("P1", "90.00", swept, type=booked, status=Status.PENDING)
    # The one that counts, for it says more of the status.
    ledger.line(None, "90.00", swept, reference="R1", type=rejected, list_name="rejections", status=Status.REJECTED)
    event_id = ledger.event("P1", "100.00", claimed_status="rejected")
    ledger.covered(EVENING + timedelta(hours=2))
    found = close(parts)
    (line,) = day_lines.lines(parts, found, limit=9)
    assert (line.category, line.list_name, line.event_id) == (DayCategory.AMOUNT_DIFFERS, "rejections", event_id)
    (opened,) = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
    assert opened.subject == event_id


def test_sums_lose_nothing(ledger: Ledger, parts: Runtime) -> None:
    for amount in ("1" * 30, "0.0000000001", "2" * 30 + ".9999999999"):
        ledger.line(None, amount)
    ledger.line(None, "none of a number")
    ledger.covered(EVENING + timedelta(hours=2))
    (count,) = close(parts).counts
    assert (count.number, count.bank_amount) == (4, f"{'3' * 29}4.0000000000")


def test_a_day_is_closed_once_the_bank_s_list_was_read_to_its_end_and_the_delay(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    ledger.line("FT1", event_id=ledger.event("FT1"))
    clock.now = EVENING - timedelta(seconds=1)
    ledger.covered(EVENING - timedelta(hours=1), next_at=EVENING + timedelta(hours=5))
    assert close(parts).state == DayState.OPEN
    clock.now = CLOSED_FROM
    open_day = close(parts)
    assert (open_day.state, open_day.incomplete_until) == (DayState.INCOMPLETE, EVENING + timedelta(hours=5))
    assert "it is to be by 2026-03-03 05:00 UTC" in open_day.words
    assert numbers(open_day) == {"not_final": 1}
    ledger.covered(CLOSED_FROM - timedelta(seconds=1))
    assert close(parts).state == DayState.INCOMPLETE
    ledger.covered(CLOSED_FROM)
    assert close(parts).state == DayState.CLOSED
    before = days.find(parts, "bcb", DAY - timedelta(days=1))
    assert (before.state, numbers(before)) == (DayState.CLOSED, {})


def test_what_changes_makes_another_version_and_the_old_one_stays(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    event_id = ledger.swept("FT1")
    ledger.line("FT1", event_id=event_id)
    ledger.covered(EVENING + timedelta(hours=2))
    clock.now = EVENING + timedelta(hours=2)
    first = close(parts)
    assert numbers(first) == {"recovered": 1}
    clock.forward(3600)
    unchanged = close(parts)
    assert len(unchanged.versions) == 1
    clock.forward(86400)
    ledger.joined(event_id, clock())
    with parts.database.write() as connection:
        stored.payment_changed(connection, ledger.source.id, "FT1", clock())
    second = close(parts)
    assert [each.version for each in second.versions] == [1, 2]
    assert (numbers(second), second.content["detection"]["late"]) == ({"not_final": 1}, 1)
    assert first.record is not None
    assert second.record is not None
    assert second.record.header["written_before"] == first.record.digest
    before = days.find(parts, "bcb", DAY, 1)
    assert numbers(before) == {"recovered": 1}
    assert [line.category for line in day_lines.lines(parts, before, limit=5)] == [DayCategory.RECOVERED]
    assert day_verification.verify(parts) == 3
    with pytest.raises(NotFound, match="has no version 3; it has 2"):
        days.find(parts, "bcb", DAY, 3)


def test_an_amount_that_differs_needs_a_person_until_it_does_so_no_longer(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    event_id = ledger.event("FT-d1", "12.00")
    ledger.line("FT-d1", "12.50", ledger.swept("FT-d1", "12.50"))
    ledger.covered(EVENING + timedelta(hours=2))
    close(parts)
    (found,) = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
    assert (found.about, found.subject, found.amount, found.currency) == ("event", event_id, "12.50", "EUR")
    assert found.detail == f"a callback tells of 12.00 EUR, and the bank's list has 12.50 EUR; {NET_OF_FEES}"
    exceptions.resolve(parts, WHO, found.id, "the bank was asked")
    clock.forward(86400)
    ledger.line("FT-more", event_id=ledger.event("FT-more"))
    days.close(parts, WHO, "bcb", DAY)
    (still,) = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
    assert (str(still.state), still.handled_by) == ("resolved", WHO)
    ledger.event("FT-d2", "1.00")
    ledger.line("FT-d2", "2.00")
    days.close(parts, WHO, "bcb", DAY)
    ledger.corrected("FT-d2", "1.00")
    days.close(parts, WHO, "bcb", DAY)
    states = {
        each.detail: str(each.state) for each in exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
    }
    assert states[f"a callback tells of 1.00 EUR, and the bank's list has 2.00 EUR; {NET_OF_FEES}"] == "resolved"


def test_what_is_told_of_amounts_is_so_with_the_version_or_not_at_all(ledger: Ledger, parts: Runtime) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    def states() -> list[str]:
        found = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
        return [str(each.state) for each in found]

    def closed_after(listed: str) -> list[str]:
        ledger.corrected("FT-d1", listed)
        closing.close(parts, ledger.source, DAY)
        return states()

    ledger.event("FT-d1", "12.00")
    ledger.line("FT-d1", "12.50")
    ledger.covered(EVENING + timedelta(hours=2))
    # A worker dies before the version is committed, and the bank corrects its list before the next one looks.
    with pytest.raises(KeyboardInterrupt):
        closing.close(parts, ledger.source, DAY, die)
    assert closed_after("12.00") == []
    assert closed_after("12.50") == ["open"]
    # The other way about.
    ledger.corrected("FT-d1", "12.00")
    with pytest.raises(KeyboardInterrupt):
        closing.close(parts, ledger.source, DAY, die)
    assert closed_after("12.50") == ["open"]
    assert closed_after("12.00") == ["resolved"]


@pytest.mark.parametrize("at_once", [250, 1])
def test_another_amount_needs_a_person_anew(
    ledger: Ledger, parts: Runtime, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    def amounts_after(listed: str) -> list[tuple[str, str | None]]:
        for payment in ("FT1", "FT2"):
            ledger.corrected(payment, listed)
        closing.close(parts, ledger.source, DAY)
        found = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
        assert {each.amount for each in found} == {(each.detail or "").split(" has ")[1].split()[0] for each in found}
        return sorted((str(each.state), each.amount) for each in found)

    monkeypatch.setattr(closing, "AT_ONCE", at_once)
    for payment in ("FT1", "FT2"):
        ledger.event(payment, "12.00")
        ledger.line(payment, "12.50")
    ledger.covered(EVENING + timedelta(hours=2))
    assert amounts_after("12.50") == [("open", "12.50")] * 2
    assert amounts_after("99.00") == [("open", "99.00")] * 2
    for each in exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9):
        exceptions.acknowledge(parts, WHO, each.id, "asking the bank")
    assert amounts_after("98.00") == [("acknowledged", "98.00")] * 2
    assert feed_types(parts).count("exception.opened") == 2
    for each in exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9):
        exceptions.resolve(parts, WHO, each.id, "the bank was asked")
    assert amounts_after("98.00") == [("resolved", "98.00")] * 2
    assert amounts_after("98.0") == [("resolved", "98.00")] * 2
    assert amounts_after("5000.00") == [("open", "5000.00")] * 2


@pytest.mark.parametrize("order", [[DAY, NEXT], [NEXT, DAY]])
def test_an_amount_needs_a_person_while_it_differs_on_any_day_of_the_bank_s(
    ledger: Ledger, parts: Runtime, order: list[date]
) -> None:
    def standing_after(listed: str) -> list[tuple[str, str | None]]:
        ledger.corrected("FT-d1", listed)
        for day in order:
            closing.close(parts, ledger.source, day)
        found = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
        return [(str(each.state), each.amount) for each in found]

    ledger.event("FT-d1", "12.00")
    ledger.line("FT-d1", "12.50")
    ledger.covered(EVENING + timedelta(hours=36))
    assert standing_after("12.50") == [("open", "12.50")]
    # The bank gives the line a time on the next business day, and corrects it the day after.
    ledger.moved("FT-d1", NEXT)
    assert standing_after("12.50") == [("open", "12.50")]
    ledger.moved("FT-d1", DAY)
    assert standing_after("99.00") == [("open", "99.00")]
    assert standing_after("12.00") == [("resolved", "99.00")]


def test_so_many_amounts_that_callbacks_would_wait_are_told_some_at_a_time(
    ledger: Ledger, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "AT_ONCE", 2)
    for payment in ("FT1", "FT2", "FT3"):
        ledger.event(payment, "12.00")
        ledger.line(payment, "12.50")
    ledger.covered(EVENING + timedelta(hours=2))
    for listed, state in (("12.50", "open"), ("12.00", "resolved")):
        for payment in ("FT1", "FT2", "FT3"):
            ledger.corrected(payment, listed)
        closing.close(parts, ledger.source, DAY)
        found = exceptions.listing(parts, Wanted(kinds=["amount_differs"]), limit=9)
        assert [str(each.state) for each in found] == [state] * 3


def test_what_the_list_and_what_the_answer_has_are_told_and_resolved_apart(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    def open_ones() -> set[tuple[str, str, str]]:
        found = exceptions.listing(parts, Wanted(states=["open"], kinds=["amount_differs"]), limit=9)
        return {(each.about, each.subject, exceptions.severity(each, clock())) for each in found}

    def compared() -> set[tuple[str, str, str]]:
        days.close(parts, WHO, "bcb", DAY)
        return open_ones()

    # The bank's answers name what was sent and what came in, its list only the latter.
    event_id = ledger.event("FT1", "1000000.00")
    ledger.line("FT1", "900000.00", ledger.swept("FT1", "900000.00"))
    facts = {**FACTS, "direction": "Debit"}
    outgoing = ledger.event("FT2", "1000000.00", facts=facts)
    ledger.line("FT2", "900000.00", direction="outgoing")
    ledger.covered(EVENING + timedelta(hours=2))
    # An incoming one may be net of fees.
    listed = {("event", event_id, "low"), ("event", outgoing, "high")}
    assert compared() == listed
    ledger.checked("FT1", "completed", "1000000.00", "900000.00")
    ledger.checked("FT2", "completed", "800000.00")
    assert open_ones() == {*listed, ("payment", "FT2", "high")}
    ledger.corrected("FT2", "1000000.00")
    assert compared() == {("event", event_id, "low"), ("payment", "FT2", "high")}
    ledger.checked("FT2", "completed", "1000000.00")
    assert open_ones() == {("event", event_id, "low")}


def test_a_day_is_closed_by_hand_without_the_delay_and_audited(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    clock.now = EVENING - timedelta(minutes=5)
    add_silent(parts, "silent")
    assert days.find(parts, "silent", DAY).state == DayState.NOT_OFFERED
    with pytest.raises(NotPossible, match="this bank lists nothing"):
        days.close(parts, WHO, "silent", DAY)
    ledger.covered(EVENING - timedelta(minutes=6))
    with pytest.raises(NotPossible, match="the day lasts until 2026-03-03 00:00 UTC"):
        days.close(parts, WHO, "bcb", DAY)
    clock.now = EVENING
    with pytest.raises(NotPossible, match="was read until 2026-03-02 23:54 UTC only"):
        days.close(parts, WHO, "bcb", DAY)
    ledger.covered(EVENING)
    # No sweep ever reads what was before, though each goes on.
    first = DAY - timedelta(days=10)
    with pytest.raises(NotPossible, match="read from 2026-02-20 09:00 UTC on only") as refused:
        days.close(parts, WHO, "bcb", first)
    found = days.find(parts, "bcb", first)
    assert (found.state, found.incomplete_until) == (DayState.INCOMPLETE, None)
    assert found.words == f"the day is over, and {refused.value}"
    assert "run `receiver sweep run bcb --from 2026-02-20T00:00:00Z`" in found.words
    made, is_new = days.close(parts, WHO, "bcb", DAY)
    assert (made.version, is_new) == (1, True)
    assert days.close(parts, WHO, "bcb", DAY) == (made._replace(next_look_at=made.next_look_at), False)
    about = {"source": "bcb", "day": "2026-03-02", "version": 1, "digest": made.digest}
    assert noted(parts)[-1] == (WHO, "day.closed", about)


def test_a_bank_s_own_calendar_counts(parts: Runtime, clock: StandingClock) -> None:
    clock.now = datetime(2026, 2, 27, 12, tzinfo=UTC)
    ledger = Ledger(parts, add_source(parts, business_days="mon-fri,19:00,Europe/Copenhagen"))
    clock.now = datetime(2026, 3, 2, 20, tzinfo=UTC)
    ledger.covered(datetime(2026, 3, 2, 19, tzinfo=UTC))
    # After Friday's end, and so Monday's.
    ledger.event("FT-evening", at=datetime(2026, 2, 27, 18, 0, 1, tzinfo=UTC))
    ledger.event("FT-afternoon", at=datetime(2026, 2, 27, 17, 59, tzinfo=UTC))
    Worker(parts).run_once()
    friday, monday = (days.find(parts, "bcb", day) for day in (date(2026, 2, 27), date(2026, 3, 2)))
    assert (payments(parts, friday), payments(parts, monday)) == ({"FT-afternoon"}, {"FT-evening"})
    assert monday.record is not None
    assert monday.record.header["day_before"][:2] == ["2026-02-27", 1]
    with pytest.raises(NotFound, match="2026-02-28 is no business day of bcb; the next one is 2026-03-02"):
        days.find(parts, "bcb", date(2026, 2, 28))


def test_what_the_bank_names_the_day_of_alone_has_no_time_and_stays_on_that_day(ledger: Ledger, parts: Runtime) -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    ledger.line("FT1", event_id=ledger.event("FT1"), at=at, named_day=DAY)
    ledger.line("FT2", event_id=ledger.event("FT2"), at=at + timedelta(seconds=1))
    # By this one, midnight in UTC belongs to the day before.
    source_changes.change(parts, WHO, "bcb", NewSettings({"business_days": "mon-sun,24:00,Atlantic/Bermuda"}))
    ledger.covered(EVENING + timedelta(hours=6))
    found = close(parts)
    (line,) = day_lines.lines(parts, found, limit=9)
    assert (line.payment_id, line.at, line.detection_seconds) == ("FT1", None, None)
    assert (found.content["detection"]["timed"], found.content["detection"]["untimed"]) == (0, 1)
    assert payments(parts, days.find(parts, "bcb", DAY - timedelta(days=1))) == {"FT2"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("mon-sun,24:00,UTC", "mon-sun,19:00,UTC", {0: {"F1", "F2", "F3"}, 1: {"S1"}, 2: {"S2", "S3", "U1"}}),
        ("mon-sun,19:00,UTC", "mon-sun,24:00,UTC", {0: {"F1", "F3"}, 1: {"F2", "S1", "S2", "S3"}, 2: {"U1"}}),
        ("mon-fri,24:00,UTC", "mon-sun,24:00,UTC", {0: {"F1", "F2", "F3"}, 1: {"S1", "S2", "S3"}, 2: {"U1"}}),
        ("mon-sun,24:00,UTC", "mon-fri,24:00,UTC", {0: {"F1", "F2", "F3"}, 3: {"S1", "S2", "S3", "U1"}}),
    ],
)
def test_what_belonged_to_a_closed_day_stays_there_once_the_calendar_is_changed_and_nothing_is_on_two_days(
    parts: Runtime, clock: StandingClock, before: str, after: str, expected: dict[int, set[str]]
) -> None:
    """Events and lines: two of the Friday's afternoon and one of its evening, some of the Saturday and the Sunday."""
    friday = datetime(2026, 2, 27, tzinfo=UTC)
    clock.now = friday - timedelta(days=2)
    ledger = Ledger(parts, add_source(parts, business_days=before))
    for name, hours in (("F1", 18), ("F2", 22), ("S1", 42), ("S2", 46), ("U1", 60)):
        ledger.event(name, at=friday + timedelta(hours=hours))
        ledger.listed(f"listed {name}", friday + timedelta(hours=hours))
    ledger.listed("listed N1", friday + timedelta(hours=24), named_day=date(2026, 2, 28))
    clock.now = friday + timedelta(days=9)
    ledger.covered(clock.now)
    closing.close(parts, ledger.source, friday.date())
    first = days.find(parts, "bcb", friday.date()).window
    ledger.source = source_changes.change(parts, WHO, "bcb", source_changes.NewSettings({"business_days": after}))
    for name, hours in (("F3", 17), ("S3", 43)):
        ledger.event(name, at=friday + timedelta(hours=hours))
        ledger.listed(f"listed {name}", friday + timedelta(hours=hours))
    for number, alone in expected.items():
        day = (friday + timedelta(days=number)).date()
        days.close(parts, WHO, "bcb", day)
        found = days.find(parts, "bcb", day)
        assert payments(parts, found, DayCategory.OURS_ALONE) == alone
        named = {"listed N1"} if number == min(set(expected) - {0}) else set()
        assert payments(parts, found, DayCategory.BANK_ALONE) == {f"listed {name}" for name in alone} | named
    assert days.find(parts, "bcb", friday.date()).window == first


def test_a_day_is_not_closed_as_it_lasted_by_a_calendar_that_was_replaced_while_it_was_compared(
    ledger: Ledger, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = MORNING.replace(hour=22)
    ledger.listed("FT1", evening)
    ledger.covered(EVENING + timedelta(hours=6))
    compare = day_comparison.compare

    def change_behind(*given: Any) -> Compared:
        found = compare(*given)
        source_changes.change(parts, WHO, "bcb", NewSettings({"business_days": "mon-sun,19:00,UTC"}))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(closing, "compare", change_behind)
        with pytest.raises(closing.BeingClosed, match="the business days of bcb were changed meanwhile"):
            closing.close(parts, ledger.source, DAY)
    found = close(parts)
    assert (found.state, found.window.end, payments(parts, found)) == (
        DayState.CLOSED,
        MORNING.replace(hour=19),
        set(),
    )
    assert payments(parts, days.find(parts, "bcb", NEXT)) == {"FT1"}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("before", ["mon-fri,24:00,UTC", "mon-fri,19:00,UTC"])
def test_what_the_bank_names_the_day_of_alone_stays_on_its_closed_day_when_it_is_read_again(
    ledger: Ledger, parts: Runtime, before: str, is_known: bool
) -> None:
    """The time that stands for the day is made of the calendar, and an earlier release wrote down that alone."""
    saturday = date(2026, 2, 28)
    calendar, after = business_days.read(before), "mon-sun,24:00,UTC"
    ledger.source = source_changes.change(parts, WHO, "bcb", NewSettings({"business_days": before}))
    ledger.listed("FT1", calendar.window(DAY).begin, named_day=saturday)
    ledger.covered(EVENING + timedelta(hours=6))
    closing.close(parts, ledger.source, DAY)
    ledger.source = source_changes.change(parts, WHO, "bcb", NewSettings({"business_days": after}))
    if not is_known:
        ledger.day_named("FT1", None)
    changed = ledger.listed("FT1", business_days.read(after).window(saturday).begin, named_day=saturday)
    assert changed == (set() if is_known else {DAY})
    assert closing.close(parts, ledger.source, DAY) is None
    assert payments(parts, days.find(parts, "bcb", saturday)) == set()


@pytest.mark.parametrize(
    ("after", "day", "lasts"),
    [
        ("mon-fri,24:00,UTC", date(2026, 3, 2), (date(2026, 3, 2), date(2026, 3, 3))),
        ("fri-fri,24:00,UTC", date(2026, 3, 6), (date(2026, 3, 2), date(2026, 3, 7))),
    ],
)
def test_a_day_begins_where_the_closed_one_before_it_ended_though_one_before_that_never_was_closed(
    parts: Runtime, clock: StandingClock, after: str, day: date, lasts: tuple[date, date]
) -> None:
    """The source was added on a Saturday, which is incomplete for good; the Sunday was closed."""
    begin, end = (datetime(each.year, each.month, each.day, tzinfo=UTC) for each in lasts)
    clock.now = begin - timedelta(hours=38)
    ledger = Ledger(parts, add_source(parts))
    ledger.event("S1", at=begin - timedelta(hours=37))
    for until in (begin + timedelta(hours=2), end + timedelta(hours=2)):
        clock.now = until
        ledger.covered(until, since=begin - timedelta(hours=38))
        while closing.close_due(parts):
            pass
        if until < end:
            assert days.find(parts, "bcb", begin.date() - timedelta(days=1)).state == DayState.CLOSED
            ledger.source = source_changes.change(parts, WHO, "bcb", NewSettings({"business_days": after}))
            ledger.event("M1", at=begin + timedelta(hours=10))
    found = days.find(parts, "bcb", day)
    assert (found.state, found.window) == (DayState.CLOSED, Window(begin, end))
    assert payments(parts, found) == {"M1"}
    # What the Saturday has left is of the day before, which lasts until the Sunday, and as incomplete.
    friday = days.find(parts, "bcb", date(2026, 2, 27))
    assert (friday.state, friday.window.end, payments(parts, friday)) == (
        DayState.INCOMPLETE,
        begin - timedelta(days=1),
        {"S1"},
    )


def test_days_are_listed_with_those_that_are_not_closed(ledger: Ledger, parts: Runtime, clock: StandingClock) -> None:
    ledger.covered(EVENING + timedelta(hours=1))
    Worker(parts).run_once()
    found = days.listing(parts, limit=10)
    states = [(each.day.isoformat(), str(each.state)) for each in found]
    assert states == [
        ("2026-03-04", "open"),
        ("2026-03-03", "incomplete"),
        ("2026-03-02", "closed"),
        ("2026-03-01", "closed"),
    ]
    rest = days.listing(parts, ["bcb"], below=(found[1].day, "bcb"), limit=1)
    assert [each.day for each in rest] == [DAY]
    assert clock() > EVENING


def test_workers_that_close_the_same_day_write_one_version(ledger: Ledger, parts: Runtime) -> None:
    known_day(ledger)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Worker(parts).run_once(), range(4)))
    found = close(parts)
    assert [each.version for each in found.versions] == [1]


def test_a_worker_that_was_killed_amid_closing_is_waited_for_no_longer_than_its_lease(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    known_day(ledger)
    with parts.database.write() as connection:
        assert stored.lease(connection, ledger.source.id, clock(), timedelta(minutes=10))
    assert close(parts).state == DayState.OPEN
    with pytest.raises(NotPossible, match="is being closed"):
        days.close(parts, WHO, "bcb", DAY)
    clock.forward(601)
    assert close(parts).state == DayState.CLOSED


@pytest.mark.parametrize("what_is_so", ["not closed yet", "the same", "something else"])
def test_a_worker_whose_lease_ran_out_writes_nothing_and_ends_no_other_s(
    ledger: Ledger, parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch, what_is_so: str
) -> None:
    compare = day_comparison.compare

    def compare_for_too_long(*given: Any) -> Compared:
        found = compare(*given)
        clock.forward(601)
        with parts.database.write() as connection:
            assert stored.lease(connection, ledger.source.id, clock(), closing.LEASE)
        return found

    def versions() -> list[stored.DayRecord]:
        with parts.database.read() as connection:
            return stored.versions(connection, ledger.source.id, DAY)

    ledger.line("FT1", event_id=ledger.event("FT1"))
    ledger.covered(EVENING + timedelta(hours=2))
    if what_is_so != "not closed yet":
        closing.close(parts, ledger.source, DAY)
        clock.forward(86400)
    before = versions()
    if what_is_so != "the same":
        # Two amounts, which are told of before the version is written.
        monkeypatch.setattr(closing, "AT_ONCE", 1)
        for payment in ("FT2", "FT3"):
            ledger.event(payment, "12.00")
            ledger.line(payment, "12.50")
    with monkeypatch.context() as patch:
        patch.setattr(closing, "compare", compare_for_too_long)
        with pytest.raises(closing.BeingClosed, match="another process has taken over"):
            closing.close(parts, ledger.source, DAY)
    assert versions() == before
    assert exceptions.listing(parts, Wanted(), limit=9) == []
    with pytest.raises(closing.BeingClosed, match="is being closed"):
        closing.close(parts, ledger.source, DAY)
    clock.forward(601)
    assert (closing.close(parts, ledger.source, DAY) is None) == (what_is_so == "the same")


def test_a_check_that_changes_a_payment_has_its_closed_day_looked_at(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    ledger.line("FT1", event_id=ledger.event("FT1"), status=Status.PENDING)
    ledger.covered(EVENING + timedelta(hours=2))
    assert numbers(close(parts)) == {"not_final": 1}
    clock.forward(60)
    ledger.checked("FT1", "completed")
    assert numbers(close(parts)) == {"agreed": 1}


@pytest.mark.parametrize(
    "case", ["a line without an id", "on no list", "a movement of its own", "a reference", "a week"]
)
def test_a_check_has_each_closed_day_looked_at_that_has_the_payment_however_old_and_whatever_names_it(
    ledger: Ledger, parts: Runtime, clock: StandingClock, case: str
) -> None:
    status: str | None = "completed"
    days_here, kind = [DAY], "payment"
    if case == "a line without an id":
        ledger.line(None, event_id=ledger.event("P1", at=EVENING), reference="R1", status=Status.REJECTED)
    elif case == "a movement of its own":
        ledger.line("P1", "11.00", event_id=ledger.event("P1", "11.00"), day=DAY - timedelta(days=1))
        ledger.event("P1", "12.00")
    elif case == "a reference":
        ledger.event("P1", kind="reference", payment_id=None, facts={**FACTS, "transaction_reference": "P1"})
        kind, status = "reference", None
    else:
        ledger.event("P1")
    if case == "a week":
        weekly = source_changes.NewSettings({"business_days": "sun-sun,24:00,UTC"})
        ledger.source, days_here = source_changes.change(parts, WHO, "bcb", weekly), [date(2026, 3, 8)]
    else:
        days_here.append(DAY + timedelta(days=5))
    clock.forward(60 * 86400)
    for _ in range(2):
        for day in days_here:
            closing.close(parts, ledger.source, day)
        clock.forward(86400)
    assert due(ledger) is None
    ledger.checked("P1", status, kind=kind)
    assert due(ledger) == days_here[0]
    assert closing.close(parts, ledger.source, days_here[0]) is not None
    assert due(ledger) is None


def test_a_check_and_who_opens_an_exception_before_a_day_never_wait_for_each_other(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    ledger.line("FT1", event_id=ledger.event("FT1"))
    ledger.known("FT1", "pending", "unconfirmed")
    ledger.covered(EVENING + timedelta(hours=2))
    close(parts)
    clock.forward(60)
    about = payments_of(parts, "bcb", "FT1").id
    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            open_about(connection, ExceptionKind.CONTRADICTED, about, "it was sent back", clock())
            checking = pool.submit(ledger.checked, "FT1", "rejected")
            # On SQLite it waits for its turn to write.
            wait_until(lambda: parts.database.is_sqlite or checking.done() or waiting(parts))
            stored.payment_changed(connection, ledger.source.id, "FT1", clock())
        assert checking.result() is None
    assert numbers(close(parts)) == {"status_differs": 1}


def change(ledger: Ledger, payment: str) -> None:
    """Have the bank's list get a line on the closed day."""
    ledger.line(payment)
    with ledger.parts.database.write() as connection:
        stored.make_due(connection, ledger.source.id, [DAY], ledger.parts.clock())


def due(ledger: Ledger) -> date | None:
    """The closed day that is to be looked at now."""
    with ledger.parts.database.read() as connection:
        return stored.due(connection, ledger.source.id, ledger.parts.clock(), closing.LOOK_MOST)


def close_all(ledger: Ledger) -> None:
    ledger.covered(EVENING + timedelta(hours=2))
    while closing.close_due(ledger.parts):
        pass


def test_many_changes_one_after_another_make_few_versions_and_none_is_forgotten(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    close_all(ledger)
    began, minutes = clock(), range(1, 181)
    for minute in minutes:
        clock.now = began + timedelta(minutes=minute)
        change(ledger, f"FT{minute}")
        close_all(ledger)
    versions = days.find(parts, "bcb", DAY).versions
    assert [(each.closed_at - began) / timedelta(minutes=1) for each in versions] == [0, 1, 3, 7, 15, 31, 63, 123]
    assert versions[-1].number == 123
    # The last of them is in once the pause is over, and what says the same adds none.
    for _ in range(2):
        clock.forward(3600)
        close_all(ledger)
        found = days.find(parts, "bcb", DAY)
        assert (len(found.versions), found.numbers[DayCategory.BANK_ALONE]) == (9, len(minutes))


def test_a_change_long_after_the_last_look_is_compared_at_once_and_a_person_never_waits(
    ledger: Ledger, clock: StandingClock
) -> None:
    close_all(ledger)
    clock.forward(7200)
    close_all(ledger)
    clock.forward(120)
    change(ledger, "FT1")
    assert due(ledger) == DAY
    close_all(ledger)
    change(ledger, "FT2")
    assert due(ledger) is None
    made, is_new = days.close(ledger.parts, WHO, "bcb", DAY)
    assert (made.version, made.number, is_new) == (3, 2, True)


def test_what_changed_in_the_pause_is_compared_after_it_by_whoever_follows_a_killed_worker(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    close_all(ledger)
    change(ledger, "FT1")
    assert due(ledger) is None
    clock.forward(60)
    with pytest.raises(KeyboardInterrupt):
        closing.close(parts, ledger.source, DAY, die)
    close_all(ledger)
    assert numbers(days.find(parts, "bcb", DAY)) == {"bank_alone": 1}


def test_a_day_that_changes_all_the_time_has_its_turn_before_one_that_was_looked_at_since(
    ledger: Ledger, clock: StandingClock
) -> None:
    close_all(ledger)
    clock.forward(60)
    closing.close(ledger.parts, ledger.source, DAY - timedelta(days=1))
    clock.forward(86400)
    # The other one is due by itself, and has been for longer.
    assert due(ledger) is not None
    change(ledger, "FT1")
    assert due(ledger) == DAY


def test_a_look_under_a_clock_that_was_ahead_keeps_no_day_waiting(ledger: Ledger, clock: StandingClock) -> None:
    close_all(ledger)
    change(ledger, "FT1")
    clock.now -= timedelta(hours=8)
    change(ledger, "FT2")
    close_all(ledger)
    assert days.find(ledger.parts, "bcb", DAY).numbers[DayCategory.BANK_ALONE] == 2


@pytest.mark.parametrize("days_ahead", [2, 30, 60])
def test_a_day_that_a_clock_days_ahead_has_closed_or_put_off_is_looked_at_once_that_is_right(
    ledger: Ledger, clock: StandingClock, days_ahead: int
) -> None:
    """By a clock that is more than 40 days ahead the day is one of long ago, and would not be looked at any more."""
    ledger.covered(EVENING + timedelta(hours=2))
    for _ in range(2):
        clock.forward(days_ahead * 86400)
        closing.close(ledger.parts, ledger.source, DAY)
        clock.forward(60 - days_ahead * 86400)
        assert due(ledger) == DAY
        closing.close(ledger.parts, ledger.source, DAY)
        assert due(ledger) is None


@pytest.mark.parametrize(
    ("version", "lines", "minutes"),
    [(1, 0, 1), (1, 20_000, 2), (1, 200_000, 20), (1, 2_000_000, 60), (4, 2_000, 8), (7, 1, 60), (5_000, 1, 60)],
)
def test_the_pause_grows_with_the_versions_and_the_lines(version: int, lines: int, minutes: int) -> None:
    header = {"sections": [["agreed", lines, "0" * 64]]}
    record = stored.DayRecord(1, 1, DAY, version, MORNING, header, "", MORNING, None)
    pause = timedelta(minutes=minutes)
    assert record.pause == pause
    assert record.is_paused(MORNING + pause - timedelta(microseconds=1))
    assert not record.is_paused(MORNING + pause)


def test_what_changes_while_a_day_is_compared_has_it_looked_at_once_more(
    ledger: Ledger, parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.line("FT1", event_id=ledger.event("FT1"))
    ledger.covered(EVENING + timedelta(hours=2))
    close(parts)
    compare = day_comparison.compare

    def change_behind(*given: Any) -> Compared:
        found = compare(*given)
        clock.forward(1)
        with parts.database.write() as connection:
            stored.payment_changed(connection, ledger.source.id, "FT1", clock())
        clock.forward(1)
        return found

    def is_due() -> bool:
        record = days.find(parts, "bcb", DAY).record
        return record is not None and record.next_look_at is not None and record.next_look_at <= clock()

    assert not is_due()
    with monkeypatch.context() as patch:
        patch.setattr(closing, "compare", change_behind)
        # It is due already when the change comes, and says the same ...
        clock.forward(86400)
        with parts.database.write() as connection:
            stored.make_due(connection, ledger.source.id, [DAY], clock())
        assert closing.close(parts, ledger.source, DAY) is None
        assert is_due()
        # Its pause counts all the same: it is not compared without end while something comes all the time.
        assert due(ledger) == DAY - timedelta(days=1)
        assert closing.close_due(parts) == 1
        assert due(ledger) is None
        clock.forward(60)
        assert due(ledger) == DAY
        # ... or something else.
        ledger.line("FT2", event_id=ledger.event("FT2"))
        made = closing.close(parts, ledger.source, DAY)
        assert made is not None
        assert (made.version, is_due()) == (2, True)
    assert closing.close(parts, ledger.source, DAY) is None
    assert not is_due()


def test_what_changes_while_a_day_of_long_ago_is_compared_for_the_first_time_makes_another_version(
    ledger: Ledger, parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.covered(EVENING + timedelta(hours=2))
    clock.forward(60 * 86400)
    compare = day_comparison.compare

    def change_behind(*given: Any) -> Compared:
        found = compare(*given)
        change(ledger, "FT1")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(closing, "compare", change_behind)
        closing.close(parts, ledger.source, DAY)
    assert numbers(days.find(parts, "bcb", DAY)) == {}
    for _ in range(2):
        clock.forward(121)
        close_all(ledger)
        found = days.find(parts, "bcb", DAY)
        assert (len(found.versions), numbers(found)) == (2, {"bank_alone": 1})
        assert due(ledger) is None


def test_who_waits_for_another_version_has_that_one_looked_at_and_a_replaced_one_is_never_due(
    ledger: Ledger, parts: Runtime, clock: StandingClock
) -> None:
    ledger.line("FT1", event_id=ledger.event("FT1"))
    ledger.covered(EVENING + timedelta(hours=2))
    close(parts)
    ledger.line("FT2", event_id=ledger.event("FT2"))

    def change() -> None:
        with parts.database.write() as connection:
            stored.payment_changed(connection, ledger.source.id, "FT1", clock())

    def wait_for_it(*_: Any) -> None:
        begun.append(pool.submit(change))
        # On SQLite nobody else reads what is not committed either: there it comes after.
        wait_until(lambda: parts.database.is_sqlite or begun[0].done() or waiting(parts))

    begun: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        assert closing.close(parts, ledger.source, DAY, wait_for_it) is not None
    assert begun[0].result() is None
    second = days.find(parts, "bcb", DAY)
    assert second.record is not None
    assert (second.record.version, second.record.next_look_at) == (2, clock())
    with parts.database.write() as connection:
        connection.execute(text("UPDATE day_versions SET next_look_at = NULL WHERE version = 2"))
        query = text("UPDATE day_versions SET next_look_at = closed_at WHERE version = 1 AND day = '2026-03-02'")
        assert connection.execute(query).rowcount == 1
    with parts.database.read() as connection:
        assert stored.due(connection, ledger.source.id, clock(), closing.LOOK_MOST) is None
