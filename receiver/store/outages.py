"""The last outage of each source: callbacks that could not be taken (503), noted by a web process once it is over.

Nothing is written while it lasts, when nothing can be; and nothing on a callback's way.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, or_, select

from receiver.store.bulk_insert import BulkInsert
from receiver.store.records import SKEW, columns_of, fetch_one
from receiver.store.tables import Outage as Row
from receiver.store.tables import table_of

_outages = table_of(Row)


class Outage(NamedTuple):
    """Callbacks that could not be taken, whether they were the bank's or not; times are UTC."""

    began_at: datetime
    ended_at: datetime
    number: int


# Several processes note the same outage, each its own part of it; what lies apart is another one.
_note = BulkInsert(
    _outages,
    ["source_id", *Outage._fields],
    unique=["source_id"],
    otherwise="""
        number = CASE WHEN excluded.began_at <= outages.ended_at AND outages.began_at <= excluded.ended_at
            THEN outages.number + excluded.number ELSE excluded.number END,
        began_at = CASE WHEN excluded.began_at <= outages.ended_at AND outages.began_at < excluded.began_at
            THEN outages.began_at ELSE excluded.began_at END,
        ended_at = CASE WHEN excluded.ended_at < outages.ended_at THEN outages.ended_at ELSE excluded.ended_at END
    """,
)


def note(connection: Connection, found: dict[int, Outage], now: datetime) -> None:
    """Write down the part of an outage that a process has seen, by the number of the source.

    It is over at `now` (UTC): what lies beyond was told by a clock that was ahead, and so was what is stored of such an
    outage, which is replaced.
    """
    is_ahead = or_(_outages.c.began_at > now + SKEW, _outages.c.ended_at > now + SKEW)
    # In one order for all writers, so that no two ever wait for each other in a circle.
    for source_id in sorted(found):
        began_at, ended_at, number = found[source_id]
        connection.execute(delete(_outages).where(_outages.c.source_id == source_id, is_ahead))
        _note.run(connection, [(source_id, min(began_at, now), min(ended_at, now), number)])


def between(connection: Connection, source_id: int, since: datetime, until: datetime) -> Outage | None:
    """Return the last outage of a source, where it began at `since` (UTC) or later, and ended before `until`."""
    query = select(*columns_of(Outage, _outages)).where(_outages.c.source_id == source_id)
    return fetch_one(connection, Outage, query.where(_outages.c.began_at >= since, _outages.c.ended_at < until))
