"""Replays: which feed entries or rejected deliveries a plan selects, and how far its run has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, insert, select, update

from receiver.model import ReplayState, ReplayTarget, Verdict
from receiver.store import feed, pagination, sources
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.claims import SUBJECT_KINDS
from receiver.store.deliveries import DeliveryRecord
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import Delivery, FeedEntry, OutboxEntry, Replay, Source, Subject, table_of

_replays, _entries, _outbox, _deliveries, _sources, _subjects = (
    table_of(model) for model in (Replay, FeedEntry, OutboxEntry, Delivery, Source, Subject)
)

_is_running = _replays.c.state == ReplayState.RUNNING


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


@dataclass(frozen=True)
class Matched:
    """What a selection comes to: how many, from when to when (UTC)."""

    number: int
    first: datetime | None
    last: datetime | None


class ReplayRecord(NamedTuple):
    """One run of a plan; `Replay` says what each column holds."""

    id: str
    plan: str
    target: ReplayTarget
    filter: dict[str, Any]
    consumer: str | None
    through: str
    place: str
    total: int
    done: int
    failed: int
    per_second: float | None
    state: ReplayState
    requested_by: str
    reason: str
    created_at: datetime
    finished_at: datetime | None
    due_at: datetime

    def is_due(self, now: datetime) -> bool:
        """Return whether the next part may be done: at `due_at`, or where that is further ahead than any part's wait.

        Such a time was written down by a clock that was wrong.
        """
        longest = 0.0 if self.per_second is None else max(1.0, 1 / self.per_second)
        return not now < self.due_at <= now + timedelta(seconds=longest)


class OriginalEntry(NamedTuple):
    """A feed entry that was not itself written by a replay; its time is UTC."""

    position: int
    type: str
    source_id: int
    subject: str | None
    time: datetime
    event_id: str | None
    data: Mapping[str, Any]


def _of_entries(selection: Selection, behind: int, through: int) -> list[ColumnElement[bool]]:
    """Originals only: what was itself written by a replay is not sent again."""
    where = [_entries.c.replay_id.is_(None), _entries.c.position > behind, _entries.c.position <= through]
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


def matching_entries(connection: Connection, selection: Selection, through: int) -> Matched:
    """Count the feed entries of a selection up to a position."""
    where = _of_entries(selection, _first_behind(connection, selection, 0), through)
    if selection.sources:
        where.append(_entries.c.source_id.in_(sources.ids(connection, selection.sources)))
    equal = (
        (_entries.c.type, selection.types),
        (_entries.c.subject, selection.payment_ids),
        (_entries.c.event_id, selection.event_ids),
    )
    where += [column.in_(values) for column, values in equal if values]
    row = connection.execute(
        select(func.count(), func.min(_entries.c.time), func.max(_entries.c.time)).where(*where)
    ).one()
    return Matched(*row)


def entries(
    connection: Connection, selection: Selection, *, behind: int, through: int, limit: int
) -> list[OriginalEntry]:
    """Return feed entries of a selection in the order of their positions."""
    behind = _first_behind(connection, selection, behind)
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
    columns = columns_of(OriginalEntry, _entries)
    page = pagination.page(columns, alternatives, where=where, order=_entries.c.position, limit=limit)
    return fetch_all(connection, OriginalEntry, page)


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
    query = select(func.max(_deliveries.c.id)).where(_deliveries.c.verdict == Verdict.REJECTED)
    return connection.execute(query).scalar() or ""


def rejected(
    connection: Connection, selection: Selection, *, behind: str, through: str, limit: int
) -> list[DeliveryRecord]:
    """Return rejected deliveries of a selection in the order of their ids."""
    where = _of_rejected(selection, behind, through)
    columns = columns_of(DeliveryRecord, _deliveries, source=_sources.c.name)
    query = select(*columns).join_from(_deliveries, _sources, _sources.c.id == _deliveries.c.source_id)
    return fetch_all(connection, DeliveryRecord, query.where(*where).order_by(_deliveries.c.id).limit(limit))


def append_replayed(
    connection: Connection, originals: Sequence[OriginalEntry], replay_id: str, consumer: str | None
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
        connection.execute(update(_subjects).where(*one).values(due_at=now, attempts=0))


def start(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Write down a run; false where its plan was run already (the plan is the idempotency key)."""
    return insert_or_skip(connection, _replays, ["plan"], dict(values))


def of_plan(connection: Connection, plan: str) -> str:
    """Return the id of the run of a plan."""
    found: str = connection.execute(select(_replays.c.id).where(_replays.c.plan == plan)).scalar_one()
    return found


def _all() -> Select[Any]:
    return select(*columns_of(ReplayRecord, _replays))


def find(connection: Connection, replay_id: str) -> ReplayRecord | None:
    """Return one replay."""
    return fetch_one(connection, ReplayRecord, _all().where(_replays.c.id == replay_id))


def listing(connection: Connection, *, limit: int) -> list[ReplayRecord]:
    """Return replays, newest first."""
    return fetch_all(connection, ReplayRecord, _all().order_by(_replays.c.id.desc()).limit(limit))


def due(connection: Connection, now: datetime) -> list[str]:
    """Return the ids of running replays whose next part may be done."""
    running = fetch_all(connection, ReplayRecord, _all().where(_is_running).order_by(_replays.c.due_at))
    return [replay.id for replay in running if replay.is_due(now)]


def lock(connection: Connection, replay_id: str) -> ReplayRecord | None:
    """Return a running replay for this transaction alone; none where it is over, or another worker is at it."""
    query = _all().where(_replays.c.id == replay_id, _is_running)
    return fetch_one(connection, ReplayRecord, query.with_for_update(skip_locked=True, key_share=True))


def advance(connection: Connection, replay_id: str, values: Mapping[str, Any]) -> None:
    """Write down how far a replay has come."""
    connection.execute(update(_replays).where(_replays.c.id == replay_id).values(**values))


def cancel(connection: Connection, replay_id: str, now: datetime) -> bool:
    """Stop a running replay where it stands; false where it was over already."""
    running = update(_replays).where(_replays.c.id == replay_id, _is_running)
    return connection.execute(running.values(state=ReplayState.CANCELLED, finished_at=now)).rowcount == 1
