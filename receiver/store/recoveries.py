"""Races between a sweep and a callback of the same payment: the two never make two events (recovery).

A callback is written down without a look at what a sweep does. So that the two never make two events of one payment, a
row that names the payment (an expectation) is committed first, and the event is made once every transaction that was
open then has ended: a callback of one of these is seen by then, and every later one looks for such a row when its own
event is written, and finds it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, text, update

from receiver.model import ExceptionKind
from receiver.store import bank_lines, exceptions, joining, outbox, pagination
from receiver.store.bank_lines import LineRecord
from receiver.store.bulk_insert import BulkInsert
from receiver.store.joining import Parts
from receiver.store.records import DeliveredEvent, NewDelivery, NewEvent, columns_of, fetch_all
from receiver.store.tables import BankLine, Delivery, Event, PendingEvent, Recovery, table_of

_recoveries, _lines, _events, _deliveries, _pending = (
    table_of(model) for model in (Recovery, BankLine, Event, Delivery, PendingEvent)
)

MADE_AT_ONCE = 50
"""Events in one transaction: on SQLite callbacks wait for it."""

_expect = BulkInsert(_recoveries, ("line_id", "source_id", "name", "since"), unique=["line_id"]).run


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


_ANY_ON_SQLITE = "SELECT EXISTS (SELECT 1 FROM recoveries)"
_NAMED_ON_SQLITE = "SELECT id FROM recoveries WHERE name IN (SELECT value FROM json_each(?))"
_NAMED_ON_POSTGRESQL = "SELECT id FROM recoveries WHERE name = ANY(%(names)s::text[])"
_FOUND = select(*columns_of(_Found, _recoveries, _lines)).join_from(
    _recoveries, _lines, _lines.c.id == _recoveries.c.line_id
)


def met_by(connection: Connection, new: Sequence[DeliveredEvent]) -> dict[str, str]:
    """Have events that were just written in this transaction meet what was recovered.

    An event that was recovered is met by its own type alone: one of another type is another notification. What is only
    expected is met by any, and looked at once more.

    It returns, by the id of an event that is not needed, that of the recovered one that tells the same: the new one is
    gone, and the recovered one says what the callback does, and is proven by what proves that. Where nothing was
    recovered it is one look for rows that are not there.
    """
    if connection.dialect.name == "sqlite" and not connection.exec_driver_sql(_ANY_ON_SQLITE).scalar():
        return {}
    names = {id(event): joining.names_of(event.payment_id, event.subject, event.facts) for _, event in new}
    asked = sorted(set().union(*names.values())) if names else []
    found = _locked(connection, asked) if asked else []
    types = _types(connection, [recovery.event_id for recovery in found if recovery.event_id is not None])
    joined: dict[str, str] = {}
    for recovery in found:
        type_ = types.get(recovery.event_id or "")
        fitting = (pair for pair in new if pair[1].id not in joined and pair[1].type == (type_ or pair[1].type))
        pair = next((pair for pair in fitting if _is_met(recovery, pair, names)), None)
        if pair is not None:
            connection.execute(delete(_recoveries).where(_recoveries.c.id == recovery.id))
            if recovery.event_id is not None:
                joined[pair[1].id] = recovery.event_id
                _take_over(connection, recovery.event_id, *pair)
    return joined


def named(connection: Connection, names: Sequence[str]) -> list[int]:
    """Return the numbers of the recoveries of these names: each group of callbacks asks, so it is plain SQL."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(_NAMED_ON_SQLITE, (json.dumps(names),))
    else:
        rows = connection.exec_driver_sql(_NAMED_ON_POSTGRESQL, {"names": list(names)})
    return list(rows.scalars())


def _locked(connection: Connection, names: Sequence[str]) -> list[_Found]:
    """Return the recoveries of these names; others wait with them until the transaction ends."""
    ids = named(connection, names)
    if not ids:
        return []
    # In one order for all writers. What a sweep is making an event of is waited for, and is seen as that has left it.
    query = _FOUND.where(pagination.among(connection, _recoveries.c.id, ids)).order_by(_recoveries.c.id)
    return fetch_all(connection, _Found, query.with_for_update(of=_recoveries, key_share=True))


def _types(connection: Connection, event_ids: Sequence[str]) -> dict[str, str]:
    """Return the types of recovered events, by their ids; a line may be of another type by now than its event."""
    # In a statement of its own: the one that waits for a lock does not see what was committed elsewhere meanwhile.
    query = select(_events.c.id, _events.c.type).where(pagination.among(connection, _events.c.id, event_ids))
    return {row.id: row.type for row in connection.execute(query)} if event_ids else {}


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
    ids = sorted(connection.execute(query).scalars())
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


def await_callbacks(connection: Connection, event_ids: Mapping[int, str]) -> None:
    """Have the callbacks of lines meet the events that were made of them; those are given by the lines' numbers."""
    for line_id, event_id in sorted(event_ids.items()):
        connection.execute(update(_recoveries).where(_recoveries.c.line_id == line_id).values(event_id=event_id))
    # What has no name can be met by no callback.
    of_lines = pagination.among(connection, _recoveries.c.line_id, sorted(event_ids))
    connection.execute(delete(_recoveries).where(of_lines, _recoveries.c.name.is_(None)))


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
