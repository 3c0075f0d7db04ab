"""From committed events to what follows from them: the feed, payments and jobs to ask for, searches, exceptions.

A callback is answered once its event is on disk. Whoever looks next (a reader, the worker) derives the rest, a batch
in a transaction, one at a time under the lock of positions. So each read begins here, before its own snapshot does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from receiver.model import ExceptionState
from receiver.store import claims, days, exceptions, outbox, recoveries, search_index
from receiver.store.claims import NewClaim
from receiver.store.database import Database
from receiver.store.exceptions import AT_ONCE, Known, Opened
from receiver.store.outbox import Batch, Derivable


def catch_up(database: Database) -> int:
    """Derive all that follows from what is committed by now, and return the last position given.

    It costs one small query where nothing waits, and then needs no database that can be written. Where another one
    projects, its lock is waited for as long as banks can wait.

    Raises:
        StoreUnavailable
    """
    with database.read() as connection:
        seen = outbox.state(connection)
    position = seen.position
    is_behind = seen.is_pending
    while is_behind:
        with database.write() as connection:
            batch = _project(connection)
        position = batch.position
        # What comes in meanwhile is left to the next who looks: else one of them might never come to an end.
        is_behind = not batch.covers(seen)
    return position


def _project(connection: Connection) -> Batch:
    """Derive everything from the next batch of events; whatever else is to follow from an event is added here."""
    batch = outbox.take(connection)
    # Those that a sweep had found, and whose callbacks have come after all.
    met = [event for event in batch.events if event.found_by is not None]
    came = recoveries.came_at(connection, [event.id for event in met]) if met else {}
    claims.make_due(connection, list(_claims_of(batch.events, came)))
    if met:
        recoveries.settle_met(connection, {event.id: event.source_id for event in met}, came)
        search_index.index_anew(connection, [event.id for event in met])
        days.events_joined(connection, came)
    return batch


def _claims_of(events: Iterable[Derivable], came: Mapping[str, datetime]) -> Iterable[NewClaim]:
    """Return what events claim of that which the bank can be asked about, in their order.

    `came` says when the callbacks came of those that were there before.
    """
    for event in events:
        if event.kind in claims.SUBJECT_KINDS and event.subject is not None:
            yield NewClaim(
                source_id=event.source_id,
                kind=event.kind,
                subject=event.subject,
                status=event.claimed_status,
                amount=event.amount,
                currency=event.currency,
                event_id=event.id,
                at=came.get(event.id, event.received_at),
                claimed_at=event.claimed_at,
            )


def index_all(database: Database) -> None:
    """Have searches find every event that is committed by now; costs two small queries where none is new.

    Raises:
        StoreUnavailable
    """
    last = catch_up(database)
    is_behind = _is_behind(database)
    while is_behind:
        with database.write() as connection:
            # What comes in meanwhile is left to the next who looks, as in `catch_up`.
            is_behind = search_index.follow(connection, last)


def index_some(database: Database) -> int:
    """Index the next few of the events that have their position; return 0 where there are none.

    Raises:
        StoreUnavailable
    """
    if not _is_behind(database):
        return 0
    with database.write() as connection:
        search_index.follow(connection)
    return 1


def _is_behind(database: Database) -> bool:
    with database.read() as connection:
        return search_index.is_behind(connection)


def derive_all(database: Database, now: datetime) -> None:
    """Have everything opened that a person has to look at by now, conflicts too, and resolved what is no longer so.

    Raises:
        StoreUnavailable
    """
    index_all(database)
    # Conflicts of events that were indexed just now.
    index_some(database)
    while derive_some(database, now) == AT_ONCE:
        pass


def derive_some(database: Database, now: datetime) -> int:
    """Open and resolve what has changed among deliveries; return how many late ones were opened, up to `AT_ONCE`.

    It writes only what it must. What is refused meanwhile, in a flood perhaps, is left to who looks next.

    Raises:
        StoreUnavailable
    """
    with database.read() as connection:
        refused, known = exceptions.refused(connection), exceptions.known_refused(connection)
        late = exceptions.late_unopened(connection)
        opened = [*_anew(refused, known), *late]
        fewer, gone = _fewer(refused, known), _gone(refused, known)
        is_late_over = exceptions.has_late_over(connection)
    if not (opened or fewer or gone or is_late_over):
        return 0
    with database.write() as connection:
        exceptions.open_all(connection, opened, now)
        for seen, left in fewer:
            exceptions.count_refused(connection, seen, left)
        for each in gone:
            exceptions.resolve_refused(connection, each, now)
        if is_late_over:
            exceptions.resolve_late(connection, now)
    return len(late)


def _anew(refused: Sequence[Opened], known: Mapping[tuple[int, str], Known]) -> Iterator[Opened]:
    """Yield the refused deliveries that nobody was told of, or of which more have come since."""
    for each in refused:
        before = known.get((each.source_id, each.subject))
        if before is None or (before.delivery_id or "") < (each.delivery_id or ""):
            yield each


def _fewer(refused: Sequence[Opened], known: Mapping[tuple[int, str], Known]) -> list[tuple[Known, Opened]]:
    """Return what is open about refused deliveries of which some are stored no longer, in one order for all writers."""
    pairs = ((known.get((each.source_id, each.subject)), each) for each in refused)
    found = [
        (seen, each)
        for seen, each in pairs
        if seen is not None
        and seen.state != ExceptionState.RESOLVED
        and (seen.number, seen.delivery_id or "") != (each.number, each.delivery_id or "")
        and (seen.delivery_id or "") >= (each.delivery_id or "")
    ]
    return sorted(found, key=lambda pair: pair[0][:2])


def _gone(refused: Sequence[Opened], known: Mapping[tuple[int, str], Known]) -> list[Known]:
    """Return what is open about refused deliveries none of which is stored any more: they were accepted, or dropped."""
    there = {(each.source_id, each.subject) for each in refused}
    return [known[key] for key in sorted(known.keys() - there) if known[key].state != ExceptionState.RESOLVED]
