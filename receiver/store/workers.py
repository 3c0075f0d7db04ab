"""What workers leave for each other: when one was at work last, and the lease on a look at something about a source."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from receiver.store.bulk_insert import insert_or_skip, upsert
from receiver.store.records import SKEW
from receiver.store.tables import SourceWatch, WorkerSeen, table_of

_seen, _watches = table_of(WorkerSeen), table_of(SourceWatch)

_ROW = 1

SEEN_WITHIN = timedelta(minutes=1)
"""A worker writes down four times a minute that it is at work."""


def note_seen(connection: Connection, now: datetime) -> None:
    """Write down that a worker is at work at `now` (UTC)."""
    statement = upsert(connection, _seen).values(id=_ROW, seen_at=now)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))


def last_seen(connection: Connection) -> datetime | None:
    """Return when a worker was at work last, in UTC; none where none ever was."""
    found: datetime | None = connection.execute(select(_seen.c.seen_at)).scalar_one_or_none()
    return found


def is_there(seen_at: datetime, now: datetime) -> bool:
    """Tell whether a worker is at work, by when one was last; what a clock that was ahead wrote down says nothing."""
    return abs(now - seen_at) <= SEEN_WITHIN


def is_look_due(connection: Connection, source_id: int, what: str, *, now: datetime, every: timedelta) -> bool:
    """Tell whether it was not looked at for the length of `every`; what a clock that was wrong wrote down is over."""
    query = select(_watches.c.looked_at).where(_watches.c.source_id == source_id, _watches.c.what == what)
    looked_at: datetime | None = connection.execute(query).scalar_one_or_none()
    return looked_at is None or not now - every < looked_at <= now + SKEW


def claim_look(connection: Connection, source_id: int, what: str, *, now: datetime, every: timedelta) -> bool:
    """Write down that it is looked at now; false where another process has done so meanwhile: one alone looks."""
    if insert_or_skip(
        connection, _watches, ["source_id", "what"], {"source_id": source_id, "what": what, "looked_at": now}
    ):
        return True
    is_long_ago = or_(_watches.c.looked_at <= now - every, _watches.c.looked_at > now + SKEW)
    mine = update(_watches).where(_watches.c.source_id == source_id, _watches.c.what == what, is_long_ago)
    return connection.execute(mine.values(looked_at=now)).rowcount == 1
