"""A callback is another one than what was recovered where it is of another type: both are in the feed, each once."""

from datetime import date, timedelta
from typing import Any

import pytest
from conftest import StandingClock
from sqlalchemy import text
from store.made import delivery, event

from receiver.projection.projector import catch_up
from receiver.reconcile.recovery import Joined, Recoverer
from receiver.runtime import Runtime
from receiver.store import bank_lines, feed, intake
from receiver.store.bank_lines import NewLine
from receiver.store.records import Recorded
from receiver.store.sources import SourceRecord

ACCOUNT = "DK1"
PROCESSED, BOOKED = "banking_circle.incoming_payment_processed", "banking_circle.incoming_payment_booked"
REJECTED, UNFUNDED = "banking_circle.outgoing_payment_rejected", "banking_circle.missing_funding"
CASE, REVERSED = "banking_circle.case_events", "banking_circle.reversed"


def listed(parts: Runtime, source: SourceRecord, clock: StandingClock, kind: str, **more: Any) -> None:
    """Have a line of the bank's list read."""
    at = clock() - timedelta(hours=1)
    given: dict[str, Any] = {"payment_id": "P", "reference": "010F1", "direction": "incoming", "detail": {}, **more}
    line = NewLine(
        **given,
        list_name="intraday",
        day=date(2026, 3, 4),
        type=kind,
        account=ACCOUNT,
        amount="1.00",
        currency="EUR",
        bank_status=None,
        status="unknown",
        at=at,
    )
    (group,) = bank_lines.in_groups([line])
    with parts.database.write() as connection:
        bank_lines.write(connection, source.id, group, (at, clock()), clock())


def told(parts: Runtime, source: SourceRecord, kind: str, **more: Any) -> Recorded:
    """Have a callback about the payment come."""
    facts = {"transaction_reference": "010F1", "direction": "incoming"} | more.pop("facts", {})
    given: dict[str, Any] = {"payment": "P", "type": kind, "claimed_status": None, **more}
    with parts.database.write() as connection:
        made = event(parts, f"{kind} {more}", facts=facts, **given)
        return intake.record(connection, delivery(parts, source), [made])


def fed(parts: Runtime) -> list[str]:
    """What an app reads, sorted: all is of one time."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        types = [entry.type for entry in feed.read(connection, after=0, limit=100).entries]
    return sorted(kind for kind in types if kind == "payment.recovered" or kind.startswith("banking_circle."))


def line_events(parts: Runtime) -> list[Any]:
    with parts.database.read() as connection:
        query = "SELECT e.type FROM bank_lines l LEFT JOIN events e ON e.id = l.event_id ORDER BY l.id"
        return list(connection.execute(text(query)).scalars())


def test_a_rejection_is_told_of_a_payment_that_was_recovered_without_funds(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    outgoing = {"direction": "outgoing"}
    listed(parts, source, clock, UNFUNDED, payment_id=None, **outgoing)
    assert Recoverer(parts).run(source) == Joined(recovered=1)
    assert told(parts, source, REJECTED, claimed_status="rejected", facts=outgoing).is_new
    assert fed(parts) == [REJECTED, "payment.recovered"]
    assert not told(parts, source, UNFUNDED, claimed_status="pending", facts=outgoing).is_new
    assert fed(parts) == [REJECTED, "payment.recovered"]
    assert Recoverer(parts).run(source) == Joined()


def test_a_booking_is_told_of_what_was_recovered_as_processed_and_processed_joins_that(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    listed(parts, source, clock, PROCESSED)
    assert Recoverer(parts).run(source) == Joined(recovered=1)
    booked = told(parts, source, BOOKED)
    processed = told(parts, source, PROCESSED, claimed_status="completed")
    assert (booked.is_new, processed.is_new) == (True, False)
    assert fed(parts) == [BOOKED, "payment.recovered"]
    assert line_events(parts) == [PROCESSED]
    with parts.database.read() as connection:
        kinds = connection.execute(text("SELECT type, proof, found_by FROM events ORDER BY type")).all()
    assert [tuple(kind) for kind in kinds] == [(BOOKED, "signature", None), (PROCESSED, "signature", "sweep")]


def test_what_was_recovered_as_booked_and_is_listed_as_processed_by_now_is_met_by_the_booking(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    listed(parts, source, clock, BOOKED)
    Recoverer(parts).run(source)
    listed(parts, source, clock, PROCESSED)
    assert told(parts, source, PROCESSED).is_new
    assert not told(parts, source, BOOKED).is_new
    assert fed(parts) == [PROCESSED, "payment.recovered"]


@pytest.mark.parametrize("kind", [CASE, REVERSED])
@pytest.mark.parametrize("comes_first", [True, False])
def test_nothing_else_that_is_told_of_a_payment_keeps_it_from_being_recovered(
    parts: Runtime, source: SourceRecord, clock: StandingClock, kind: str, comes_first: bool
) -> None:
    worth = {"amount": "1.00" if kind == REVERSED else None, "currency": None}
    if comes_first:
        told(parts, source, kind, **worth)
    listed(parts, source, clock, PROCESSED)
    assert Recoverer(parts).run(source) == Joined(recovered=1)
    if not comes_first:
        assert told(parts, source, kind, **worth).is_new
    assert fed(parts) == [kind, "payment.recovered"]
    assert line_events(parts) == [PROCESSED]
    assert not told(parts, source, PROCESSED).is_new


@pytest.mark.parametrize(("line", "callback"), [(PROCESSED, BOOKED), (BOOKED, PROCESSED), (UNFUNDED, REJECTED)])
def test_a_step_of_the_same_movement_that_was_told_is_the_lines(
    parts: Runtime, source: SourceRecord, clock: StandingClock, line: str, callback: str
) -> None:
    told(parts, source, callback)
    listed(parts, source, clock, line)
    assert Recoverer(parts).run(source) == Joined(joined=1)
    assert fed(parts) == [callback]


def test_a_line_with_an_id_of_its_own_is_no_other_payments_by_its_reference(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    told(parts, source, PROCESSED, payment="Q")
    listed(parts, source, clock, PROCESSED)
    assert Recoverer(parts).run(source) == Joined(recovered=1)
    assert fed(parts) == [PROCESSED, "payment.recovered"]
