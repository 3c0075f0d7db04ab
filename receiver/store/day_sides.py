"""The two sides of a business day, some rows at a time: what the bank's list has, and what our events tell."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from receiver.model import Agreement, ProofStrength, Status, SubjectKind
from receiver.store import pagination
from receiver.store.leases import as_text
from receiver.store.records import Record, columns_of, lowest_id
from receiver.store.recovered_events import SWEEP
from receiver.store.tables import BankLine, Delivery, Event, Subject, table_of

_lines, _events, _subjects, _deliveries = (table_of(model) for model in (BankLine, Event, Subject, Delivery))

BATCH = 1000

_ABOUT_PAYMENTS = (SubjectKind.PAYMENT, SubjectKind.REFERENCE)


class BankSide(NamedTuple):
    """A line of the bank's list."""

    id: int
    list_name: str
    type: str
    payment_id: str | None
    reference: str | None
    account: str | None
    direction: str | None
    amount: str | None
    currency: str | None
    bank_status: str | None
    status: Status
    at: datetime | None
    event_id: str | None
    named_day: date | None


class OurSide(NamedTuple):
    """An event beside it."""

    id: str
    type: str
    payment_id: str | None
    claimed_status: Status | None
    amount: str | None
    currency: str | None
    found_by: str | None
    received_at: datetime

    @property
    def is_of_sweep(self) -> bool:
        """Whether the sweep made it of a line."""
        return self.found_by == SWEEP


class EventWithFacts(NamedTuple):
    """An event of which more is looked at."""

    event: OurSide
    facts: dict[str, Any]


class PaymentRecord(NamedTuple):
    """What is known of a payment."""

    subject: str
    status: Status
    agreement: Agreement
    claimed_status: Status | None


def lines(connection: Connection, source_id: int, day: date, *, behind: int, limit: int = BATCH) -> list[BankSide]:
    """Return lines of a day behind the one with the number `behind`, in the order of their numbers."""
    query = (
        select(*columns_of(BankSide, _lines))
        .where(_lines.c.source_id == source_id, _lines.c.day == day, _lines.c.id > behind)
        .order_by(_lines.c.id)
        .limit(limit)
    )
    return _fetched(connection, BankSide, query)


class SameEvent(NamedTuple):
    """A line that points at an event which other lists may tell of too."""

    id: int
    event_id: str
    status: Status


def pointing_at(connection: Connection, day: date, event_ids: Iterable[str]) -> list[SameEvent]:
    """Return all lines of a day that point at these events."""
    query = select(*columns_of(SameEvent, _lines), _lines.c.day).where(
        pagination.among(connection, _lines.c.event_id, list(event_ids))
    )
    # The day is looked at here: by its index a planner might walk through the whole of it.
    return [SameEvent(*row[:-1]) for row in connection.execute(query).all() if row[-1] == day]


def number_of_lines(connection: Connection, source_id: int, day: date, most: int) -> int:
    """Return how many lines a day has, counted to `most`."""
    some = select(_lines.c.id).where(_lines.c.source_id == source_id, _lines.c.day == day).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def first_day(connection: Connection, source_id: int) -> date | None:
    """Return the earliest day of which the bank's list has something."""
    query = select(_lines.c.day).where(_lines.c.source_id == source_id).order_by(_lines.c.day).limit(1)
    found: date | None = connection.execute(query).scalar()
    return found


def events(connection: Connection, ids: Iterable[str]) -> dict[str, OurSide]:
    """Return events by their ids."""
    query = select(*columns_of(OurSide, _events)).where(pagination.among(connection, _events.c.id, list(ids)))
    return {event.id: event for event in _fetched(connection, OurSide, query)}


def payments(connection: Connection, source_id: int, ids: Iterable[str]) -> dict[str, PaymentRecord]:
    """Return what is known of payments of a source, by their ids."""
    return _known(connection, source_id, SubjectKind.PAYMENT, ids)


def _known(connection: Connection, source_id: int, kind: SubjectKind, ids: Iterable[str]) -> dict[str, PaymentRecord]:
    query = select(*columns_of(PaymentRecord, _subjects)).where(
        _subjects.c.source_id == source_id,
        _subjects.c.kind == kind,
        pagination.among(connection, _subjects.c.subject, list(ids)),
    )
    return {payment.subject: payment for payment in _fetched(connection, PaymentRecord, query)}


def joined_by_callback(connection: Connection, event_ids: Iterable[str]) -> dict[str, datetime]:
    """Return when the callbacks of events came that a sweep had found, by the events' ids, where one came.

    Such an event is proven by its callback, and was told by its delivery, from then on.
    """
    has_come = or_(_events.c.proof != ProofStrength.NONE, _deliveries.c.received_at > _events.c.received_at)
    query = (
        select(_events.c.id, _deliveries.c.received_at)
        .join_from(_events, _deliveries, _deliveries.c.id == _events.c.delivery_id)
        .where(pagination.among(connection, _events.c.id, list(event_ids)), has_come)
    )
    return {row.id: row.received_at for row in connection.execute(query)}


class AboutPayments(NamedTuple):
    """All that is about some payments; what the sweep has made of a line counts as joined to it."""

    alone: list[BankSide]
    """Lines without a callback of their own: their event is the sweep's, if they have one."""
    others: list[BankSide]
    """The other lines."""
    joined: list[EventWithFacts]
    """Events that a line points at."""
    loose: list[EventWithFacts]
    """Events of callbacks that none does."""


def about_payments(connection: Connection, source_id: int, payment_ids: Iterable[str]) -> AboutPayments:
    """Return all that is about some payments, each in the order of its ids.

    A line has a callback of its own, too, whose event a callback has joined since. A line that names no payment is the
    one's that its event turned out to be about.
    """
    ids = list(payment_ids)
    is_about = (
        pagination.among(connection, _events.c.payment_id, ids),
        *pagination.beside(_events.c.source_id, [source_id], 0),
    )
    query = select(*columns_of(OurSide, _events)).where(*is_about)
    found = sorted(_fetched(connection, OurSide, query), key=lambda event: event.id)
    payments_of = {event.id: event.payment_id for event in found}
    by_event = [_lines.c.payment_id.is_(None), pagination.among(connection, _lines.c.event_id, list(payments_of))]
    by_id = [_lines.c.source_id == source_id, pagination.among(connection, _lines.c.payment_id, ids)]
    rows = [
        line._replace(payment_id=line.payment_id or payments_of[line.event_id or ""])
        for where in (by_id, by_event if found else None)
        if where is not None
        for line in _fetched(connection, BankSide, select(*columns_of(BankSide, _lines)).where(*where))
    ]
    of_sweep = {event.id for event in found if event.is_of_sweep}
    without = of_sweep - joined_by_callback(connection, of_sweep).keys() if of_sweep else set[str]()
    alone = {line.id for line in rows if line.event_id is None or line.event_id in without}
    lines = sorted(rows, key=lambda line: line.id)
    pointed_at = _pointed_at(connection, list(payments_of))
    events = _with_facts(connection, found)
    return AboutPayments(
        [line for line in lines if line.id in alone],
        [line for line in lines if line.id not in alone],
        [each for each in events if each.event.id in pointed_at],
        [each for each in events if each.event.id not in pointed_at and not each.event.is_of_sweep],
    )


def loose(connection: Connection, claims: Iterable["Claimed"]) -> set[str]:
    """Return the payments of which a callback tells an amount and no line points at its event."""
    telling = (each for each in claims if each.amount is not None and each.currency is not None)
    payment_ids = {each.id: each.payment_id for each in telling if each.payment_id is not None}
    pointed_at = _pointed_at(connection, list(payment_ids)) if payment_ids else set()
    return {payment_id for event_id, payment_id in payment_ids.items() if event_id not in pointed_at}


def with_facts(connection: Connection, ids: Iterable[str]) -> list[EventWithFacts]:
    """Return events with their facts, in the order of their ids."""
    return _with_facts(connection, [event for _, event in sorted(events(connection, ids).items())])


def _with_facts(connection: Connection, found: Sequence[OurSide]) -> list[EventWithFacts]:
    ids = [event.id for event in found]
    query = select(_events.c.id, _events.c.facts).where(pagination.among(connection, _events.c.id, ids))
    facts = {row.id: row.facts for row in connection.execute(query)} if ids else {}
    return [EventWithFacts(event, facts[event.id]) for event in found]


def _fetched(connection: Connection, record: type[Record], query: Select[Any]) -> list[Record]:
    """Run a query for `columns_of` a record; all rows at once, which takes half as long as one by one."""
    return [record._make(row) for row in connection.execute(query).all()]


def _pointed_at(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    query = select(_lines.c.event_id).where(pagination.among(connection, _lines.c.event_id, event_ids))
    return set(connection.execute(query).scalars())


DATED_WITHIN = timedelta(days=1)
"""An event belongs to the day of the bank's own time where it came within this of it, else to the day it came."""


class Claimed(NamedTuple):
    """That a callback told of a payment, and when."""

    id: str
    subject: str
    """The payment's id, or its reference."""
    payment_id: str | None
    """None where the bank has not said which payment the reference is of."""
    received_at: datetime
    claimed_at: datetime | None
    amount: str | None
    currency: str | None

    @property
    def dated(self) -> datetime:
        """The time by which it belongs to a day."""
        if self.claimed_at is None or not timedelta(0) <= self.received_at - self.claimed_at <= DATED_WITHIN:
            return self.received_at
        return self.claimed_at


class Touched(NamedTuple):
    """Where a payment is, or a reference is."""

    days: set[date]
    """On which the bank's list has a line of it."""
    times: list[datetime]
    """By which its events belong to days."""


def touched(connection: Connection, source_id: int, payment_id: str | None, reference: str | None) -> Touched:
    """Return where all is that is about a payment, or about a reference whose payment is not known.

    Of many events the first ones: by these a payment belongs to a day.
    """
    ways = []
    if payment_id is not None:
        ways.append([_events.c.payment_id == payment_id, *pagination.beside(_events.c.source_id, [source_id], 0)])
    if reference is not None:
        ways.append(_unnamed(source_id, [_events.c.subject == reference]))
    found = [
        event
        for way in ways
        for event in _fetched(
            connection, Claimed, select(*columns_of(Claimed, _events)).where(*way).order_by(_events.c.id).limit(BATCH)
        )
    ]
    lines = [pagination.among(connection, _lines.c.event_id, [event.id for event in found])] if found else []
    if payment_id is not None:
        lines.append(and_(_lines.c.source_id == source_id, _lines.c.payment_id == payment_id))
    days = (connection.execute(select(_lines.c.day).where(which)).scalars() for which in lines)
    return Touched({day for each in days for day in each}, [event.dated for event in found])


def _unnamed(source_id: int, which: Sequence[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    is_unnamed = (_events.c.kind == as_text(SubjectKind.REFERENCE), _events.c.payment_id.is_(None))
    return [_events.c.source_id == source_id, *is_unnamed, *which]


def claimed(
    connection: Connection, source_id: int, begin: datetime, end: datetime, *, behind: str, limit: int = BATCH
) -> list[Claimed]:
    """Return events about payments that may be dated between two times, in the order of their ids behind one."""
    query = (
        select(*columns_of(Claimed, _events))
        .where(*_may_be_dated(source_id, begin, end), _events.c.id > behind)
        .order_by(_events.c.id)
        .limit(limit)
    )
    return _fetched(connection, Claimed, query)


def number_claimed(connection: Connection, source_id: int, begin: datetime, end: datetime, most: int) -> int:
    """Return how many events `claimed` returns in all, counted to `most`."""
    some = select(_events.c.id).where(*_may_be_dated(source_id, begin, end)).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _may_be_dated(source_id: int, begin: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        _events.c.source_id == source_id,
        _events.c.id >= lowest_id("evt", begin),
        _events.c.id < lowest_id("evt", end + DATED_WITHIN),
        _events.c.kind.in_(_ABOUT_PAYMENTS),
        _events.c.found_by.is_distinct_from(SWEEP),
    )


def on_no_list(connection: Connection, source_id: int, payment_ids: Iterable[str]) -> dict[str, str]:
    """Return those payments that no list of the bank has, on whatever day, each with the id of its first event.

    A payment is on a list where a line names it, or points at any of its events.
    """
    listed = select(_lines.c.payment_id).where(
        _lines.c.source_id == source_id, pagination.among(connection, _lines.c.payment_id, list(set(payment_ids)))
    )
    left = sorted(set(payment_ids) - set(connection.execute(listed).scalars()))
    if not left:
        return {}
    query = select(_events.c.id, _events.c.payment_id).where(
        pagination.among(connection, _events.c.payment_id, left),
        _events.c.kind.in_(_ABOUT_PAYMENTS),
        *pagination.beside(_events.c.source_id, [source_id], 0),
    )
    of_payment = {row.id: row.payment_id for row in connection.execute(query)}
    pointed_at = {of_payment[event_id] for event_id in _pointed_at(connection, list(of_payment))}
    first: dict[str, str] = {}
    for event_id in sorted(of_payment):
        if of_payment[event_id] not in pointed_at:
            first.setdefault(of_payment[event_id], event_id)
    return first


def denied(connection: Connection, source_id: int, references: Iterable[str]) -> dict[str, PaymentRecord]:
    """Return what is known of those references of which the bank knows no payment and no list has one.

    It is by the id of the first event about each.
    """
    known = _known(connection, source_id, SubjectKind.REFERENCE, references)
    unknown = [name for name, record in known.items() if record.agreement == Agreement.UNKNOWN_TO_BANK]
    if not unknown:
        return {}
    unnamed = _unnamed(source_id, [pagination.among(connection, _events.c.subject, unknown)])
    rows = connection.execute(select(_events.c.id, _events.c.subject).where(*unnamed)).all()
    pointed_at = _pointed_at(connection, [row.id for row in rows])
    listed = {row.subject for row in rows if row.id in pointed_at}
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.id):
        if row.subject not in listed:
            first.setdefault(row.subject, row.id)
    return {event_id: known[name] for name, event_id in first.items()}
