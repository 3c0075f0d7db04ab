"""Reading events: lists (keyset pagination), one event, what it came from, and what events tell of a payment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, literal, select, union

from receiver.model import ProofStrength, Status, SubjectKind, Verdict
from receiver.store import pagination, sources
from receiver.store.records import columns_of, fetch_all, fetch_one, lowest_id
from receiver.store.tables import Delivery, Event, EventHold, Repeat, Source, table_of

_events, _deliveries, _repeats, _sources = (table_of(model) for model in (Event, Delivery, Repeat, Source))
_holds = table_of(EventHold)


@dataclass(frozen=True)
class Filter:
    """Which events to list; what is empty or none does not restrict. Of several values any will do.

    The time of receipt is from `received_after` on and ends before `received_before`, so that adjoining spans share
    no event and leave none out.
    """

    sources: Sequence[str] = ()
    types: Sequence[str] = ()
    payment_ids: Sequence[str] = ()
    event_ids: Sequence[str] = ()
    late: bool | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None


class EventRecord(NamedTuple):
    """One thing that a bank told; `source` and `bank` are names, times are UTC."""

    id: str
    source_id: int
    source: str
    bank: str
    delivery_id: str | None
    """The one that told it first; none where no callback has come for it."""
    type: str
    kind: SubjectKind
    subject: str | None
    payment_id: str | None
    claimed_status: Status | None
    amount: str | None
    currency: str | None
    facts: dict[str, Any]
    proof: ProofStrength
    proof_key: str
    conflict: bool
    late: bool
    received_at: datetime
    payload_sha256: str
    found_by: str | None
    """`sweep` where asking the bank has shown it before any callback did."""
    on_hold: bool
    """Whether somebody holds it: nothing of it is removed then, whatever its age."""


class EventDelivery(NamedTuple):
    """A delivery that told an event; `conflict` is true where it said something else than the first one."""

    id: str
    received_at: datetime
    verdict: Verdict
    reason: str | None
    peer: str
    conflict: bool


_COLUMNS = [column for column in _events.c if column.name in EventRecord._fields]


def listing(connection: Connection, wanted: Filter, *, below: str | None, limit: int) -> list[EventRecord]:
    """Return events, newest first; `below` is the id to go on from. Ids ascend with time, and serve as its index."""
    ids = sources.ids(connection, wanted.sources)
    if wanted.sources and not ids:
        return []
    where = _conditions(wanted, below)
    if wanted.payment_ids or wanted.event_ids or wanted.late:
        alternatives = pagination.combinations((_events.c.id, wanted.event_ids))
        if not wanted.event_ids:
            alternatives = pagination.combinations((_events.c.payment_id, wanted.payment_ids))
        where += pagination.beside(_events.c.source_id, ids, 0) + pagination.beside(_events.c.type, wanted.types, "")
    else:
        alternatives = pagination.combinations((_events.c.source_id, ids), (_events.c.type, wanted.types))
    page = pagination.page(_COLUMNS, alternatives, where=where, order=_events.c.id.desc(), limit=limit).subquery()
    return fetch_all(connection, EventRecord, _named(page).order_by(page.c.id.desc()))


def _named(rows: FromClause) -> Select[Any]:
    """Select the records of rows of the table, each with its source's name and bank."""
    on_hold = _holds.c.event_id.is_not(None)
    columns = columns_of(EventRecord, rows, source=_sources.c.name, bank=_sources.c.bank, on_hold=on_hold)
    named = select(*columns).join_from(rows, _sources, _sources.c.id == rows.c.source_id)
    return named.outerjoin(_holds, _holds.c.event_id == rows.c.id)


def _conditions(wanted: Filter, below: str | None) -> list[ColumnElement[bool]]:
    where = []
    if wanted.payment_ids and wanted.event_ids:
        where += pagination.beside(_events.c.payment_id, wanted.payment_ids, "")
    if wanted.late is not None:
        where.append(_events.c.late.is_(wanted.late))
    # An id tells the millisecond and has the index; the column tells the microsecond.
    if wanted.received_after:
        after = wanted.received_after
        where += [_events.c.id >= lowest_id("evt", after), _events.c.received_at >= after]
    if wanted.received_before:
        before = wanted.received_before
        behind = lowest_id("evt", before + timedelta(milliseconds=1))
        where += [_events.c.id < behind, _events.c.received_at < before]
    if below:
        where.append(_events.c.id < below)
    return where


def find(connection: Connection, event_id: str) -> EventRecord | None:
    """Return one event."""
    return fetch_one(connection, EventRecord, _named(_events).where(_events.c.id == event_id))


def by_ids(connection: Connection, event_ids: Sequence[str]) -> list[EventRecord]:
    """Return events in the order of these ids; one that is not there is left out."""
    found = fetch_all(
        connection, EventRecord, _named(_events).where(pagination.among(connection, _events.c.id, event_ids))
    )
    by_id = {event.id: event for event in found}
    return [by_id[event_id] for event_id in event_ids if event_id in by_id]


class PaymentEvent(NamedTuple):
    """An event of a payment, as much of it as a line of a bank's list is compared with."""

    id: str
    type: str
    payment_id: str
    amount: str | None
    currency: str | None
    facts: dict[str, Any]


def of_payments(connection: Connection, source_id: int, payment_ids: Sequence[str]) -> list[PaymentEvent]:
    """Return all events of a source about these payments, oldest first."""
    query = select(*columns_of(PaymentEvent, _events)).where(
        pagination.among(connection, _events.c.payment_id, payment_ids),
        *pagination.beside(_events.c.source_id, [source_id], 0),
    )
    return fetch_all(connection, PaymentEvent, query.order_by(_events.c.id))


def conflicting(connection: Connection, *, limit: int) -> list[EventRecord]:
    """Return events that were told with other content too, newest first. There is no index: it passes over the others.

    Ask only where a person waits for it.
    """
    query = _named(_events).where(_events.c.conflict).order_by(_events.c.id.desc()).limit(limit)
    return fetch_all(connection, EventRecord, query)


def identity_of(connection: Connection, event_id: str) -> bytes:
    """Return the SHA-256 of what makes an event this one and no other."""
    return bytes(connection.execute(select(_events.c.identity).where(_events.c.id == event_id)).scalar_one())


def raw(connection: Connection, event_id: str) -> bytes | None:
    """Return the body of the delivery that first told the event, free of content codings."""
    query = (
        select(_deliveries.c.body)
        .join(_events, _events.c.delivery_id == _deliveries.c.id)
        .where(_events.c.id == event_id)
    )
    found: bytes | None = connection.execute(query).scalar_one_or_none()
    return None if found is None else bytes(found)


def raw_bytes(connection: Connection, event_id: str) -> int | None:
    """Return how many bytes `raw` returns; none where it returns none."""
    query = (
        select(_deliveries.c.body_bytes)
        .join(_events, _events.c.delivery_id == _deliveries.c.id)
        .where(_events.c.id == event_id, _deliveries.c.body.is_not(None))
    )
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def deliveries_of(connection: Connection, event_id: str) -> list[EventDelivery]:
    """Return the deliveries that told an event, the first one first."""
    first = select(*columns_of(EventDelivery, _deliveries, conflict=literal(False))).join_from(
        _events, _deliveries, _events.c.delivery_id == _deliveries.c.id
    )
    later = select(*columns_of(EventDelivery, _deliveries, conflict=_repeats.c.conflict)).join_from(
        _repeats, _deliveries, _repeats.c.delivery_id == _deliveries.c.id
    )
    repeats = later.where(_repeats.c.event_id == event_id).order_by(_repeats.c.delivery_id)
    return [
        *fetch_all(connection, EventDelivery, first.where(_events.c.id == event_id)),
        *fetch_all(connection, EventDelivery, repeats),
    ]


def ids_of_delivery(connection: Connection, delivery_id: str) -> tuple[str, ...]:
    """Return the ids of the events that a delivery told, for the first time or once more."""
    ids = union(
        select(_events.c.id).where(_events.c.delivery_id == delivery_id),
        select(_repeats.c.event_id).where(_repeats.c.delivery_id == delivery_id),
    )
    return tuple(sorted(connection.execute(ids).scalars()))


class _Said(NamedTuple):
    """What the feed says of an event, in columns that are written once."""

    event_id: str
    payment_id: str | None
    claimed_status: Status | None
    amount: str | None
    currency: str | None
    proof: ProofStrength
    payload_sha256: str
    late: bool
    facts: dict[str, Any]


def feed_data(connection: Connection, event_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return, by their ids, the `data` of the feed's entries of events: the same whenever it is read.

    But for a reference, whose payment is filled in once the bank has named it: of that one the entry holds a copy.
    """
    if not event_ids:
        return {}
    query = select(*columns_of(_Said, _events, event_id=_events.c.id)).where(_events.c.id.in_(event_ids))
    found = {}
    for said in fetch_all(connection, _Said, query):
        data = said._asdict()
        # Said only where there is something to say.
        found[said.event_id] = {name: data[name] for name in data if data[name] or name not in ("late", "facts")}
    return found


FACTS_FROM = 50
"""Events of one payment that are looked at for facts; no bank sends more of one."""


def facts_about(connection: Connection, source_id: int, payment_id: str) -> dict[str, Any]:
    """Return what the events about a payment told besides its status, the latest word on each fact."""
    query = (
        select(_events.c.facts)
        .where(_events.c.payment_id == payment_id, *pagination.beside(_events.c.source_id, [source_id], 0))
        .order_by(_events.c.id.desc())
        .limit(FACTS_FROM)
    )
    found: dict[str, Any] = {}
    for facts in connection.execute(query).scalars():
        found = {**facts, **found}
    return found


def latest(connection: Connection, source_id: int, until: datetime) -> datetime | None:
    """Return when the latest event of a source before `until` (UTC) came by a callback.

    What only asking the bank has shown came by none. A clock that was ahead has dated some later than now.
    """
    is_before = _events.c.id < lowest_id("evt", until)
    has_come = [pagination.leading(_events.c.source_id, source_id), _events.c.delivery_id.is_not(None), is_before]
    newest_first = (_events.c.source_id.desc(), _events.c.id.desc())
    query = select(_events.c.received_at).where(*has_come).order_by(*newest_first).limit(1)
    found: datetime | None = connection.execute(query).scalar_one_or_none()
    return found
