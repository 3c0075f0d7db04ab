"""Holds: events of which nothing is removed, whatever their age (legal hold), until somebody releases them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select

from receiver.store import pagination
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import EventHold, RetentionTurn, table_of

_holds, _turn = table_of(EventHold), table_of(RetentionTurn)


class HoldRecord(NamedTuple):
    """Who holds an event, since when (UTC), and why."""

    event_id: str
    reason: str
    held_by: str
    held_at: datetime


def stop_removal(connection: Connection) -> None:
    """Wait for what is being removed for its age just then; nothing more is until the caller's transaction has ended.

    What that transaction wants to stay is seen by whatever is removed afterwards.
    """
    connection.execute(select(_turn.c.id).with_for_update(key_share=True))


def put(connection: Connection, event_id: str, reason: str, who: str, now: datetime) -> bool:
    """Put an event on hold, in the caller's transaction; false where it is already, which changes nothing.

    What is being removed just then is waited for: once this is committed, nothing more of the event is removed.
    """
    stop_removal(connection)
    values = {"event_id": event_id, "reason": reason, "held_by": who, "held_at": now}
    return insert_or_skip(connection, _holds, ["event_id"], values)


def release(connection: Connection, event_id: str) -> bool:
    """Release an event; false where it was not on hold."""
    return connection.execute(delete(_holds).where(_holds.c.event_id == event_id)).rowcount == 1


def find(connection: Connection, event_id: str) -> HoldRecord | None:
    """Return the hold of an event; none where there is none."""
    return fetch_one(
        connection, HoldRecord, select(*columns_of(HoldRecord, _holds)).where(_holds.c.event_id == event_id)
    )


def among(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    """Return which of these events are on hold."""
    query = select(_holds.c.event_id).where(pagination.among(connection, _holds.c.event_id, event_ids))
    return set(connection.execute(query).scalars()) if event_ids else set()


def listing(connection: Connection, *, limit: int) -> list[HoldRecord]:
    """Return what is on hold, the latest first."""
    query = select(*columns_of(HoldRecord, _holds)).order_by(_holds.c.held_at.desc(), _holds.c.event_id).limit(limit)
    return fetch_all(connection, HoldRecord, query)


def number(connection: Connection) -> int:
    """Return how many events are on hold."""
    found: int = connection.execute(select(func.count()).select_from(_holds)).scalar_one()
    return found
