"""Indexing events, so that they can be searched for: after their commit, in batches, in the order of their positions.

Two watermarks say how far it has come: up to which position the feed is indexed, and below which one it is not, because
those entries were there before there was an index. A batch and its watermark are one transaction, so a kill leaves
nothing half done, and whoever comes next goes on.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, delete, exists, func, literal, or_, select, update

from receiver.model import OwnType
from receiver.store import exceptions
from receiver.store.bulk_insert import BulkInsert, upsert
from receiver.store.records import columns_of, fetch_all
from receiver.store.search_terms import CONFLICT, terms_of
from receiver.store.tables import (
    Event,
    Facets,
    FeedEntry,
    FeedHead,
    SearchBlock,
    SearchConflict,
    SearchEvent,
    SearchKey,
    SearchProgress,
    table_of,
)

_events, _entries, _head = table_of(Event), table_of(FeedEntry), table_of(FeedHead)
_facets, _found, _keys = table_of(Facets), table_of(SearchEvent), table_of(SearchKey)
_blocks, _conflicts, _progress = table_of(SearchBlock), table_of(SearchConflict), table_of(SearchProgress)

BLOCK_BITS = 13
"""Positions in a block, as a power of two: 8,192. What is asked for is sorted within a block, and looked up in each."""

BATCH = 250
"""Entries that are indexed in one transaction: on SQLite callbacks wait for it, some 20 ms."""

SEPARATOR = b"\n"
"""Between packed terms; none holds one."""

FACETS = ("source_id", "type", "currency", "proof", "status", "late")

_insert_found = BulkInsert(_found, ("position", "event_id", "facets_id", "received_at", "terms"), unique=["event_id"])
_insert_keys = BulkInsert(
    _keys, ("block", "facets_id", "term", "position"), unique=["block", "facets_id", "term", "position"]
)
_insert_conflicts = BulkInsert(_conflicts, ("event_id",), unique=["event_id"])


class Placed(NamedTuple):
    """An event as it is indexed, and the position of its own feed entry."""

    position: int
    id: str
    source_id: int
    type: str
    subject: str | None
    payment_id: str | None
    claimed_status: str | None
    amount: str | None
    currency: str | None
    facts: dict[str, Any]
    proof: str
    conflict: bool
    late: bool
    received_at: datetime


def block_of(position: int) -> int:
    """Return the block that a position is in."""
    return position >> BLOCK_BITS


def index_events(connection: Connection, events: Sequence[Placed]) -> None:
    """Make events searchable, each once, in the caller's transaction, which holds the lock of the feed's head."""
    facets = _facets_of(connection, events)
    made = [(event, facets[_facets_key(event)], _terms(event)) for event in events]
    rows = [
        (event.position, event.id, facets_id, event.received_at, SEPARATOR.join(terms))
        for event, facets_id, terms in made
    ]
    new = _insert_found.run_for_new(connection, rows)
    keys = [
        (block_of(event.position), facets_id, term, event.position)
        for event, facets_id, terms in made
        if event.position in new
        for term in terms
    ]
    # In the order of the primary key, so that each of its pages is written once.
    _insert_keys.run(connection, sorted(keys))
    _widen_blocks(connection, events)


def _terms(event: Placed) -> list[bytes]:
    return terms_of(
        event.facts,
        subject=event.subject,
        payment_id=event.payment_id,
        amount=event.amount,
        currency=event.currency,
        conflict=event.conflict,
    )


def _facets_key(event: Placed) -> tuple[Any, ...]:
    words = (event.currency or "", str(event.proof), str(event.claimed_status or ""))
    return (event.source_id, event.type, *words, bool(event.late))


def _facets_of(connection: Connection, events: Sequence[Placed]) -> dict[tuple[Any, ...], int]:
    """Return the numbers of the events' facets; those that are new get one."""
    wanted = {_facets_key(event) for event in events}
    known = _known_facets(connection)
    new = sorted(wanted - known.keys())
    if new:
        rows = [dict(zip(FACETS, combination, strict=True)) for combination in new]
        connection.execute(upsert(connection, _facets).values(rows).on_conflict_do_nothing(index_elements=list(FACETS)))
        known = _known_facets(connection)
    return known


def _known_facets(connection: Connection) -> dict[tuple[Any, ...], int]:
    rows = connection.execute(select(_facets.c.id, *(_facets.c[name] for name in FACETS)))
    return {
        (source_id, type_, currency, str(proof), *rest): id_ for id_, source_id, type_, currency, proof, *rest in rows
    }


def _widen_blocks(connection: Connection, events: Sequence[Placed]) -> None:
    """Note of each block when its first event came, and its last one."""
    times: dict[int, list[datetime]] = {}
    for event in events:
        times.setdefault(block_of(event.position), []).append(event.received_at)
    for block, came in sorted(times.items()):
        statement = upsert(connection, _blocks).values(block=block, first_at=min(came), last_at=max(came))
        least, most = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
        widened = {
            "first_at": least(_blocks.c.first_at, statement.excluded.first_at),
            "last_at": most(_blocks.c.last_at, statement.excluded.last_at),
        }
        connection.execute(statement.on_conflict_do_update(index_elements=["block"], set_=widened))


def is_behind(connection: Connection) -> bool:
    """Tell whether something is to be indexed by whoever looks; it costs next to nothing."""
    through = select(_progress.c.through).scalar_subquery()
    is_new = through < select(_head.c.position).scalar_subquery()
    return bool(connection.execute(select(or_(is_new, exists(_conflicts_known())))).scalar_one())


def follow(connection: Connection, last: int | None = None) -> bool:
    """Index up to `BATCH` entries that have their positions, up to the one at `last`; true where more may be left.

    It takes the lock of the feed's head, in the caller's transaction: one indexes at a time.
    """
    head = lock_head(connection)
    noted = _note_conflicts_known(connection)
    last = head if last is None else last
    before: int = connection.execute(select(_progress.c.through)).scalar_one()
    through = min(before + BATCH, last)
    if through > before:
        index_events(connection, _placed(connection, before, through))
        connection.execute(update(_progress).values(through=through))
    return through < last or noted == BATCH


def lock_head(connection: Connection) -> int:
    """Take the lock of the feed's head, so that nobody else projects or indexes; return the last position given."""
    head: int = connection.execute(select(_head.c.position).with_for_update(key_share=True)).scalar_one()
    return head


def index_older(connection: Connection, number: int) -> int:
    """Index up to so many of the entries that were there before the index, newest first; return how many those were.

    It takes the lock of the feed's head, in the caller's transaction.
    """
    lock_head(connection)
    below: int = connection.execute(select(_progress.c.below)).scalar_one()
    if below <= 1:
        return 0
    lowest = max(0, below - 1 - number)
    index_events(connection, _placed(connection, lowest, below - 1))
    connection.execute(update(_progress).values(below=lowest + 1 if lowest else 0))
    return below - 1 - lowest


def older_left(connection: Connection) -> int:
    """Return how many entries are not indexed that were there before there was an index; about so many events."""
    below: int = connection.execute(select(_progress.c.below)).scalar_one()
    return max(0, below - 1)


def _placed(connection: Connection, after: int, through: int) -> list[Placed]:
    """Return the events whose own feed entry is behind `after`, up to `through`.

    A replay's entry is no event's own, nor is what we tell of a payment that an event is about. What a sweep found has
    an entry of our own type.
    """
    is_within = (_entries.c.position > after, _entries.c.position <= through)
    columns = columns_of(Placed, _events, position=_entries.c.position)
    is_recovered = and_(_entries.c.type == OwnType.PAYMENT_RECOVERED, _events.c.found_by.is_not(None))
    is_own = or_(and_(_entries.c.type == _events.c.type, _events.c.found_by.is_(None)), is_recovered)
    query = (
        select(*columns)
        .join_from(_entries, _events, _events.c.id == _entries.c.event_id)
        .where(*is_within, _entries.c.replay_id.is_(None), is_own)
        .order_by(_entries.c.position)
    )
    return fetch_all(connection, Placed, query)


def index_anew(connection: Connection, event_ids: Sequence[str]) -> None:
    """Have events that are indexed be found by what they say now, in the caller's transaction, which holds the head.

    One that is not indexed yet will be with what it says then. Each keeps its position; its feed entry may be gone.
    """
    columns = (_found.c.event_id, _found.c.position, _found.c.facets_id, _found.c.terms)
    rows = connection.execute(select(*columns).where(_found.c.event_id.in_(event_ids))).all()
    for row in rows:
        of_event = (_keys.c.block == block_of(row.position), _keys.c.facets_id == row.facets_id)
        is_own = (_keys.c.term.in_(row.terms.split(SEPARATOR)), _keys.c.position == row.position)
        connection.execute(delete(_keys).where(*of_event, *is_own))
        connection.execute(delete(_found).where(_found.c.position == row.position))
    index_events(connection, _as_before(connection, {row.event_id: row.position for row in rows}))


def _as_before(connection: Connection, positions: Mapping[str, int]) -> list[Placed]:
    """Return events as they are now, each at its position."""
    columns = columns_of(Placed, _events, position=literal(0))
    found = fetch_all(connection, Placed, select(*columns).where(_events.c.id.in_(positions))) if positions else []
    placed = [event._replace(position=positions[event.id]) for event in found]
    return sorted(placed, key=lambda event: event.position)


def note_conflicts(connection: Connection, event_ids: Sequence[str]) -> None:
    """Leave word that events came again with other content, in the transaction that marks them so."""
    _insert_conflicts.run(connection, [(event_id,) for event_id in event_ids])


def _conflicts_known() -> Select[tuple[str]]:
    """Select the noted conflicts of events that are indexed; an event that is not will be with its conflict."""
    # No join: SQLite's planner might begin with the table of all events.
    is_indexed = exists(select(_found.c.position)).where(_found.c.event_id == _conflicts.c.event_id)
    return select(_conflicts.c.event_id).where(is_indexed)


def _note_conflicts_known(connection: Connection) -> int:
    """Have the noted conflicts found, and looked at by a person, up to `BATCH` of them; return how many those were."""
    event_ids = connection.execute(_conflicts_known().limit(BATCH)).scalars().all()
    if not event_ids:
        return 0
    columns = (_found.c.position, _found.c.facets_id, _found.c.terms)
    rows = connection.execute(select(*columns).where(_found.c.event_id.in_(event_ids))).all()
    _insert_keys.run(connection, [(block_of(row.position), row.facets_id, CONFLICT, row.position) for row in rows])
    for row in rows:
        terms = row.terms.split(SEPARATOR)
        if CONFLICT not in terms:
            packed = SEPARATOR.join([*terms, CONFLICT])
            connection.execute(update(_found).where(_found.c.position == row.position).values(terms=packed))
    exceptions.open_conflicts(connection, [str(event_id) for event_id in event_ids])
    connection.execute(delete(_conflicts).where(_conflicts.c.event_id.in_(event_ids)))
    return len(event_ids)
