"""Late deliveries: proven genuine, but signed too long ago or ahead. They wait until what they tell is confirmed.

A late delivery is stored whole, with its nonce, so that a retry adds none. What it tells is stored beside it, and what
that is about becomes due, so that the bank is asked. The bank's answer, or a person, makes events of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, literal_column, select, update

from receiver.model import Purpose, Status, SubjectKind, Verdict
from receiver.store import claims, intake, pagination
from receiver.store.bulk_insert import BulkInsert, RowValues
from receiver.store.claims import SUBJECT_KINDS
from receiver.store.events import ids_of_delivery
from receiver.store.records import NewDelivery, NewEvent, NonceReused, Recorded, columns_of, fetch_all, new_id
from receiver.store.tables import Delivery, HeldEvent, table_of

_deliveries, _held = table_of(Delivery), table_of(HeldEvent)

_LATE = str(Verdict.LATE)

_insert_deliveries = BulkInsert(
    _deliveries,
    (*NewDelivery._fields, "verdict", "proven", "body_bytes", "reason", "detail"),
    unique=["source_id", "nonce"],
)
_insert_held = BulkInsert(_held, ("source_id", "delivery_id", "kind", "subject", "event"))


class HeldClaim(NamedTuple):
    """What a late delivery tells about a payment or job, not confirmed yet."""

    id: int
    delivery_id: str
    status: Status | None


class HeldRecord(NamedTuple):
    """One thing that a late delivery tells; `event` holds what its event will, `confirmed_at` is UTC."""

    kind: SubjectKind
    subject: str | None
    event: dict[str, Any]
    confirmed_at: datetime | None


class NewLate(NamedTuple):
    """A late delivery to be written down, what it tells, and by how much it is late, in words."""

    delivery: NewDelivery
    events: Sequence[NewEvent]
    reason: str
    detail: str


def hold(connection: Connection, late: NewLate) -> Recorded | NonceReused:
    """Write one late delivery down: see `hold_all`."""
    return hold_all(connection, [late])[0]


def hold_all(connection: Connection, arrived: Sequence[NewLate]) -> list[Recorded | NonceReused]:
    """Write late deliveries down, each once, and have the bank asked about them, in the caller's transaction.

    What it returns of one that came before is what became of it then.
    """
    # In one order for all writers (nonces here, subjects below), so that no two ever wait for each other in a circle.
    in_order = sorted(arrived, key=lambda late: (late.delivery.source_id, late.delivery.nonce or ""))
    new = _insert_deliveries.run_for_new(connection, [_delivery_row(late) for late in in_order])
    pairs = [(late.delivery, event) for late in arrived if late.delivery.id in new for event in late.events]
    _insert_held.run(connection, [_held_row(*pair) for pair in pairs])
    subjects = [
        (delivery.source_id, event.kind, event.subject)
        for delivery, event in pairs
        if event.kind in SUBJECT_KINDS and event.subject is not None
    ]
    if subjects:
        claims.ask_about(connection, subjects, max(delivery.received_at for delivery, _ in pairs), Purpose.LATE)
    return [_outcome(connection, late.delivery, is_new=late.delivery.id in new) for late in arrived]


def _delivery_row(late: NewLate) -> RowValues:
    return (*late.delivery, _LATE, True, len(late.delivery.body), late.reason, late.detail)


def _held_row(delivery: NewDelivery, event: NewEvent) -> RowValues:
    return (delivery.source_id, delivery.id, event.kind, event.subject, _written(event))


def _outcome(connection: Connection, delivery: NewDelivery, *, is_new: bool) -> Recorded | NonceReused:
    found = Recorded((), is_new=True, waits=True) if is_new else find_before(connection, delivery)
    assert found is not None  # noqa: S101 - the insert has met it
    return found


def find_before(connection: Connection, delivery: NewDelivery) -> Recorded | NonceReused | None:
    """Return what became of the same delivery before; none where its nonce is new."""
    first = intake.first_of(connection, delivery)
    if first is None or isinstance(first, NonceReused):
        return first
    return Recorded(ids_of_delivery(connection, first.id), is_new=False, waits=first.verdict == Verdict.LATE)


def _written(event: NewEvent) -> dict[str, Any]:
    """Return what is stored of an event until it is one."""
    claimed_at = event.claimed_at.isoformat() if event.claimed_at else None
    return {**event._asdict(), "identity": event.identity.hex(), "claimed_at": claimed_at}


def _read(written: dict[str, Any], now: datetime) -> NewEvent:
    """Return a stored event as one of this moment; apps page by ids and times, and must not miss it."""
    claimed_at = datetime.fromisoformat(written["claimed_at"]) if written["claimed_at"] else None
    changed = {"id": new_id("evt", now), "identity": bytes.fromhex(written["identity"]), "claimed_at": claimed_at}
    return NewEvent(**{**written, **changed, "late": True})


def claims_about(connection: Connection, source_id: int, kind: str, subject: str) -> list[HeldClaim]:
    """Return what late deliveries claim of a payment or job and the bank has not confirmed yet, oldest first."""
    query = (
        select(_held.c.id, _held.c.delivery_id, _held.c.event)
        .where(_held.c.source_id == source_id, _held.c.kind == kind, _held.c.subject == subject)
        .where(_held.c.confirmed_at.is_(None))
        .order_by(_held.c.id)
    )
    found = [(row.id, row.delivery_id, row.event["claimed_status"]) for row in connection.execute(query)]
    return [HeldClaim(id_, delivery_id, Status(word) if word else None) for id_, delivery_id, word in found]


def confirm(connection: Connection, claim: HeldClaim, now: datetime) -> Recorded | None:
    """Note that the bank confirmed a claim, in the caller's transaction; none where its delivery waits for more.

    It is accepted with the last of its claims that the bank can be asked about.
    """
    # So of two workers that confirm the last two claims, the later one sees both.
    if not lock(connection, claim.delivery_id):
        return None
    connection.execute(update(_held).where(_held.c.id == claim.id).values(confirmed_at=now))
    waits = select(_held.c.id).where(
        _held.c.delivery_id == claim.delivery_id,
        _held.c.confirmed_at.is_(None),
        _held.c.kind.in_(SUBJECT_KINDS),
        _held.c.subject.is_not(None),
    )
    if connection.execute(waits.limit(1)).first() is not None:
        return None
    return accept(connection, claim.delivery_id, now)


def lock(connection: Connection, delivery_id: str) -> bool:
    """Keep other writers from a late delivery until the transaction ends; false where it is not late (any more)."""
    query = select(_deliveries.c.id).where(_deliveries.c.id == delivery_id, _deliveries.c.verdict == _LATE)
    return connection.execute(query.with_for_update(key_share=True)).first() is not None


def accept(connection: Connection, delivery_id: str, now: datetime) -> Recorded:
    """Make events of what a late delivery tells, in the caller's transaction; once, however many do so at once."""
    columns = [_deliveries.c[name] for name in NewDelivery._fields]
    row = connection.execute(select(*columns).where(_deliveries.c.id == delivery_id)).one()
    delivery = NewDelivery(**row._mapping)._replace(received_at=now)
    return intake.release(connection, delivery, [_read(found.event, now) for found in held(connection, delivery_id)])


def held(connection: Connection, delivery_id: str) -> list[HeldRecord]:
    """Return what a late delivery tells, in its own order."""
    query = select(*columns_of(HeldRecord, _held)).where(_held.c.delivery_id == delivery_id).order_by(_held.c.id)
    return fetch_all(connection, HeldRecord, query)


def waiting(connection: Connection, source_id: int) -> int:
    """Return how many late deliveries of a source wait."""
    # As text, so that a plan for any verdict still goes by the index over the late ones.
    is_late = _deliveries.c.verdict == literal_column(f"'{_LATE}'")
    # Beside it, lest SQLite goes through all that ever came from the source.
    of_source = pagination.beside(_deliveries.c.source_id, [source_id], 0)
    query = select(func.count()).where(*of_source, is_late)
    number: int = connection.execute(query).scalar_one()
    return number
