"""The lease on looking at something about a source: of several workers one alone does, once in a while."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from receiver.store.bulk_insert import insert_or_skip
from receiver.store.records import SKEW
from receiver.store.tables import SourceWatch, table_of

_watches = table_of(SourceWatch)


def is_due(connection: Connection, source_id: int, what: str, *, now: datetime, every: timedelta) -> bool:
    """Tell whether it was not looked at for the length of `every`; what a clock that was wrong wrote down is over."""
    query = select(_watches.c.looked_at).where(_watches.c.source_id == source_id, _watches.c.what == what)
    looked_at: datetime | None = connection.execute(query).scalar_one_or_none()
    return looked_at is None or not now - every < looked_at <= now + SKEW


def claim(connection: Connection, source_id: int, what: str, *, now: datetime, every: timedelta) -> bool:
    """Write down that it is looked at now; false where another process has done so meanwhile."""
    if insert_or_skip(
        connection, _watches, ["source_id", "what"], {"source_id": source_id, "what": what, "looked_at": now}
    ):
        return True
    is_long_ago = or_(_watches.c.looked_at <= now - every, _watches.c.looked_at > now + SKEW)
    mine = update(_watches).where(_watches.c.source_id == source_id, _watches.c.what == what, is_long_ago)
    return connection.execute(mine.values(looked_at=now)).rowcount == 1
