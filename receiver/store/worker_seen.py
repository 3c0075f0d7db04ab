"""When a worker was at work last, in any process."""

from datetime import datetime

from sqlalchemy import Connection, select

from receiver.store.bulk_insert import upsert
from receiver.store.tables import WorkerSeen, table_of

_seen = table_of(WorkerSeen)

_ROW = 1


def note(connection: Connection, now: datetime) -> None:
    """Write down that a worker is at work at `now` (UTC)."""
    statement = upsert(connection, _seen).values(id=_ROW, seen_at=now)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))


def last(connection: Connection) -> datetime | None:
    """Return when a worker was at work last, in UTC; none where none ever was."""
    found: datetime | None = connection.execute(select(_seen.c.seen_at)).scalar_one_or_none()
    return found
