"""Consumers: move one to another position in the feed."""

from datetime import datetime

from receiver.feed.reader import check_given_out
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import audit, consumers, feed
from receiver.store.database import retried


@retried
def seek(runtime: Runtime, who: str, name: str, to: int | datetime | None) -> int:
    """Move a consumer on purpose and return its position; audited as `consumer.moved`.

    `to` is a position (0 is the beginning), a time, before whose entries it then stands, or none for the end.

    Raises:
        PositionUnknown: it was not given out by this database.
        StoreUnavailable
    """
    catch_up(runtime.database)
    with runtime.database.write() as connection:
        head = feed.head(connection)
        position = feed.position_at(connection, to) if isinstance(to, datetime) else head if to is None else to
        check_given_out(position, head)
        before = consumers.position_of(connection, name)
        now = runtime.clock()
        consumers.seek(connection, name, position, now)
        about = {"consumer": name, "from": before, "to": position}
        audit.write(connection, runtime.encryption, at=now, who=who, what="consumer.moved", about=about)
    return position
