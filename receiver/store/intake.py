"""Writing down one genuine delivery: the delivery, its events, their feed entries, and what to ask the bank about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, or_, select, union, update

from receiver.store import feed
from receiver.store.statements import insert_or_skip, upsert
from receiver.store.tables import Delivery, Event, Repeat, Subject, table_of

_deliveries, _events, _repeats, _subjects = (table_of(model) for model in (Delivery, Event, Repeat, Subject))

SUBJECT_KINDS = ("payment", "job", "reference")
"""What the bank can be asked about."""


class NonceReused(Exception):
    """The nonce was used before, by a delivery with another body."""


@dataclass(frozen=True)
class NewDelivery:
    """A delivery whose signature was right; `body` is free of content codings, times are UTC."""

    id: str
    source_id: int
    received_at: datetime
    peer: str
    path: str
    channel: str | None
    headers: dict[str, str]
    nonce: str | None
    signed_at: datetime | None
    proof_key: str
    body: bytes
    body_sha256: str


@dataclass(frozen=True)
class NewEvent:
    """One thing that a delivery tells."""

    id: str
    identity: bytes
    content_sha256: str
    type: str
    kind: str
    subject: str | None
    payment_id: str | None
    claimed_status: str | None
    amount: str | None
    currency: str | None
    facts: dict[str, Any]
    proof: str


@dataclass(frozen=True)
class Recorded:
    """What became of a delivery: its events in its own order, whether any is new, whether any conflicts."""

    event_ids: tuple[str, ...]
    is_new: bool
    has_conflict: bool = False


def record(connection: Connection, delivery: NewDelivery, events: Sequence[NewEvent]) -> Recorded:
    """Write a delivery down, once, in the caller's transaction.

    Raises:
        NonceReused: nothing must be kept of it; roll back.
    """
    if not _insert_delivery(connection, delivery):
        return _the_same_again(connection, delivery)
    ids: dict[bytes, str] = {}
    new: set[str] = set()
    has_conflict = False
    # In the order of their identities, so that two writers with events in common never wait for each other in a circle.
    for event in sorted(events, key=lambda event: event.identity):
        if _insert_event(connection, delivery, event):
            ids[event.identity] = event.id
            new.add(event.id)
            continue
        ids[event.identity], conflict = _note_repeat(connection, delivery, event)
        has_conflict |= conflict
    _follow_up(connection, delivery, [event for event in events if event.id in new])
    if not new:
        _mark_duplicate(connection, delivery, next(iter(ids.values())))
    return Recorded(tuple(dict.fromkeys(ids[event.identity] for event in events)), bool(new), has_conflict)


def _insert_delivery(connection: Connection, delivery: NewDelivery) -> bool:
    values = dict(vars(delivery), verdict="accepted", proven=True, body_bytes=len(delivery.body))
    return insert_or_skip(connection, _deliveries, ["source_id", "nonce"], values)


def _the_same_again(connection: Connection, delivery: NewDelivery) -> Recorded:
    first = connection.execute(
        select(_deliveries.c.id, _deliveries.c.body_sha256, _deliveries.c.path).where(
            _deliveries.c.source_id == delivery.source_id, _deliveries.c.nonce == delivery.nonce
        )
    ).one()
    if first.body_sha256 != delivery.body_sha256 or first.path != delivery.path:
        raise NonceReused(f"nonce {delivery.nonce!r} came with another body in {first.id}")
    return Recorded(events_of(connection, first.id), is_new=False)


def events_of(connection: Connection, delivery_id: str) -> tuple[str, ...]:
    """Return the ids of the events that a delivery told, as new or again."""
    told = union(
        select(_events.c.id).where(_events.c.delivery_id == delivery_id),
        select(_repeats.c.event_id).where(_repeats.c.delivery_id == delivery_id),
    )
    return tuple(sorted(connection.execute(told).scalars()))


def _insert_event(connection: Connection, delivery: NewDelivery, event: NewEvent) -> bool:
    values = dict(
        vars(event),
        source_id=delivery.source_id,
        delivery_id=delivery.id,
        received_at=delivery.received_at,
        payload_sha256=delivery.body_sha256,
        proof_key=delivery.proof_key,
        conflict=False,
    )
    return insert_or_skip(connection, _events, ["source_id", "identity"], values)


def _follow_up(connection: Connection, delivery: NewDelivery, new: Sequence[NewEvent]) -> None:
    """Tell the feed of new events, in the delivery's order, and make what they are about due."""
    for event in new:
        feed.append(
            connection,
            type=event.type,
            source_id=delivery.source_id,
            subject=event.subject,
            event_id=event.id,
            data=_feed_data(delivery, event),
            now=delivery.received_at,
        )
    # Again in one order for all writers: different events may be about the same subjects.
    about = [event for event in new if event.kind in SUBJECT_KINDS and event.subject is not None]
    for event in sorted(about, key=lambda event: (event.kind, event.subject or "")):
        _ask_the_bank(connection, delivery, event)


def _feed_data(delivery: NewDelivery, event: NewEvent) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "payment_id": event.payment_id,
        "claimed_status": event.claimed_status,
        "amount": event.amount,
        "currency": event.currency,
        "proof": event.proof,
        "payload_sha256": delivery.body_sha256,
        **({"facts": event.facts} if event.facts else {}),
    }


def _ask_the_bank(connection: Connection, delivery: NewDelivery, event: NewEvent) -> None:
    """Make the subject due at once. A claim that it is pending never takes back a later one."""
    now = delivery.received_at
    statement = upsert(connection, _subjects).values(
        source_id=delivery.source_id,
        kind=event.kind,
        subject=event.subject,
        status="unknown",
        agreement="unconfirmed",
        claimed_status=event.claimed_status,
        amount=event.amount,
        currency=event.currency,
        last_event_id=event.id,
        created_at=now,
        updated_at=now,
        due_at=now,
        attempts=0,
    )
    claimed = statement.excluded.claimed_status
    says_less = or_(claimed.is_(None), (claimed == "pending") & _subjects.c.claimed_status.is_not(None))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["source_id", "kind", "subject"],
            set_={
                "claimed_status": case((says_less, _subjects.c.claimed_status), else_=claimed),
                "last_event_id": event.id,
                "due_at": now,
                "attempts": 0,
            },
        )
    )


def _note_repeat(connection: Connection, delivery: NewDelivery, event: NewEvent) -> tuple[str, bool]:
    first = connection.execute(
        select(_events.c.id, _events.c.content_sha256, _events.c.delivery_id).where(
            _events.c.source_id == delivery.source_id, _events.c.identity == event.identity
        )
    ).one()
    conflict = first.content_sha256 != event.content_sha256
    if first.delivery_id != delivery.id:
        _insert_repeat(connection, delivery, first.id, conflict)
    if conflict:
        connection.execute(update(_events).where(_events.c.id == first.id).values(conflict=True))
    return first.id, conflict


def _insert_repeat(connection: Connection, delivery: NewDelivery, event_id: str, conflict: bool) -> None:
    values = {
        "event_id": event_id,
        "delivery_id": delivery.id,
        "conflict": conflict,
        "received_at": delivery.received_at,
    }
    insert_or_skip(connection, _repeats, ["event_id", "delivery_id"], values)


def _mark_duplicate(connection: Connection, delivery: NewDelivery, event_id: str) -> None:
    stored = connection.execute(select(_events.c.payload_sha256).where(_events.c.id == event_id)).scalar_one()
    values: dict[str, Any] = {"verdict": "duplicate"}
    if stored == delivery.body_sha256:
        values["body"] = None
    connection.execute(update(_deliveries).where(_deliveries.c.id == delivery.id).values(**values))


def find_identical(connection: Connection, delivery: NewDelivery, nonce: str) -> Recorded | None:
    """Return what became of the same nonce, body and path before, where such a delivery was accepted."""
    found = connection.execute(
        select(_deliveries.c.id).where(
            _deliveries.c.source_id == delivery.source_id,
            _deliveries.c.nonce == nonce,
            _deliveries.c.body_sha256 == delivery.body_sha256,
            _deliveries.c.path == delivery.path,
        )
    ).scalar_one_or_none()
    return None if found is None else Recorded(events_of(connection, found), is_new=False)
