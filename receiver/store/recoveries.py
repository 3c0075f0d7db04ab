"""What a sweep found and no callback has come for (recovered), and the callback that comes for it after all.

A callback is written down without a look at what a sweep does. So that the two never make two events of one payment, a
row that names the payment (an expectation) is committed first, and the event is made once every transaction that was
open then has ended: a callback of one of these is seen by then, and every later one looks for such a row when its own
event is written, and finds it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, text, update

from receiver.model import ExceptionKind, OwnType, ProofStrength, SubjectKind
from receiver.store import bank_lines, claims, exceptions, joining, outbox, pagination, particulars
from receiver.store.bank_lines import LineRecord
from receiver.store.bulk_insert import BulkInsert, RowValues
from receiver.store.claims import NewClaim
from receiver.store.exceptions import Opened
from receiver.store.joining import Parts
from receiver.store.outbox import NewEntry
from receiver.store.particulars import ACCOUNTS, REFERENCES
from receiver.store.records import DeliveredEvent, NewDelivery, NewEvent, columns_of, fetch_all, new_id
from receiver.store.tables import BankLine, Delivery, Event, PendingEvent, Recovery, table_of

_recoveries, _lines, _events, _deliveries, _pending = (
    table_of(model) for model in (Recovery, BankLine, Event, Delivery, PendingEvent)
)

SWEEP = "sweep"
"""What found such an event."""

MADE_AT_ONCE = 50
"""Events in one transaction: on SQLite callbacks wait for it."""

_expect = BulkInsert(_recoveries, ("line_id", "source_id", "name", "since"), unique=["line_id"]).run

_insert_events = BulkInsert(
    _events,
    (
        *NewEvent._fields,
        *("source_id", "received_at", "payload_sha256", "proof_key", "conflict", "found_by"),
    ),
).run


# A callback has come


class _Found(NamedTuple):
    """A recovery whose name an event has, with what its line says."""

    id: int
    source_id: int
    name: str
    event_id: str | None
    account: str | None
    direction: str | None
    amount: str | None
    currency: str | None

    @property
    def parts(self) -> Parts:
        return joining.of_line(self.account, self.direction, self.amount, self.currency)


_ANY_ON_SQLITE = text("SELECT EXISTS (SELECT 1 FROM recoveries)")
_FOUND = select(*columns_of(_Found, _recoveries, _lines)).join_from(
    _recoveries, _lines, _lines.c.id == _recoveries.c.line_id
)


def met_by(connection: Connection, new: Sequence[DeliveredEvent]) -> dict[str, str]:
    """Have events that were just written in this transaction meet what was recovered.

    It returns, by the id of an event that is not needed, that of the recovered one that tells the same: the new one is
    gone, and the recovered one says what the callback does, and is proven by what proves that. Where nothing was
    recovered it is one look for rows that are not there.
    """
    if connection.dialect.name == "sqlite" and not connection.execute(_ANY_ON_SQLITE).scalar():
        return {}
    names = {id(event): joining.names_of(event.payment_id, event.subject, event.facts) for _, event in new}
    asked = sorted(set().union(*names.values())) if names else []
    found = _locked(connection, asked) if asked else []
    joined: dict[str, str] = {}
    for recovery in found:
        pair = next((pair for pair in new if pair[1].id not in joined and _is_met(recovery, pair, names)), None)
        if pair is not None:
            connection.execute(delete(_recoveries).where(_recoveries.c.id == recovery.id))
            if recovery.event_id is not None:
                joined[pair[1].id] = recovery.event_id
                _take_over(connection, recovery.event_id, *pair)
    return joined


def named(connection: Connection, names: Sequence[str]) -> list[int]:
    """Return the numbers of the recoveries of these names."""
    query = select(_recoveries.c.id).where(pagination.among(connection, _recoveries.c.name, names))
    return list(connection.execute(query).scalars())


def _locked(connection: Connection, names: Sequence[str]) -> list[_Found]:
    """Return the recoveries of these names; others wait with them until the transaction ends."""
    ids = named(connection, names)
    if not ids:
        return []
    # In one order for all writers. What a sweep is making an event of is waited for, and is seen as that has left it.
    query = _FOUND.where(pagination.among(connection, _recoveries.c.id, ids)).order_by(_recoveries.c.id)
    return fetch_all(connection, _Found, query.with_for_update(of=_recoveries, key_share=True))


def _is_met(recovery: _Found, pair: DeliveredEvent, names: Mapping[int, set[str]]) -> bool:
    delivery, event = pair
    if delivery.source_id != recovery.source_id or recovery.name not in names[id(event)]:
        return False
    return joining.of_event(event.amount, event.currency, event.facts).is_same(recovery.parts)


def _take_over(connection: Connection, event_id: str, delivery: NewDelivery, event: NewEvent) -> None:
    """Have the recovered event say what its callback does, in place of the event that was written for that."""
    connection.execute(delete(_pending).where(_pending.c.event_id == event.id))
    connection.execute(delete(_events).where(_events.c.id == event.id))
    said = {name: value for name, value in event._asdict().items() if name != "id"}
    proven = {
        "delivery_id": delivery.id,
        "payload_sha256": delivery.body_sha256,
        "proof_key": delivery.proof_key,
    }
    connection.execute(update(_events).where(_events.c.id == event_id).values(**said, **proven))
    # What follows from that is derived later, as from every event.
    outbox.leave_events.run(connection, [(event_id,)])


# A sweep goes on


class Expected(NamedTuple):
    """Rows that were committed by now, and what has to end before events may be made of them."""

    ids: Sequence[int]
    horizon: int


def expect(connection: Connection, lines: Sequence[LineRecord], now: datetime) -> None:
    """Leave word that no callback has come for lines, in the caller's transaction; idempotent."""
    rows = [(line.id, line.source_id, line.payment_id or line.reference, now) for line in lines]
    _expect(connection, sorted(rows, key=lambda row: row[0]))


def expected(connection: Connection, source_id: int) -> Expected:
    """Return what is left to be made an event of, of one source; to be called in a transaction of its own."""
    query = select(_recoveries.c.id).where(_recoveries.c.source_id == source_id, _recoveries.c.event_id.is_(None))
    ids = list(connection.execute(query.order_by(_recoveries.c.id)).scalars())
    return Expected(ids, _snapshot(connection, "xmax"))


def lines_of(connection: Connection, ids: Sequence[int]) -> list[LineRecord]:
    """Return the lines that rows are about."""
    query = select(_recoveries.c.line_id).where(pagination.among(connection, _recoveries.c.id, ids))
    return bank_lines.by_ids(connection, list(connection.execute(query).scalars()))


def has_passed(connection: Connection, horizon: int) -> bool:
    """Tell whether every transaction has ended that was open when rows were `expected`."""
    return _snapshot(connection, "xmin") >= horizon


def _snapshot(connection: Connection, bound: str) -> int:
    """Return a bound of the transactions that are under way; SQLite has one writer at a time, who sees all."""
    if connection.dialect.name == "sqlite":
        return 0
    return int(connection.execute(text(f"SELECT pg_snapshot_{bound}(pg_current_snapshot())::text")).scalar_one())


def lock_expected(connection: Connection, line_ids: Sequence[int]) -> list[LineRecord]:
    """Return those of the lines that are still expected; callbacks wait with these until the transaction ends."""
    query = (
        select(_recoveries.c.line_id)
        .where(pagination.among(connection, _recoveries.c.line_id, line_ids), _recoveries.c.event_id.is_(None))
        .order_by(_recoveries.c.id)
        .with_for_update(key_share=True)
    )
    return bank_lines.by_ids(connection, list(connection.execute(query).scalars()))


def drop_expected(connection: Connection, line_ids: Sequence[int]) -> None:
    """Forget that no callback had come for lines: one has."""
    is_expected = (pagination.among(connection, _recoveries.c.line_id, line_ids), _recoveries.c.event_id.is_(None))
    connection.execute(delete(_recoveries).where(*is_expected))


def make_events(connection: Connection, lines: Sequence[LineRecord], now: datetime) -> list[str]:
    """Make an event of each of these lines, in the caller's transaction, which holds them locked; return their ids.

    Nothing proves it. The feed gets one entry for each, what it is about becomes due to be asked about, and a person is
    to look at it.
    """
    made = [(_event_of(line, now), line) for line in lines]
    _insert_events(connection, [_row(event, line, now) for event, line in made])
    for event, line in made:
        bank_lines.join(connection, line.id, line.list_name, event.id)
        connection.execute(update(_recoveries).where(_recoveries.c.line_id == line.id).values(event_id=event.id))
    outbox.append_all(connection, [_entry(event, line, now) for event, line in made])
    claims.make_due(connection, [_claim(event, line, now) for event, line in made if event.kind != SubjectKind.NONE])
    exceptions.open_all(connection, [_opened(event, line) for event, line in made], now)
    # What has no name can be met by no callback.
    nameless = [line.id for _, line in made if not (line.payment_id or line.reference)]
    connection.execute(delete(_recoveries).where(_recoveries.c.line_id.in_(nameless)))
    return [event.id for event, _ in made]


def _event_of(line: LineRecord, now: datetime) -> NewEvent:
    kind = SubjectKind.PAYMENT if line.payment_id else SubjectKind.REFERENCE if line.reference else SubjectKind.NONE
    return NewEvent(
        id=new_id("evt", now),
        identity=hashlib.sha256(json.dumps([SWEEP, line.identity]).encode()).digest(),
        content_sha256=_digest(line),
        type=line.type,
        kind=kind,
        subject=line.payment_id or line.reference,
        payment_id=line.payment_id,
        # To be listed proves no status: the bank is asked for that.
        claimed_status=None,
        amount=line.amount,
        currency=line.currency,
        facts=_facts(line),
        proof=ProofStrength.NONE,
    )


def _digest(line: LineRecord) -> str:
    """Return the SHA-256 of what the bank's list says, as JSON."""
    said = {name: value for name, value in line._asdict().items() if name not in ("id", "source_id", "event_id")}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _facts(line: LineRecord) -> dict[str, Any]:
    """Return what else the list told, by the names that facts of callbacks have."""
    facts = {**line.detail, "direction": line.direction, "bank_status": line.bank_status}
    if not any(name in facts for name in ACCOUNTS):
        facts["account_number"] = line.account
    if not any(name in facts for name in REFERENCES):
        facts["reference"] = line.reference
    if line.at is not None:
        facts["bank_time"] = line.at.isoformat()
    return {name: value for name, value in facts.items() if value is not None}


def _row(event: NewEvent, line: LineRecord, now: datetime) -> RowValues:
    return (*event, line.source_id, now, event.content_sha256, "", False, SWEEP)


def _entry(event: NewEvent, line: LineRecord, now: datetime) -> NewEntry:
    said = {
        "payment_id": line.payment_id,
        "type": line.type,
        "bank_status": line.bank_status,
        "amount": line.amount,
        "currency": line.currency,
        "account": line.account,
        "direction": line.direction,
        "reference": line.reference or next(iter(particulars.texts(event.facts, REFERENCES)), None),
        "bank_time": None if line.at is None else line.at.isoformat().replace("+00:00", "Z"),
        "proof": str(ProofStrength.NONE),
        "found_by": SWEEP,
    }
    data = {name: value for name, value in said.items() if value is not None or name == "payment_id"}
    return NewEntry(OwnType.PAYMENT_RECOVERED, line.source_id, event.subject, event.id, data, now)


def _claim(event: NewEvent, line: LineRecord, now: datetime) -> NewClaim:
    subject = event.subject or ""
    return NewClaim(line.source_id, event.kind, subject, None, line.amount, line.currency, event.id, now)


def _opened(event: NewEvent, line: LineRecord) -> Opened:
    words = "a sweep found it at the bank, and no callback has come"
    about = ("event", event.id, event.id, None, line.amount, line.currency, 1, words)
    return Opened(ExceptionKind.RECOVERED, line.source_id, *about)


# What follows once a callback has come


def came_at(connection: Connection, event_ids: Sequence[str]) -> dict[str, datetime]:
    """Return when the callbacks of events came that a sweep had found (UTC), by the events' ids."""
    query = (
        select(_events.c.id, _deliveries.c.received_at)
        .join_from(_events, _deliveries, _deliveries.c.id == _events.c.delivery_id)
        .where(pagination.among(connection, _events.c.id, event_ids))
    )
    return {row.id: row.received_at for row in connection.execute(query)}


def settle_met(connection: Connection, sources: Mapping[str, int], came: Mapping[str, datetime]) -> None:
    """Resolve that no callback had come for events, in the caller's transaction; both are by the events' ids."""
    for event_id, at in sorted(came.items()):
        exceptions.resolve_about(connection, ExceptionKind.RECOVERED, sources[event_id], "event", event_id, at)


def unmet(connection: Connection, source_id: int) -> int:
    """Return how many events a sweep has made of what no callback has come for yet."""
    query = select(func.count()).where(_recoveries.c.source_id == source_id, _recoveries.c.event_id.is_not(None))
    number: int = connection.execute(query).scalar_one()
    return number
