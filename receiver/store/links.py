"""Payments that belong together: one that is told of by a reference, and one that another returns."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, select, update

from receiver.store import claims, feed
from receiver.store.claims import NewClaim
from receiver.store.statements import insert_or_skip
from receiver.store.subjects import Due
from receiver.store.tables import Event, Subject, table_of

_subjects, _events = table_of(Subject), table_of(Event)


def claim_by_reference(connection: Connection, due: Due, payment_id: str, now: datetime) -> None:
    """Hand what is claimed of a reference on to the payment behind it, which becomes due; repeating it is harmless."""
    row = connection.execute(
        select(_subjects.c.claimed_status, _subjects.c.last_event_id).where(_subjects.c.id == due.id)
    ).one()
    if row.last_event_id is None:
        return
    claim = NewClaim(
        source_id=due.source_id,
        kind="payment",
        subject=payment_id,
        status=row.claimed_status,
        amount=None,
        currency=None,
        event_id=row.last_event_id,
        at=now,
    )
    claims.make_due(connection, [claim])
    named = (_events.c.id == row.last_event_id, _events.c.payment_id.is_(None))
    connection.execute(update(_events).where(*named).values(payment_id=payment_id))


def note_return(connection: Connection, due: Due, original: str, now: datetime) -> None:
    """Note at a payment which one returned it, and tell the feed of it, once."""
    _know(connection, due.source_id, original, now)
    noted = connection.execute(
        update(_subjects)
        .where(_payment(due.source_id, original), _subjects.c.returned_by.is_distinct_from(due.subject))
        .values(returned_by=due.subject)
        .returning(_subjects.c.status, _subjects.c.last_event_id)
    ).one_or_none()
    if noted is None:
        return
    feed.append(
        connection,
        type="payment.returned",
        source_id=due.source_id,
        subject=original,
        event_id=due.last_event_id,
        data={"payment_id": original, "status": noted.status, "returned_by": due.subject},
        now=now,
    )


def _payment(source_id: int, payment_id: str) -> ColumnElement[bool]:
    return and_(_subjects.c.source_id == source_id, _subjects.c.kind == "payment", _subjects.c.subject == payment_id)


def _know(connection: Connection, source_id: int, payment_id: str, now: datetime) -> None:
    """Make a payment known and due, where it is not known yet."""
    values = {
        "source_id": source_id,
        "kind": "payment",
        "subject": payment_id,
        "status": "unknown",
        "agreement": "unconfirmed",
        "created_at": now,
        "updated_at": now,
        "due_at": now,
        "attempts": 0,
    }
    insert_or_skip(connection, _subjects, ["source_id", "kind", "subject"], values)
