"""The ordered log. A writer leaves its entry in the outbox, in its own transaction; positions are given afterwards.

A number handed out at insert shows at commit, and commits come in another order: a reader would step over the entry
that commits late. So positions are given to entries that are committed, by whoever looks next, one at a time under the
lock of the one row in `feed_head`; in the same transaction they move from the outbox to the feed. The head is a row
of its own so that it never goes back, whatever is deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from receiver.store import pagination, sources
from receiver.store.bulk_insert import BulkInsert
from receiver.store.database import Database
from receiver.store.tables import FeedEntry, FeedHead, OutboxEntry, table_of

_outbox, _entries, _head = (table_of(model) for model in (OutboxEntry, FeedEntry, FeedHead))

OVERTAKING = timedelta(minutes=1)
"""Writers overtake one another by less: one that waits for longer is refused."""

BATCH = 1000
"""Entries that get their positions in one transaction."""

_HEAD = select(_head.c.position)
_LAST_AND_PENDING = select(_head.c.position, exists(select(_outbox.c.id)))


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


_SHOWN = ("position", "type", "source_id", "subject", "time", "event_id", "data", "replay_id")
"""The columns of an entry as a reader gets it."""


@dataclass(frozen=True)
class Wanted:
    """Which entries a reader asks for; empty `sources` or `types` stand for all. `consumer` is the reader's name."""

    sources: Sequence[str] = ()
    types: Sequence[str] = ()
    consumer: str | None = None


EVERYTHING = Wanted()


@dataclass(frozen=True)
class Page:
    """Entries in the order of their positions, and up to where the log was read for them."""

    entries: Sequence[Entry]
    through: int
    has_more: bool


class NewEntry(NamedTuple):
    """An entry as its writer leaves it; it has no position yet."""

    type: str
    source_id: int
    subject: str | None
    event_id: str | None
    data: Mapping[str, Any]
    time: datetime


append_all = BulkInsert(_outbox, NewEntry._fields).run
"""Write entries in the caller's transaction, in their order; they show once that is committed."""


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
    append_all(connection, [NewEntry(type, source_id, subject, event_id, data, now)])


def give_positions(database: Database) -> int:
    """Give every committed entry its position, and return the last one given.

    Raises:
        StoreUnavailable
    """
    with database.read() as connection:
        last, is_pending = connection.execute(_LAST_AND_PENDING).one()
    while is_pending:
        before = last
        with database.write() as connection:
            last = _move(connection)
        # What comes in meanwhile is left to the next who looks: else one of them might never come to an end.
        is_pending = last - before >= BATCH
    return int(last)


def _move(connection: Connection) -> int:
    """Move up to `BATCH` entries from the outbox to the feed, and return the last position given."""
    # The lock comes first, in a statement of its own: what the next statement sees was committed before it.
    before: int = connection.execute(select(_head.c.position).with_for_update(key_share=True)).scalar_one()
    copied = [column for column in _outbox.c if column.name != "id"]
    pending = (
        select((before + func.row_number().over(order_by=_outbox.c.id)).label("position"), _outbox.c.id, *copied)
        .order_by(_outbox.c.id)
        .limit(BATCH)
    )
    columns = ["position", "outbox_id", *(column.name for column in copied)]
    connection.execute(insert(_entries).from_select(columns, pending))
    # Exactly those that were moved: another writer may have committed a lower id in the meantime.
    moved = select(_entries.c.outbox_id).where(_entries.c.position > before)
    connection.execute(delete(_outbox).where(_outbox.c.id.in_(moved)))
    after: int | None = connection.execute(select(func.max(_entries.c.position))).scalar()
    if after is None or after <= before:
        return before
    connection.execute(update(_head).values(position=after))
    return after


def read(connection: Connection, *, after: int, limit: int, wanted: Wanted = EVERYTHING) -> Page:
    """Return up to `limit` entries behind position `after`, oldest first.

    Where all that is wanted was found, the page goes through to the head, so that a reader with a narrow filter does
    not walk over the same foreign entries over and over.
    """
    names = sources.names(connection)
    ids = [number for number, name in names.items() if name in wanted.sources]
    if wanted.sources and not ids:
        return Page([], max(after, head(connection)), has_more=False)
    through = head(connection)
    query = _query(tuple(ids), tuple(wanted.types), wanted.consumer)
    given = {"after": after, "through": through, "most": limit + 1}
    found = _entries_of(connection, query, names, given)
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1].position, has_more=True)
    return Page(found, max(after, through), has_more=False)


@lru_cache(maxsize=256)
def _query(source_ids: tuple[int, ...], types: tuple[str, ...], consumer: str | None) -> Select[Any]:
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
        ],
        order=_entries.c.position,
        limit=bindparam("most", type_=Integer),
    )


def _entries_of(
    connection: Connection, query: Select[Any], names: Mapping[int, str], given: Mapping[str, Any] | None = None
) -> list[Entry]:
    """Return what a query for the columns `_SHOWN` finds; `names` are those of the sources."""
    rows = connection.execute(query, given)
    return [Entry(position, type_, names[source_id], *rest) for position, type_, source_id, *rest in rows]


def head(connection: Connection) -> int:
    """Return the last position given; 0 where there is none."""
    position: int = connection.execute(_HEAD).scalar_one()
    return position


def position_at(connection: Connection, time: datetime) -> int:
    """Return the position behind which all entries written at `time` or later stand, and none other at once.

    Entries are nearly in the order of their times: the search halves the log a few dozen times rather than read it,
    for the time before which no writer is still under way, and walks from there.
    """
    last = head(connection)
    behind = _halved(connection, time - OVERTAKING, last)
    first = connection.execute(
        select(_entries.c.position)
        .where(_entries.c.position > behind, _entries.c.position <= last)
        .where(_entries.c.time >= time, _entries.c.replay_id.is_(None))
        .order_by(_entries.c.position)
        .limit(1)
    ).scalar()
    return last if first is None else first - 1


def _halved(connection: Connection, time: datetime, high: int) -> int:
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        found = connection.execute(
            select(_entries.c.time, _entries.c.position)
            .where(_entries.c.position >= middle, _entries.c.position <= high, _entries.c.replay_id.is_(None))
            .order_by(_entries.c.position)
            .limit(1)
        ).first()
        if found is None or found.time >= time:
            high = middle - 1
        else:
            low = found.position
    return low


def of_event(connection: Connection, event_id: str) -> list[Entry]:
    """Return the entries that stem from an event, in the order of their positions, those without one last."""
    names = sources.names(connection)
    placed = select(*(_entries.c[name] for name in _SHOWN)).where(_entries.c.event_id == event_id)
    pending = select(literal(0), *(_outbox.c[name] for name in _SHOWN[1:])).where(_outbox.c.event_id == event_id)
    return [
        *_entries_of(connection, placed.order_by(_entries.c.position), names),
        *_entries_of(connection, pending.order_by(_outbox.c.id), names),
    ]
