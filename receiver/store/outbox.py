"""What is committed and has no position in the feed yet (transactional outbox), and how it gets one, in batches.

Of an event that came its writer leaves a small row, and all else is derived from the event itself; other writers leave
whole entries. A number handed out at insert shows at commit, and commits come in another order: a reader would step
over the entry that commits late. So positions are given to what is committed, one batch at a time, under the lock of
the one row in `feed_head`. The head is a row of its own so that it never goes back, whatever is deleted.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Table, bindparam, delete, func, select, update

from receiver.model import Status, SubjectKind
from receiver.store import events
from receiver.store.bulk_insert import BulkInsert
from receiver.store.records import columns_of, fetch_all
from receiver.store.tables import Event, FeedEntry, FeedHead, OutboxEntry, PendingEvent, table_of

_pending, _outbox, _events, _entries, _head = (
    table_of(model) for model in (PendingEvent, OutboxEntry, Event, FeedEntry, FeedHead)
)

BATCH = 250
"""Events, and entries of others, that get their positions in one transaction: on SQLite callbacks wait for it."""


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

leave_events = BulkInsert(_pending, ["event_id"])
"""Notes of new events that what follows from them is to be derived: in the transaction that writes these events."""


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


class State(NamedTuple):
    """The last position given, and the highest numbers of what has none yet; 0 where all have."""

    position: int
    last_event: int
    last_entry: int

    @property
    def is_pending(self) -> bool:
        """Whether anything that is committed has no position yet."""
        return bool(self.last_event or self.last_entry)


_STATE = select(
    _head.c.position,
    select(func.coalesce(func.max(_pending.c.id), 0)).scalar_subquery(),
    select(func.coalesce(func.max(_outbox.c.id), 0)).scalar_subquery(),
)


def state(connection: Connection) -> State:
    """Return how far positions were given and what waits for one; next to nothing where nothing does."""
    return State._make(connection.execute(_STATE).one())


class Derivable(NamedTuple):
    """A new event, as much of it as something is derived from; times are UTC."""

    number: int
    """Its place among those that wait."""
    id: str
    type: str
    source_id: int
    kind: SubjectKind
    subject: str | None
    claimed_status: Status | None
    amount: str | None
    currency: str | None
    claimed_at: datetime | None
    received_at: datetime
    found_by: str | None = None
    """What found it before its callback came, for which it waits here; its entry was written then."""


class Batch(NamedTuple):
    """A batch that was given its positions, the last of which is `position`; its events in their order."""

    position: int
    events: Sequence[Derivable]
    entry_numbers: Sequence[int]

    def covers(self, seen: State) -> bool:
        """Tell whether all that waited when `seen` was looked at has its position by now."""
        event_numbers = [event.number for event in self.events]
        return _is_through(event_numbers, seen.last_event) and _is_through(self.entry_numbers, seen.last_entry)


def _is_through(numbers: Sequence[int], last: int) -> bool:
    """Tell it of one of the two queues: each is taken from its lowest number on, up to `BATCH` of them."""
    return len(numbers) < BATCH or numbers[-1] >= last


_LOCK_HEAD = select(_head.c.position).with_for_update(key_share=True)
_MOST = bindparam("most", type_=Integer)
_FIRST_EVENTS = (
    select(*columns_of(Derivable, _events, number=_pending.c.id))
    .join_from(_pending, _events, _events.c.id == _pending.c.event_id)
    .order_by(_pending.c.id)
    .limit(_MOST)
)
_FIRST_ENTRIES = select(_outbox).order_by(_outbox.c.id).limit(_MOST)

_MOVED = ("type", "source_id", "subject", "time", "event_id", "data", "replay_id", "consumer", "copied_at")
_insert_entries = BulkInsert(_entries, ("position", "outbox_id", *_MOVED)).run


class _Entry(NamedTuple):
    """What is to stand in the feed, in the columns of the outbox."""

    id: int
    type: str
    source_id: int
    subject: str | None
    time: datetime
    event_id: str | None
    data: Mapping[str, Any]
    replay_id: str | None
    consumer: str | None
    copied_at: datetime | None


def take(connection: Connection) -> Batch:
    """Give the next batch its positions in the caller's transaction, which must see what is committed (READ COMMITTED).

    The two queues are merged by time: neither waits for the other, however long nobody has looked.
    """
    # The lock comes first, in a statement of its own: what the next statements see was committed before it.
    before: int = connection.execute(_LOCK_HEAD).scalar_one()
    new = fetch_all(connection, Derivable, _FIRST_EVENTS.params(most=BATCH))
    left = fetch_all(connection, _Entry, _FIRST_ENTRIES.params(most=BATCH))
    entries = list(merge(_entries_of(connection, new), left, key=attrgetter("time")))
    if not (entries or new):
        return Batch(before, [], [])
    _insert_entries(connection, [(position, *entry) for position, entry in enumerate(entries, before + 1)])
    # Exactly those that were read: another writer may have committed a lower number in the meantime.
    _delete(connection, _pending, [event.number for event in new])
    _delete(connection, _outbox, [entry.id for entry in left])
    connection.execute(update(_head).values(position=before + len(entries)))
    return Batch(before + len(entries), new, [entry.id for entry in left])


def _entries_of(connection: Connection, new: Sequence[Derivable]) -> list[_Entry]:
    """Return the feed's entries of events, without a copy of the data where it can be read of the event for ever.

    The payment that a reference stands for is filled in later, and an entry once given does not change.
    """
    new = [event for event in new if event.found_by is None]
    references = [event.id for event in new if event.kind == SubjectKind.REFERENCE]
    copied = events.feed_data(connection, references)
    return [
        _Entry(
            event.number,
            event.type,
            event.source_id,
            event.subject,
            event.received_at,
            event.id,
            copied.get(event.id, {}),
            replay_id=None,
            consumer=None,
            copied_at=None,
        )
        for event in new
    ]


def _delete(connection: Connection, queue: Table, numbers: Sequence[int]) -> None:
    if numbers:
        connection.execute(delete(queue).where(queue.c.id.in_(numbers)))
