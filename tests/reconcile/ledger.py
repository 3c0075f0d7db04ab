"""Both sides of business days, written by hand: what the bank's list has, and what callbacks told."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy import delete, insert, update
from store.made import delivery, event

from receiver.banks.abilities import Listed
from receiver.banks.errors import NotKnown
from receiver.banks.protocol import Answer, Money
from receiver.model import Status
from receiver.projection.projector import catch_up
from receiver.reconcile.days import days_around
from receiver.reconcile.findings import Finding, record
from receiver.reconcile.list_lines import as_stored
from receiver.reconcile.plan import Schedule
from receiver.runtime import Runtime
from receiver.store import bank_lines, intake, leases, payments, sources
from receiver.store.leases import Lease
from receiver.store.payments import SubjectRecord
from receiver.store.records import new_id
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankLine, Event, Subject, Sweep, table_of

DAY = date(2026, 3, 2)
MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
EVENING = datetime(2026, 3, 3, tzinfo=UTC)

FACTS = {"account_number": "1046406142", "direction": "Credit"}


class Ledger:
    """Writes to the tables of one source."""

    def __init__(self, parts: Runtime, source: SourceRecord) -> None:
        self.parts = parts
        self.source = source
        self._numbers = count(1)

    def event(self, payment: str, amount: str | None = "10.00", at: datetime = MORNING, **changes: Any) -> str:
        """Have a callback tell of a payment; return the event's id."""
        arrived = delivery(self.parts, self.source, id=new_id("dlv", at), received_at=at, signed_at=at)
        name = f"{payment} {next(self._numbers)}"
        given = {"id": new_id("evt", at), "payment": payment, "amount": amount, "facts": FACTS, **changes}
        made = event(self.parts, name, **given)
        with self.parts.database.write() as connection:
            intake.record(connection, arrived, [made])
        return made.id

    def swept(self, payment: str, amount: str = "10.00", at: datetime = EVENING) -> str:
        """Have the sweep find a payment; return the id of the event that it makes."""
        event_id = self.event(payment, amount, at, proof="none")
        self._update(Event, {"id": event_id}, found_by="sweep")
        return event_id

    def joined(self, event_id: str, at: datetime) -> None:
        """Have the callback come of an event that the sweep had made."""
        arrived = delivery(self.parts, self.source, id=new_id("dlv", at), received_at=at, signed_at=at)
        with self.parts.database.write() as connection:
            intake.record(connection, arrived, [])
        self._update(Event, {"id": event_id}, proof="signature", delivery_id=arrived.id)

    def line(self, payment: str | None, amount: str = "10.00", event_id: str | None = None, **changes: Any) -> None:
        """Have the bank's list know of a payment."""
        number = next(self._numbers)
        values: dict[str, Any] = {
            "source_id": self.source.id,
            "identity": hashlib.sha256(f"{number}".encode()).hexdigest(),
            "list_name": "1046406142",
            "day": DAY,
            "type": "bcb.deposit",
            "payment_id": payment,
            "account": "1046406142",
            "direction": "incoming",
            "amount": amount,
            "currency": "EUR",
            "bank_status": None,
            "status": Status.UNKNOWN,
            "at": MORNING - timedelta(seconds=2),
            "detail": {},
            "seen_at": EVENING,
            "event_id": event_id,
        }
        with self.parts.database.write() as connection:
            connection.execute(insert(table_of(BankLine)).values(values | changes))

    def known(self, payment: str, status: str = "completed", agreement: str = "confirmed") -> None:
        """Have the bank answer what a payment is."""
        catch_up(self.parts.database)
        self._update(Subject, {"subject": payment}, status=Status(status), agreement=agreement)

    def covered(
        self, until: datetime | None, next_at: datetime | None = None, since: datetime = MORNING - timedelta(days=10)
    ) -> None:
        """Have the sweep read the bank's list so far."""
        values = {
            "source_id": self.source.id,
            "list_name": "1046406142",
            "covered_from": until and since,
            "covered_until": until,
            "next_at": next_at or MORNING,
        }
        with self.parts.database.write() as connection:
            connection.execute(delete(table_of(Sweep)))
            connection.execute(insert(table_of(Sweep)).values(values))

    def listed(self, payment: str, at: datetime, named_day: date | None = None) -> set[date]:
        """Have a sweep read a line of a payment, which belongs to a day by the source's calendar of now.

        Return the days on which that makes a difference.
        """
        line = Listed(type="bcb.deposit", payment_id=payment, at=at, named_day=named_day)
        with self.parts.database.write() as connection:
            around = days_around(connection, self.source)
            new = as_stored(line, "1", self.source.bank, around, at)
            window = (at - timedelta(days=1), at + timedelta(hours=1))
            return bank_lines.write(connection, self.source.id, {new.base: [new]}, window, at).days

    def corrected(self, payment: str, amount: str) -> None:
        """Have the bank's list name another amount."""
        self._update(BankLine, {"payment_id": payment}, amount=amount)

    def day_named(self, payment: str, day: date | None) -> None:
        """Have a line name a day alone, or none."""
        self._update(BankLine, {"payment_id": payment}, named_day=day)

    def moved(self, payment: str, day: date) -> None:
        """Have the bank's list give a line a time on another business day."""
        at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        self._update(BankLine, {"payment_id": payment}, day=day, at=at)

    def checked(self, payment: str, status: str | None, *amounts: str, kind: str = "payment") -> None:
        """Have the worker ask the bank about a payment, as far as what is written down of the answer.

        Without a status the bank does not know it.
        """
        finding = Finding(NotKnown.outcome)
        if status is not None:
            money = [Money(Decimal(each), "EUR") for each in amounts]
            finding = Finding("answered", Answer(status.capitalize(), status, amounts=money))
        self._record(payment, finding, timedelta(0), kind)

    def named(self, reference: str, payment: str, status: str) -> None:
        """Have the bank answer which payment a reference is of."""
        self.answered(reference, Answer(status.capitalize(), status, payment_id=payment), "reference")

    def answered(self, payment: str, answer: Answer, kind: str = "payment") -> None:
        """Have the bank answer this about a payment."""
        self._record(payment, Finding("answered", answer), timedelta(0), kind)

    def unknown(self, payment: str, *, times: int) -> None:
        """Have the bank say that it does not know of a payment, so many times, half an hour apart."""
        for number in range(times):
            self._record(payment, Finding(NotKnown.outcome), timedelta(minutes=30) * number)

    def _record(self, payment: str, finding: Finding, later: timedelta, kind: str = "payment") -> None:
        catch_up(self.parts.database)
        found = payments_of(self.parts, self.source.name, payment, kind)
        now = self.parts.clock() + later
        with self.parts.database.write() as connection:
            leases.ask_now(connection, found.id, now)
            due = leases.claim_one(connection, found.id, Lease(now, now + timedelta(seconds=60), "l"))
            assert due is not None
        record(self.parts.database, due, finding, Schedule(10, 3600), now)

    def _update(self, model: Any, where: Mapping[str, Any], **values: Any) -> None:
        table = table_of(model)
        statement = update(table).where(*(table.c[name] == value for name, value in where.items()))
        with self.parts.database.write() as connection:
            assert connection.execute(statement.values(values)).rowcount == 1


def add_silent(parts: Runtime, name: str) -> None:
    """Add a source whose bank lists nothing of what it knows."""
    given: dict[str, Any] = {"bank": "standard_webhooks", "environment": "sandbox", "base_url": None, "options": {}}
    with parts.database.write() as connection:
        sources.add(connection, name=name, now=parts.clock(), **given)


def payments_of(parts: Runtime, source: str, payment: str, kind: str = "payment") -> SubjectRecord:
    """What is known of a payment."""
    with parts.database.read() as connection:
        found = payments.find(connection, source, kind, payment)
    assert found is not None
    return found


def known_day(ledger: Ledger) -> None:
    """Fill the day: 3 agreed (one late, one of two events), 2 recovered, 1 of the bank alone, 2 of ours alone.

    And 1 with another amount, 3 with another state, 1 that is not final.
    """
    for payment, claims in (("FT-a1", ["pending", "completed"]), ("FT-a2", ["completed"])):
        events = [ledger.event(payment, claimed_status=claim) for claim in claims]
        ledger.line(payment, event_id=events[0])
        ledger.known(payment)
    ledger.line("FT-a3", event_id=ledger.event("FT-a3", at=EVENING + timedelta(hours=30)), status=Status.COMPLETED)
    for payment in ("FT-r1", "FT-r2"):
        ledger.line(payment, "7.50", ledger.swept(payment, "7.50"))
    ledger.line("FT-b1", "100.00", currency="USD")
    ledger.event("FT-o1", "5.00")
    ledger.event("FT-o1", "5.00", at=MORNING + timedelta(hours=1))
    ledger.event("FT-o2", "6.00", currency="USD")
    ledger.event("FT-other-day", at=MORNING - timedelta(days=1))
    ledger.event("FT-d1", "12.00")
    ledger.line("FT-d1", "12.50", ledger.swept("FT-d1", "12.50"))
    ledger.line("FT-s1", event_id=ledger.event("FT-s1"), status=Status.REJECTED, bank_status="Rejected")
    ledger.line("FT-s2", event_id=ledger.event("FT-s2"))
    ledger.known("FT-s2", "reversed", "contradicted")
    ledger.line("FT-s3", event_id=ledger.event("FT-s3"), status=Status.COMPLETED)
    ledger.known("FT-s3", "returned")
    ledger.line("FT-n1", event_id=ledger.event("FT-n1"), status=Status.PENDING)
    ledger.covered(EVENING + timedelta(hours=2))
