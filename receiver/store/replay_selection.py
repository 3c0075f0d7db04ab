"""What a plan of a replay selects: feed entries or rejected deliveries; and how they are sent again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal, select, update

from receiver.model import Purpose, RetentionKind, Verdict
from receiver.store import pagination, sources
from receiver.store.claims import SUBJECT_KINDS
from receiver.store.records import columns_of, fetch_all
from receiver.store.tables import (
    Delivery,
    Event,
    FeedEntry,
    OutboxEntry,
    Replay,
    ReplayPosition,
    RetentionProgress,
    Source,
    Subject,
    table_of,
)

_events, _progress = table_of(Event), table_of(RetentionProgress)
_entries, _outbox, _deliveries, _sources, _subjects, _chosen, _replays = (
    table_of(model) for model in (FeedEntry, OutboxEntry, Delivery, Source, Subject, ReplayPosition, Replay)
)


LOOKED_AT_ONCE, LOOKED_AT_PAGES = 500, 20
"""Entries in a page, and pages, of which it is looked up whether their payload is still stored."""


@dataclass(frozen=True)
class Selection:
    """What to send again; what is empty or none does not restrict."""

    sources: Sequence[str] = ()
    types: Sequence[str] = ()
    payment_ids: Sequence[str] = ()
    event_ids: Sequence[str] = ()
    delivery_ids: Sequence[str] = ()
    received_after: datetime | None = None
    received_before: datetime | None = None
    chosen: str = ""
    """The plan whose `ReplayPosition`s are all that is sent again, whatever else stands here."""


@dataclass(frozen=True)
class Matched:
    """What a selection comes to: how many, from when to when (UTC); entries behind `behind`, up to `through`."""

    number: int
    first: datetime | None
    last: datetime | None
    behind: int = 0
    through: int = 0


class OriginalEntry(NamedTuple):
    """A feed entry that was not itself written by a replay; its time is UTC."""

    position: int
    type: str
    source_id: int
    subject: str | None
    time: datetime
    event_id: str | None
    data: Mapping[str, Any]


class RejectedEntry(NamedTuple):
    """A rejected delivery without what came; its time is UTC."""

    id: str
    source_id: int
    received_at: datetime


def _of_entries(selection: Selection, behind: int, through: int) -> list[ColumnElement[bool]]:
    """Originals only: what was itself written by a replay is not sent again."""
    where = [_entries.c.replay_id.is_(None), _entries.c.position > behind, _entries.c.position <= through]
    return where + _of_time(selection)


def _of_time(selection: Selection) -> list[ColumnElement[bool]]:
    where = []
    if selection.received_after:
        where.append(_entries.c.time >= selection.received_after)
    if selection.received_before:
        where.append(_entries.c.time < selection.received_before)
    return where


def _of_rejected(selection: Selection, behind: str, through: str) -> list[ColumnElement[bool]]:
    where = [_deliveries.c.verdict == Verdict.REJECTED, _deliveries.c.id > behind, _deliveries.c.id <= through]
    if selection.sources:
        named = select(_sources.c.id).where(_sources.c.name.in_(selection.sources))
        where.append(_deliveries.c.source_id.in_(named))
    if selection.delivery_ids:
        where.append(_deliveries.c.id.in_(selection.delivery_ids))
    if selection.received_after:
        where.append(_deliveries.c.received_at >= selection.received_after)
    if selection.received_before:
        where.append(_deliveries.c.received_at < selection.received_before)
    return where


def _of_chosen(query: Select[Any], plan: str, behind: int, through: int) -> Select[Any]:
    joined = query.select_from(_chosen).join(_entries, _entries.c.position == _chosen.c.position)
    return joined.where(_chosen.c.plan == plan, _chosen.c.position > behind, _chosen.c.position <= through)


def choose(connection: Connection, plan: str, event_ids: Sequence[str], within: Selection) -> None:
    """Write down for a plan what stands in the feed of these events, but for copies.

    Of a selection the types and times count: one event has entries of several.
    """
    originals = select(literal(plan), _entries.c.position).where(
        pagination.among(connection, _entries.c.event_id, event_ids),
        _entries.c.replay_id.is_(None),
        *pagination.beside(_entries.c.type, within.types, ""),
        *_of_time(within),
    )
    connection.execute(insert(_chosen).from_select(["plan", "position"], originals))


def forget_chosen(connection: Connection, before: str) -> None:
    """Delete what plans below an id chose, that are not run, or whose run is over."""
    open_plans = select(_replays.c.plan).where(_replays.c.finished_at.is_(None))
    connection.execute(delete(_chosen).where(_chosen.c.plan < before, _chosen.c.plan.not_in(open_plans)))


def matching_entries(connection: Connection, selection: Selection, through: int) -> Matched:
    """Count the feed entries of a selection up to a position, and say between which positions they stand.

    All are looked at: no index leads to a time. So nobody who sends them, under a lock, walks over what is outside, but
    for the first part of a replay that an earlier release planned, which has no such end.
    """
    position, time = _entries.c.position, _entries.c.time
    ends = func.coalesce(func.min(position) - 1, 0), func.coalesce(func.max(position), 0)
    columns: list[ColumnElement[Any]] = [func.count(), func.min(time), func.max(time), *ends]
    if selection.chosen:
        row = connection.execute(_of_chosen(select(*columns), selection.chosen, 0, through)).one()
        return Matched(*row)
    where = _of_entries(selection, 0, through)
    if selection.sources:
        where.append(_entries.c.source_id.in_(sources.ids(connection, selection.sources)))
    equal = (
        (_entries.c.type, selection.types),
        (_entries.c.subject, selection.payment_ids),
        (_entries.c.event_id, selection.event_ids),
    )
    where += [column.in_(values) for column, values in equal if values]
    return Matched(*connection.execute(select(*columns).where(*where)).one())


def without_payload(connection: Connection, selection: Selection, behind: int, through: int) -> tuple[int, bool]:
    """Count the entries of a selection whose event's body is stored no longer, and tell whether all were looked at.

    Of a large one the first `LOOKED_AT_PAGES` pages are looked at; of a database from which nothing was removed none.
    """
    removed = select(_progress.c.source_id).where(_progress.c.kind == RetentionKind.PAYLOAD, _progress.c.removed > 0)
    if connection.execute(removed.limit(1)).first() is None:
        return 0, True
    number = 0
    for _ in range(LOOKED_AT_PAGES):
        found = entries(connection, selection, behind=behind, through=through, limit=LOOKED_AT_ONCE)
        event_ids = [entry.event_id for entry in found if entry.event_id is not None]
        gone = (
            select(func.count())
            .select_from(_events)
            .join(_deliveries, _deliveries.c.id == _events.c.delivery_id)
            .where(pagination.among(connection, _events.c.id, event_ids), _deliveries.c.body.is_(None))
        )
        number += connection.execute(gone).scalar_one()
        if len(found) < LOOKED_AT_ONCE:
            return number, True
        behind = found[-1].position
    return number, False


def entries(
    connection: Connection, selection: Selection, *, behind: int, through: int, limit: int
) -> list[OriginalEntry]:
    """Return feed entries of a selection in the order of their positions."""
    columns = columns_of(OriginalEntry, _entries)
    if selection.chosen:
        query = _of_chosen(select(*columns), selection.chosen, behind, through)
        return fetch_all(connection, OriginalEntry, query.order_by(_chosen.c.position).limit(limit))
    source_ids = sources.ids(connection, selection.sources)
    if selection.sources and not source_ids:
        return []
    where = _of_entries(selection, behind, through)
    if selection.payment_ids or selection.event_ids:
        events, payments = (_entries.c.event_id, selection.event_ids), (_entries.c.subject, selection.payment_ids)
        # What leaves the fewest rows leads.
        leading, other = (events, payments) if selection.event_ids else (payments, events)
        alternatives = pagination.combinations(leading)
        where += pagination.beside(*other, "") + pagination.beside(_entries.c.source_id, source_ids, 0)
        where += pagination.beside(_entries.c.type, selection.types, "")
    else:
        alternatives = pagination.combinations((_entries.c.source_id, source_ids), (_entries.c.type, selection.types))
    page = pagination.page(columns, alternatives, where=where, order=_entries.c.position, limit=limit)
    return fetch_all(connection, OriginalEntry, page)


def matching_rejected(connection: Connection, selection: Selection, through: str) -> Matched:
    """Count the rejected deliveries of a selection up to an id."""
    where = _of_rejected(selection, "", through)
    row = connection.execute(
        select(func.count(), func.min(_deliveries.c.received_at), func.max(_deliveries.c.received_at)).where(*where)
    ).one()
    return Matched(*row)


def last_rejected(connection: Connection) -> str:
    """Return the highest id of a rejected delivery; empty where there is none."""
    query = select(func.max(_deliveries.c.id)).where(_deliveries.c.verdict == Verdict.REJECTED)
    return connection.execute(query).scalar() or ""


def rejected(
    connection: Connection, selection: Selection, *, behind: str, through: str, limit: int
) -> list[RejectedEntry]:
    """Return rejected deliveries of a selection in the order of their ids; their bodies may be large, and stay."""
    query = select(*columns_of(RejectedEntry, _deliveries)).where(*_of_rejected(selection, behind, through))
    return fetch_all(connection, RejectedEntry, query.order_by(_deliveries.c.id).limit(limit))


def append_replayed(
    connection: Connection, originals: Sequence[OriginalEntry], replay_id: str, consumer: str | None, now: datetime
) -> None:
    """Put entries into the feed once more, marked with their replay."""
    copies = [
        {
            "type": entry.type,
            "source_id": entry.source_id,
            "subject": entry.subject,
            "time": entry.time,
            "event_id": entry.event_id,
            "data": entry.data,
            "replay_id": replay_id,
            "consumer": consumer,
            "copied_at": now,
        }
        for entry in originals
    ]
    if copies:
        connection.execute(insert(_outbox), copies)


def make_due(connection: Connection, entries: Sequence[OriginalEntry], now: datetime) -> None:
    """Make the payments and jobs that feed entries are about due to be asked about."""
    about = {(entry.source_id, kind, entry.subject) for entry in entries if entry.subject for kind in SUBJECT_KINDS}
    # In the order in which callbacks touch them, so that the two never wait for each other in a circle.
    for source_id, kind, subject in sorted(about):
        one = (_subjects.c.source_id == source_id, _subjects.c.kind == kind, _subjects.c.subject == subject)
        connection.execute(update(_subjects).where(*one).values(due_at=now, attempts=0, purpose=Purpose.RECHECK))
