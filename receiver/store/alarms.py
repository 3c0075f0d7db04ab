"""What people are still to be told of what needs one, for each address of `RECEIVER_ALERT_URLS`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, or_, select, update

from receiver.store import feed
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.feed import Page, Wanted
from receiver.store.records import SKEW, columns_of, fetch_one
from receiver.store.tables import AlarmProgress, table_of

_progress = table_of(AlarmProgress)

OPENED, RESOLVED = "exception.opened", "exception.resolved"
"""The types of the feed's entries that people are told of."""

WANTED = Wanted(types=(OPENED, RESOLVED), replayed=False)

AT_ONCE = 10

PAUSE, PAUSE_MAX = timedelta(seconds=10), timedelta(minutes=10)
"""The first pause after a failure, which then doubles, and the longest."""


class Progress(NamedTuple):
    """How far an address was told."""

    position: int
    leased_until: datetime | None
    failures: int
    retry_at: datetime | None


def progress(connection: Connection, address: str) -> Progress | None:
    """Return how far an address was told; none where it is new."""
    query = select(*columns_of(Progress, _progress)).where(_progress.c.address == address)
    return fetch_one(connection, Progress, query)


def begin(connection: Connection, address: str, before: Sequence[str] = ()) -> None:
    """Tell a new address of what comes from now on (idempotent); one that had another name `before` goes on by this."""
    for name in before:
        renamed = update(_progress).where(_progress.c.address == name).values(address=address)
        if connection.execute(renamed).rowcount:
            return
    values = {"address": address, "position": feed.head(connection), "failures": 0}
    insert_or_skip(connection, _progress, ["address"], values)


def left(connection: Connection, position: int) -> Page:
    """Return some of what is to be told behind a position, and was not removed for its age."""
    stored = max(position, feed.removed(connection))
    return feed.read(connection, after=stored, limit=AT_ONCE, wanted=WANTED)


def claim(connection: Connection, address: str, position: int, now: datetime, until: datetime) -> bool:
    """Lease an address; false where another worker has it, has told it meanwhile, or it is to be left alone.

    The lease is known by its end, which no other lease of the address has. What ends later than anything that is taken
    now was written by a clock that was wrong, and is over.
    """
    lease, retry = _progress.c.leased_until, _progress.c.retry_at
    is_free = or_(lease.is_(None), lease <= now, lease > until + SKEW)
    is_time = or_(retry.is_(None), retry <= now, retry > now + PAUSE_MAX + SKEW)
    which = (_progress.c.address == address, _progress.c.position == position, is_free, is_time)
    return connection.execute(update(_progress).where(*which).values(leased_until=until)).rowcount == 1


def advance(connection: Connection, address: str, position: int, until: datetime) -> bool:
    """Write down that an address was told up to a position, and renew the lease.

    False where another worker, who had it after this one's lease, has told as much already: the lease is its own.
    """
    behind = (_progress.c.address == address, _progress.c.position < position)
    values = {"position": position, "failures": 0, "retry_at": None, "leased_until": until}
    return connection.execute(update(_progress).where(*behind).values(**values)).rowcount == 1


def pass_over(connection: Connection, address: str, position: int, through: int) -> None:
    """Write down that nothing is to be told up to `through`, where an address is at a position still."""
    unchanged = (_progress.c.address == address, _progress.c.position == position)
    connection.execute(update(_progress).where(*unchanged).values(position=through))


def give_back(connection: Connection, address: str, until: datetime) -> None:
    """End the lease, unless another worker has taken it since."""
    ours = (_progress.c.address == address, _progress.c.leased_until == until)
    connection.execute(update(_progress).where(*ours).values(leased_until=None))


def put_off(connection: Connection, address: str, until: datetime, failures: int, now: datetime) -> datetime:
    """End the lease after a failure, and return when to try once more; it is left to who has taken it since, if any."""
    retry_at = now + min(PAUSE * 2.0 ** min(failures, 20), PAUSE_MAX)
    values = {"leased_until": None, "failures": failures + 1, "retry_at": retry_at}
    ours = (_progress.c.address == address, _progress.c.leased_until == until)
    connection.execute(update(_progress).where(*ours).values(**values))
    return retry_at
