"""The ordered log. An entry is written without a position, in its writer's transaction; positions are given afterwards.

A number handed out at insert shows at commit, and commits come in another order: a reader would step over the entry
that commits late. So positions are given to entries that are committed, by whoever looks next, one at a time under the
lock of the one row in `feed_head`. The head is a row of its own so that it never goes back, whatever is deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from receiver.store.database import Database
from receiver.store.tables import FeedEntry, FeedHead, Source, table_of

_entries, _head, _sources = (table_of(model) for model in (FeedEntry, FeedHead, Source))

BATCH = 1000
"""Entries that get their positions in one transaction."""


@dataclass(frozen=True)
class Entry:
    """One line of the log, with its position."""

    id: int
    position: int
    type: str
    source: str
    subject: str | None
    time: datetime
    event_id: str | None
    data: Mapping[str, Any]


def append(
    connection: Connection,
    *,
    type: str,  # noqa: A002 - the word of CloudEvents
    source_id: int,
    subject: str | None,
    event_id: str | None,
    data: Mapping[str, Any],
    now: datetime,
) -> None:
    """Write an entry in the caller's transaction; it shows once that is committed."""
    connection.execute(
        insert(_entries).values(
            type=type, source_id=source_id, subject=subject, event_id=event_id, data=dict(data), time=now
        )
    )


def give_positions(database: Database) -> None:
    """Give every committed entry its position.

    Raises:
        StoreUnavailable
    """
    while _has_pending(database):
        with database.write() as connection:
            if _give_some(connection) < BATCH:
                return


def _has_pending(database: Database) -> bool:
    with database.read() as connection:
        pending = select(_entries.c.id).where(_entries.c.position.is_(None)).limit(1)
        return connection.execute(pending).first() is not None


def _give_some(connection: Connection) -> int:
    # The lock comes first, in a statement of its own: what the next statement sees was committed before it.
    head: int = connection.execute(select(_head.c.position).with_for_update()).scalar_one()
    pending = (
        select(_entries.c.id, (head + func.row_number().over(order_by=_entries.c.id)).label("position"))
        .where(_entries.c.position.is_(None))
        .order_by(_entries.c.id)
        .limit(BATCH)
        .subquery()
    )
    given = connection.execute(
        update(_entries).where(_entries.c.id == pending.c.id).values(position=pending.c.position)
    ).rowcount
    connection.execute(update(_head).values(position=head + given))
    return given


def read(
    connection: Connection, *, after: int, limit: int, sources: Sequence[str] = (), types: Sequence[str] = ()
) -> list[Entry]:
    """Return entries behind position `after`, oldest first; empty `sources` or `types` stand for all."""
    query = (
        select(_entries, _sources.c.name.label("source"))
        .join(_sources, _sources.c.id == _entries.c.source_id)
        .where(_entries.c.position > after)
        .order_by(_entries.c.position)
        .limit(limit)
    )
    if sources:
        query = query.where(_sources.c.name.in_(sources))
    if types:
        query = query.where(_entries.c.type.in_(types))
    return [
        Entry(row.id, row.position, row.type, row.source, row.subject, row.time, row.event_id, row.data)
        for row in connection.execute(query)
    ]


def head(connection: Connection) -> int:
    """Return the last position given; 0 where there is none."""
    position: int = connection.execute(select(_head.c.position)).scalar_one()
    return position


def of_event(connection: Connection, event_id: str) -> list[Entry]:
    """Return the entries that stem from an event, in the order of writing; those without a position yet have 0."""
    rows = connection.execute(
        select(_entries, _sources.c.name.label("source"))
        .join(_sources, _sources.c.id == _entries.c.source_id)
        .where(_entries.c.event_id == event_id)
        .order_by(_entries.c.id)
    )
    return [
        Entry(row.id, row.position or 0, row.type, row.source, row.subject, row.time, row.event_id, row.data)
        for row in rows
    ]
