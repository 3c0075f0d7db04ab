"""From committed events to what follows from them: entries of the feed with positions, payments and jobs to ask for.

A callback is answered once its event is on disk. Whoever looks next (a reader, the worker) derives the rest, a batch
in a transaction, one at a time under the lock of positions. So each read begins here, before its own snapshot does.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection

from receiver.store import claims, days, outbox, recoveries, search_index
from receiver.store.claims import NewClaim
from receiver.store.database import Database
from receiver.store.outbox import Derivable, Taken


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
            taken = _project(connection)
        position = taken.position
        # What comes in meanwhile is left to the next who looks: else one of them might never come to an end.
        is_behind = not taken.covers(seen)
    return position


def _project(connection: Connection) -> Taken:
    """Derive everything from the next batch of events; whatever else is to follow from an event is added here."""
    taken = outbox.take(connection)
    # Those that a sweep had found, and whose callbacks have come after all.
    met = [event for event in taken.events if event.found_by is not None]
    came = recoveries.came_at(connection, [event.id for event in met]) if met else {}
    claims.make_due(connection, list(_claims_of(taken.events, came)))
    if met:
        recoveries.settle_met(connection, {event.id: event.source_id for event in met}, came)
        search_index.index_anew(connection, [event.id for event in met])
        days.events_joined(connection, came)
    return taken


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
