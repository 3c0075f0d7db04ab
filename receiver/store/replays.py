"""Replays: which entries or deliveries a plan means, and how far its run has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from receiver.store import feed, pagination, sources
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.claims import SUBJECT_KINDS
from receiver.store.tables import Delivery, FeedEntry, OutboxEntry, Replay, Source, Subject, table_of

_replays, _entries, _outbox, _deliveries, _sources, _subjects = (
    table_of(model) for model in (Replay, FeedEntry, OutboxEntry, Delivery, Source, Subject)
)


@dataclass(frozen=True)
class Selection:
    """What to send again; what is empty or none does not restrict."""

    sources: Sequence[str] = ()
    type: str | None = None
    payment_id: str | None = None
    event_id: str | None = None
    delivery_id: str | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None


@dataclass(frozen=True)
class Matched:
    """What a selection comes to: how many, from when to when."""

    number: int
    first: datetime | None
    last: datetime | None


def _of_entries(selection: Selection, behind: int, through: int) -> list[ColumnElement[bool]]:
    """Originals only: what was itself written by a replay is not sent again."""
    where = [_entries.c.replay_id.is_(None), _entries.c.position > behind, _entries.c.position <= through]
    equal = ((_entries.c.subject, selection.payment_id), (_entries.c.event_id, selection.event_id))
    where += [column == value for column, value in equal if value]
    if selection.received_after:
        where.append(_entries.c.time >= selection.received_after)
    if selection.received_before:
        where.append(_entries.c.time < selection.received_before)
    return where


def _of_rejected(selection: Selection, behind: str, through: str) -> list[ColumnElement[bool]]:
    where = [_deliveries.c.verdict == "rejected", _deliveries.c.id > behind, _deliveries.c.id <= through]
    if selection.sources:
        named = select(_sources.c.id).where(_sources.c.name.in_(selection.sources))
        where.append(_deliveries.c.source_id.in_(named))
    if selection.delivery_id:
        where.append(_deliveries.c.id == selection.delivery_id)
    if selection.received_after:
        where.append(_deliveries.c.received_at >= selection.received_after)
    if selection.received_before:
        where.append(_deliveries.c.received_at < selection.received_before)
    return where


def matching_entries(connection: Connection, selection: Selection, through: int) -> Matched:
    """Count the feed entries of a selection up to a position."""
    where = _of_entries(selection, _first_behind(connection, selection, 0), through)
    if selection.sources:
        where.append(_entries.c.source_id.in_(sources.ids(connection, selection.sources)))
    if selection.type:
        where.append(_entries.c.type == selection.type)
    row = connection.execute(
        select(func.count(), func.min(_entries.c.time), func.max(_entries.c.time)).where(*where)
    ).one()
    return Matched(*row)


def entries(connection: Connection, selection: Selection, *, behind: int, through: int, limit: int) -> list[Row[Any]]:
    """Return feed entries of a selection in the order of their positions."""
    behind = _first_behind(connection, selection, behind)
    source_ids = sources.ids(connection, selection.sources)
    if selection.sources and not source_ids:
        return []
    types = [selection.type] if selection.type else []
    where = _of_entries(selection, behind, through)
    if selection.payment_id or selection.event_id:
        alternatives = pagination.combinations()
        where += pagination.beside(_entries.c.source_id, source_ids, 0) + pagination.beside(_entries.c.type, types, "")
    else:
        alternatives = pagination.combinations((_entries.c.source_id, source_ids), (_entries.c.type, types))
    page = pagination.page(_entries, alternatives, where=where, order=_entries.c.position, limit=limit)
    return list(connection.execute(page))


def _first_behind(connection: Connection, selection: Selection, behind: int) -> int:
    """Do not walk over what is too old: there is no index on time, but the log is nearly in its order."""
    if behind or not selection.received_after:
        return behind
    return feed.position_at(connection, selection.received_after)


def matching_rejected(connection: Connection, selection: Selection, through: str) -> Matched:
    """Count the rejected deliveries of a selection up to an id."""
    where = _of_rejected(selection, "", through)
    row = connection.execute(
        select(func.count(), func.min(_deliveries.c.received_at), func.max(_deliveries.c.received_at)).where(*where)
    ).one()
    return Matched(*row)


def last_rejected(connection: Connection) -> str:
    """Return the highest id of a rejected delivery; empty where there is none."""
    query = select(func.max(_deliveries.c.id)).where(_deliveries.c.verdict == "rejected")
    return connection.execute(query).scalar() or ""


def rejected(connection: Connection, selection: Selection, *, behind: str, through: str, limit: int) -> list[Row[Any]]:
    """Return rejected deliveries of a selection in the order of their ids."""
    where = _of_rejected(selection, behind, through)
    query = select(_deliveries, _sources.c.name.label("source")).join(
        _sources, _sources.c.id == _deliveries.c.source_id
    )
    return list(connection.execute(query.where(*where).order_by(_deliveries.c.id).limit(limit)))


def append_replayed(connection: Connection, rows: Sequence[Row[Any]], replay_id: str, consumer: str | None) -> None:
    """Put entries into the feed once more, marked with their replay."""
    copied = ("type", "source_id", "subject", "time", "event_id", "data")
    again = [
        {name: row._mapping[name] for name in copied} | {"replay_id": replay_id, "consumer": consumer} for row in rows
    ]
    if again:
        connection.execute(insert(_outbox), again)


def make_due(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> None:
    """Make the payments and jobs that entries are about due to be asked about."""
    about = {(row.source_id, kind, row.subject) for row in rows if row.subject for kind in SUBJECT_KINDS}
    # In the order in which callbacks touch them, so that the two never wait for each other in a circle.
    for source_id, kind, subject in sorted(about):
        one = (_subjects.c.source_id == source_id, _subjects.c.kind == kind, _subjects.c.subject == subject)
        connection.execute(update(_subjects).where(*one).values(due_at=now, attempts=0))


def start(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Write down a run; false where its plan was run already."""
    return insert_or_skip(connection, _replays, ["plan"], dict(values))


def of_plan(connection: Connection, plan: str) -> str:
    """Return the id of the run of a plan."""
    found: str = connection.execute(select(_replays.c.id).where(_replays.c.plan == plan)).scalar_one()
    return found


def find(connection: Connection, replay_id: str) -> Row[Any] | None:
    """Return one replay."""
    return connection.execute(select(_replays).where(_replays.c.id == replay_id)).one_or_none()


def listing(connection: Connection, *, limit: int) -> list[Row[Any]]:
    """Return replays, newest first."""
    return list(connection.execute(select(_replays).order_by(_replays.c.id.desc()).limit(limit)))


def due(connection: Connection, now: datetime) -> list[str]:
    """Return the ids of running replays whose next part may be done."""
    query = select(_replays.c.id).where(_replays.c.state == "running", _replays.c.due_at <= now)
    return list(connection.execute(query.order_by(_replays.c.due_at)).scalars())


def lock(connection: Connection, replay_id: str) -> Row[Any] | None:
    """Return a running replay for this transaction alone; none where it is over, or another worker is at it."""
    query = select(_replays).where(_replays.c.id == replay_id, _replays.c.state == "running")
    return connection.execute(query.with_for_update(skip_locked=True)).one_or_none()


def advance(connection: Connection, replay_id: str, values: Mapping[str, Any]) -> None:
    """Write down how far a replay has come."""
    connection.execute(update(_replays).where(_replays.c.id == replay_id).values(**values))


def cancel(connection: Connection, replay_id: str, now: datetime) -> bool:
    """Stop a running replay where it stands; false where it was over already."""
    running = update(_replays).where(_replays.c.id == replay_id, _replays.c.state == "running")
    return connection.execute(running.values(state="cancelled", finished_at=now)).rowcount == 1
