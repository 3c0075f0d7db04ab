"""The ordered log that apps read, by position. Entries are brought here by `receiver.store.outbox`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    update,
)

from receiver.model import Gone
from receiver.store import events, pagination, sources
from receiver.store.tables import Event, FeedEntry, FeedHead, OutboxEntry, PendingEvent, table_of

_outbox, _pending, _events, _entries, _head = (
    table_of(model) for model in (OutboxEntry, PendingEvent, Event, FeedEntry, FeedHead)
)

_HEAD = select(_head.c.position)
_ENDS = select(_head.c.removed, _head.c.position)


class EntriesRemoved(Gone):
    """Entries behind a place were removed for their age (retention): who went on from there would miss them."""

    def __init__(self, removed: int) -> None:
        super().__init__(
            f"entries behind this place are stored no longer: all up to position {removed} were removed for their age. "
            "Begin anew without a cursor (a consumer: `seek` to `beginning`), and look up what came in between"
        )


class Entry(NamedTuple):
    """One line of the log; `position` is 0 for as long as none is given, `source` is a name, `time` is UTC."""

    position: int
    type: str
    source: str
    subject: str | None
    time: datetime
    event_id: str | None
    data: Mapping[str, Any]
    replay_id: str | None = None
    consumer: str | None = None
    """The one consumer that it is for; told by `of_event` alone."""
    copied_at: datetime | None = None
    """When a replay wrote it, whose `time` is the original's; told by `of_event` alone."""


_SHOWN = ("position", "type", "source_id", "subject", "time", "event_id", "data", "replay_id")
"""The columns of an entry as a reader gets it."""

_WHOLE = (*_SHOWN, "consumer", "copied_at")


written_at = func.coalesce(_entries.c.copied_at, _entries.c.time)
"""When an entry was written: the time of a copy is its original's."""


@dataclass(frozen=True)
class Wanted:
    """Which entries a reader asks for; empty `sources` or `types` stand for all. `consumer` is the reader's name."""

    sources: Sequence[str] = ()
    types: Sequence[str] = ()
    consumer: str | None = None
    replayed: bool = True
    """Whether what a replay brought once more is among them."""


EVERYTHING = Wanted()


@dataclass(frozen=True)
class Page:
    """Entries in the order of their positions, and up to where the log was read for them."""

    entries: Sequence[Entry]
    through: int
    has_more: bool


def read(connection: Connection, *, after: int | None, limit: int, wanted: Wanted = EVERYTHING) -> Page:
    """Return up to `limit` entries behind position `after`, oldest first; none is the beginning of what is stored.

    Where all that is wanted was found, the page goes through to the head, so that a reader with a narrow filter does
    not walk over the same foreign entries over and over.

    Raises:
        EntriesRemoved
    """
    begins, through = connection.execute(_ENDS).one()
    after = begins if after is None else after
    if after < begins:
        raise EntriesRemoved(begins)
    names = sources.names(connection)
    ids = [number for number, name in names.items() if name in wanted.sources]
    if wanted.sources and not ids:
        return Page([], max(after, through), has_more=False)
    query = _query(tuple(ids), tuple(wanted.types), wanted.consumer, replayed=wanted.replayed)
    given = {"after": after, "through": through, "most": limit + 1}
    found = _entries_of(connection, query, names, given)
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1].position, has_more=True)
    return Page(found, max(after, through), has_more=False)


@lru_cache(maxsize=256)
def _query(source_ids: tuple[int, ...], types: tuple[str, ...], consumer: str | None, *, replayed: bool) -> Select[Any]:
    """Return the statement for a page: to build it costs more than to run it, and readers ask the same again."""
    for_reader: ColumnElement[bool] = _entries.c.consumer.is_(None)
    if consumer is not None:
        for_reader = or_(for_reader, _entries.c.consumer == consumer)
    return pagination.page(
        [_entries.c[name] for name in _SHOWN],
        pagination.combinations((_entries.c.source_id, source_ids), (_entries.c.type, types)),
        where=[
            _entries.c.position > bindparam("after", type_=BigInteger),
            _entries.c.position <= bindparam("through", type_=BigInteger),
            for_reader,
            true() if replayed else _entries.c.replay_id.is_(None),
        ],
        order=_entries.c.position,
        limit=bindparam("most", type_=Integer),
    )


def _entries_of(
    connection: Connection, query: Select[Any], names: Mapping[int, str], given: Mapping[str, Any] | None = None
) -> list[Entry]:
    """Return what a query for the columns `_SHOWN` or `_WHOLE` finds; `names` are those of the sources."""
    found = [
        Entry(position, type_, names[source_id], *rest)
        for position, type_, source_id, *rest in connection.execute(query, given)
    ]
    of_events = events.feed_data(connection, [entry.event_id for entry in found if entry.event_id and not entry.data])
    return [
        entry._replace(data=of_events[entry.event_id]) if not entry.data and entry.event_id in of_events else entry
        for entry in found
    ]


def head(connection: Connection) -> int:
    """Return the last position given; 0 where there is none."""
    position: int = connection.execute(_HEAD).scalar_one()
    return position


def removed(connection: Connection) -> int:
    """Return the last position up to which entries were removed for their age; 0 where none were."""
    position: int = connection.execute(select(_head.c.removed)).scalar_one()
    return position


def note_removed(connection: Connection, position: int) -> None:
    """Write down that entries up to a position were removed, in the transaction that removes them."""
    connection.execute(update(_head).where(_head.c.removed < position).values(removed=position))


def check_stored(connection: Connection, position: int) -> int:
    """Return a position behind which no entry was removed.

    Raises:
        EntriesRemoved
    """
    begins = removed(connection)
    if position < begins:
        raise EntriesRemoved(begins)
    return position


def oldest_time(connection: Connection) -> datetime | None:
    """Return when the oldest entry was written that a reader is given (UTC); none where there is none."""
    query = select(written_at).where(_entries.c.position > removed(connection))
    found: datetime | None = connection.execute(query.order_by(_entries.c.position).limit(1)).scalar()
    return found


def position_at(connection: Connection, time: datetime) -> int:
    """Return the position behind which all written at `time` or later stand, copies too, and no other entry at once.

    Entries are only nearly in the order in which they say that they were written (a clock may be set back, or differ
    from another receiver's), so each one before that place is looked at: a tenth of a second in a million on SQLite, a
    third on PostgreSQL. Hold no lock meanwhile. When a release without `copied_at` wrote a copy is not known: it leads
    to no place.
    """
    begins, last = connection.execute(_ENDS).one()
    first: int | None = connection.execute(
        select(_entries.c.position)
        .where(_entries.c.position > begins, _entries.c.position <= last)
        .where(written_at >= time)
        .order_by(_entries.c.position)
        .limit(1)
    ).scalar()
    return last if first is None else first - 1


def of_event(connection: Connection, event_id: str) -> list[Entry]:
    """Return the entries that stem from an event, in the order of their positions, those without one last."""
    names = sources.names(connection)
    placed = select(*(_entries.c[name] for name in _WHOLE)).where(_entries.c.event_id == event_id)
    left = select(literal(0), *(_outbox.c[name] for name in _WHOLE[1:])).where(_outbox.c.event_id == event_id)
    return [
        *_entries_of(connection, placed.order_by(_entries.c.position), names),
        *_own_pending(connection, event_id, names),
        *_entries_of(connection, left.order_by(_outbox.c.id), names),
    ]


def _own_pending(connection: Connection, event_id: str, names: Mapping[int, str]) -> list[Entry]:
    """Return the entry that an event is to have itself, for as long as it has none."""
    query = (
        select(_events.c.type, _events.c.source_id, _events.c.subject, _events.c.received_at)
        .join_from(_events, _pending, _pending.c.event_id == _events.c.id)
        # What a sweep found has its entry already, and waits for what else follows from its callback.
        .where(_events.c.id == event_id, _events.c.found_by.is_(None))
    )
    data = events.feed_data(connection, [event_id])
    return [
        Entry(0, row.type, names[row.source_id], row.subject, row.received_at, event_id, data[event_id])
        for row in connection.execute(query)
    ]
