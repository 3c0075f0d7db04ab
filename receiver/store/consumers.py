"""Named consumers: the position in the feed up to which each downstream app has committed what it read (its offset)."""

import re
from datetime import datetime

from sqlalchemy import Connection, select, update

from receiver.store.bulk_insert import insert_or_skip
from receiver.store.tables import Consumer, table_of

_consumers = table_of(Consumer)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_TAKES = "1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, no sign at the start"


def is_name(text: str) -> bool:
    """Tell whether a consumer may have this name: it stands in a URL as it is."""
    return NAME.fullmatch(text) is not None


def position_of(connection: Connection, name: str) -> int | None:
    """Return the committed position; none where the name is new."""
    found: int | None = connection.execute(select(_consumers.c.position).where(_consumers.c.name == name)).scalar()
    return found


def names(connection: Connection) -> list[str]:
    """Return the names of all consumers."""
    return list(connection.execute(select(_consumers.c.name)).scalars())


def create(connection: Connection, name: str, now: datetime) -> None:
    """Make a consumer at the beginning of the feed, unless it is there already (idempotent)."""
    insert_or_skip(connection, _consumers, ["name"], {"name": name, "position": 0, "created_at": now})


def acknowledge(connection: Connection, name: str, position: int, now: datetime) -> int:
    """Commit a position and return what is committed then: an earlier one than before changes nothing."""
    create(connection, name, now)
    connection.execute(
        update(_consumers)
        .where(_consumers.c.name == name, _consumers.c.position <= position)
        .values(position=position, acked_at=now)
    )
    committed: int = connection.execute(select(_consumers.c.position).where(_consumers.c.name == name)).scalar_one()
    return committed


def seek(connection: Connection, name: str, position: int, now: datetime) -> None:
    """Move a consumer on purpose, forwards or back; it is made where there is none."""
    create(connection, name, now)
    connection.execute(update(_consumers).where(_consumers.c.name == name).values(position=position, acked_at=now))
