"""Writing down genuine deliveries, each once (idempotency), with their events and nothing else.

All that follows from an event is derived once it is committed: see `receiver.projection`.

Deliveries that come in together are written together: a statement for each table, not for each delivery.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select, update

from receiver.model import Verdict
from receiver.store import outbox, recoveries, search_index
from receiver.store.bulk_insert import BulkInsert, LinkedInserts, RowValues
from receiver.store.events import ids_of_delivery
from receiver.store.records import (
    DeliveredEvent,
    DeliveryWithEvents,
    NewDelivery,
    NewEvent,
    NonceReused,
    Recorded,
    columns_of,
    fetch_all,
)
from receiver.store.tables import Delivery, Event, HeldEvent, Repeat, table_of

_deliveries, _events, _held, _repeats = (table_of(model) for model in (Delivery, Event, HeldEvent, Repeat))

LOOKED_UP_AT_ONCE = 500
"""Identities in one statement; SQLite takes 32,766 parameters, PostgreSQL 65,535."""

_ACCEPTED = str(Verdict.ACCEPTED)

_insert_deliveries = BulkInsert(
    _deliveries, (*NewDelivery._fields, "verdict", "proven", "body_bytes"), unique=["source_id", "nonce"]
)
_insert_events = BulkInsert(
    _events,
    (
        *NewEvent._fields,
        *("source_id", "delivery_id", "received_at", "payload_sha256", "proof_key", "conflict"),
    ),
    unique=["source_id", "identity"],
)
_insert_all = LinkedInserts(_insert_deliveries, (_insert_events, "delivery_id"), (outbox.leave_events, "event_id"))
_insert_events_alone = LinkedInserts(_insert_events, (outbox.leave_events, "event_id"))
_insert_repeats = BulkInsert(
    _repeats, ("event_id", "delivery_id", "conflict", "received_at"), unique=["event_id", "delivery_id"]
)


def record(connection: Connection, delivery: NewDelivery, events: Sequence[NewEvent]) -> Recorded:
    """Write one delivery down, once, in the caller's transaction.

    Raises:
        NonceReused: nothing is written of it.
    """
    outcome = record_all(connection, [(delivery, events)])[0]
    if isinstance(outcome, NonceReused):
        raise outcome
    return outcome


def record_all(connection: Connection, deliveries: Sequence[DeliveryWithEvents]) -> list[Recorded | NonceReused]:
    """Write deliveries down, each once, in the caller's transaction, and say of each what became of it.

    Nothing is written of one that gets `NonceReused`.
    """
    # In one order for all writers (nonces here, identities below), so that no two ever wait for each other in a circle.
    in_order = sorted(deliveries, key=lambda pair: (pair[0].source_id, pair[0].nonce or ""))
    rows = [_delivery_row(delivery) for delivery, _ in in_order]
    pairs = [(delivery, event) for delivery, events in deliveries for event in events]
    by_identity = _by_identity(pairs)
    taken, new, _ = _insert_all.run(connection, [rows, *_event_rows(pairs, by_identity)])
    joined = _join_recovered(connection, by_identity, new)
    firsts = joined | _insert_repeated(connection, [pair for pair in by_identity if _is_repeated(pair, taken, new)])
    return [
        _outcome(connection, delivery, events, firsts) if delivery.id in taken else _known(connection, delivery, events)
        for delivery, events in deliveries
    ]


def release(connection: Connection, delivery: NewDelivery, events: Sequence[NewEvent]) -> Recorded:
    """Accept a delivery that is stored as late, in the caller's transaction, once, however many try to at once."""
    is_late = (_deliveries.c.id == delivery.id, _deliveries.c.verdict == Verdict.LATE)
    changed = update(_deliveries).where(*is_late).values(verdict=Verdict.ACCEPTED)
    if connection.execute(changed.returning(_deliveries.c.id)).first() is None:
        return Recorded(ids_of_delivery(connection, delivery.id), is_new=False)
    connection.execute(delete(_held).where(_held.c.delivery_id == delivery.id))
    pairs = [(delivery, event) for event in events]
    by_identity = _by_identity(pairs)
    new, _ = _insert_events_alone.run(connection, _event_rows(pairs, by_identity))
    joined = _join_recovered(connection, by_identity, new)
    firsts = joined | _insert_repeated(connection, [pair for pair in by_identity if pair[1].id not in new])
    return _outcome(connection, delivery, events, firsts)


def _by_identity(pairs: Sequence[DeliveredEvent]) -> list[DeliveredEvent]:
    return sorted(pairs, key=lambda pair: (pair[0].source_id, pair[1].identity))


def _event_rows(pairs: Sequence[DeliveredEvent], by_identity: Sequence[DeliveredEvent]) -> list[list[RowValues]]:
    """Return the rows of events, by their identity, and of what follows from them, in the order in which they came."""
    return [[_event_row(*pair) for pair in by_identity], [(event.id,) for _, event in pairs]]


def _is_repeated(pair: DeliveredEvent, taken: set[str], new: set[str]) -> bool:
    return pair[0].id in taken and pair[1].id not in new


def _delivery_row(delivery: NewDelivery) -> RowValues:
    return (*delivery, _ACCEPTED, True, len(delivery.body))


def _event_row(delivery: NewDelivery, event: NewEvent) -> RowValues:
    return (
        *event,
        delivery.source_id,
        delivery.id,
        delivery.received_at,
        delivery.body_sha256,
        delivery.proof_key,
        False,
    )


def _known(connection: Connection, delivery: NewDelivery, events: Sequence[NewEvent]) -> Recorded | NonceReused:
    """Judge a delivery whose nonce was there before it: a duplicate, or a nonce used for another body."""
    first = first_of(connection, delivery)
    assert first is not None  # noqa: S101 - the insert has met it
    if isinstance(first, NonceReused):
        return first
    if first.verdict == Verdict.LATE:
        # It is fresh by now: a clock was off, or it had been signed ahead.
        return release(connection, delivery._replace(id=first.id), events)
    return Recorded(ids_of_delivery(connection, first.id), is_new=False)


class FirstDelivery(NamedTuple):
    """The delivery that brought a nonce, and what became of it."""

    id: str
    verdict: Verdict


def first_of(connection: Connection, delivery: NewDelivery) -> FirstDelivery | NonceReused | None:
    """Return the stored delivery of the same nonce, body and path; none where the nonce is new."""
    first = connection.execute(
        select(_deliveries.c.id, _deliveries.c.verdict, _deliveries.c.body_sha256, _deliveries.c.path).where(
            _deliveries.c.source_id == delivery.source_id, _deliveries.c.nonce == delivery.nonce
        )
    ).one_or_none()
    if first is None:
        return None
    if first.body_sha256 != delivery.body_sha256 or first.path != delivery.path:
        return NonceReused(f"nonce {delivery.nonce!r} came with another body in {first.id}")
    return FirstDelivery(first.id, first.verdict)


class _First(NamedTuple):
    """The event of the same identity that was there before; `conflict` is true where it says something else."""

    id: str
    delivery_id: str | None
    payload_sha256: str
    conflict: bool


def _join_recovered(
    connection: Connection, by_identity: Sequence[DeliveredEvent], new: Collection[str]
) -> dict[str, _First]:
    """Have new events that a sweep has found before be these, and return those by the ids that they were to have."""
    pairs = {event.id: (delivery, event) for delivery, event in by_identity if event.id in new}
    # After the insert: what a sweep expects is there by then, or it waits for this transaction (`recoveries`).
    met = recoveries.met_by(connection, list(pairs.values())) if pairs else {}
    deliveries = {event_id: pairs[event_id][0] for event_id in met}
    return {
        event_id: _First(met[event_id], delivery.id, delivery.body_sha256, conflict=False)
        for event_id, delivery in deliveries.items()
    }


def _insert_repeated(connection: Connection, repeated: Sequence[DeliveredEvent]) -> dict[str, _First]:
    """Write down events that came before, and return, by the id that each was to have, the one that was there."""
    if not repeated:
        return {}
    stored = _stored(connection, repeated)
    firsts = {}
    for delivery, event in repeated:
        row = stored[delivery.source_id, event.identity]
        conflict = row.content_sha256 != event.content_sha256
        firsts[event.id] = _First(row.id, row.delivery_id, row.payload_sha256, conflict)
    repeats: list[tuple[str, str, bool, datetime]] = [
        (first.id, delivery.id, first.conflict, delivery.received_at)
        for delivery, event in repeated
        if (first := firsts[event.id]).delivery_id != delivery.id
    ]
    repeats.sort(key=lambda row: row[:2])
    _insert_repeats.run(connection, repeats)
    conflicting = sorted({first.id for first in firsts.values() if first.conflict})
    for event_id in conflicting:
        connection.execute(update(_events).where(_events.c.id == event_id).values(conflict=True))
    search_index.note_conflicts(connection, conflicting)
    return firsts


class _Stored(NamedTuple):
    id: str
    identity: bytes
    content_sha256: str
    delivery_id: str | None
    payload_sha256: str


def _stored(connection: Connection, pairs: Sequence[DeliveredEvent]) -> dict[tuple[int, bytes], _Stored]:
    """Return the stored events of the same identities, by source and identity."""
    found: dict[tuple[int, bytes], _Stored] = {}
    for source_id in {delivery.source_id for delivery, _ in pairs}:
        identities = [event.identity for delivery, event in pairs if delivery.source_id == source_id]
        for start in range(0, len(identities), LOOKED_UP_AT_ONCE):
            asked = identities[start : start + LOOKED_UP_AT_ONCE]
            query = select(*columns_of(_Stored, _events)).where(
                _events.c.source_id == source_id, _events.c.identity.in_(asked)
            )
            found |= {(source_id, bytes(row.identity)): row for row in fetch_all(connection, _Stored, query)}
    return found


def _outcome(
    connection: Connection, delivery: NewDelivery, events: Sequence[NewEvent], firsts: Mapping[str, _First]
) -> Recorded:
    seen = [firsts[event.id] for event in events if event.id in firsts]
    is_new = not events or len(seen) < len(events)
    if not is_new:
        _mark_duplicate(connection, delivery, seen)
    ids = dict.fromkeys(firsts[event.id].id if event.id in firsts else event.id for event in events)
    return Recorded(tuple(ids), is_new, any(first.conflict for first in seen))


def _mark_duplicate(connection: Connection, delivery: NewDelivery, firsts: Sequence[_First]) -> None:
    values: dict[str, Any] = {"verdict": Verdict.DUPLICATE}
    if all(first.payload_sha256 == delivery.body_sha256 and first.delivery_id != delivery.id for first in firsts):
        # The same bytes are stored with the first one.
        values["body"] = None
    connection.execute(update(_deliveries).where(_deliveries.c.id == delivery.id).values(**values))
