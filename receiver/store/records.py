"""What callers hand in to be written down, ids, and how database rows become typed records (no ORM)."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause
from sqlalchemy.sql.selectable import TypedReturnsRows

Record = TypeVar("Record", bound=NamedTuple)
"""A typed record whose fields are named like the columns that they come from."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SKEW = timedelta(minutes=1)
"""How far the clocks of two machines may be apart: a wait that is longer than its longest by more was written down by a
clock that was wrong, and is over."""


class NonceReused(Exception):
    """The nonce was used before, by a delivery with another body (replay)."""


class NewDelivery(NamedTuple):
    """A delivery to be written down; times are UTC.

    `body` is free of content codings, unless it was refused by what is looked at before they are undone.
    """

    id: str
    source_id: int
    received_at: datetime
    peer: str
    path: str
    channel: str | None
    headers: dict[str, str]
    nonce: str | None
    signed_at: datetime | None
    proof_key: str
    body: bytes
    body_sha256: str


HEADERS_MAX = 40
VALUE_CHARACTERS = 4096
"""The most that any bank's package takes of a header to prove a callback by; of a path or channel as much is stored."""

HEADERS_CHARACTERS = 16 * 1024
"""Of all headers of a rejected delivery together, names and values."""

CUT = "…"
"""Ends what was cut, and stands as a header for those left out. None that came holds it: they are read as Latin-1."""


def shortened(delivery: NewDelivery) -> NewDelivery:
    """Return a delivery with as much of its path, channel and headers as is stored of a rejected one.

    Where all headers together are too long, the longest of them are cut, so that those of a signature stay whole.
    """
    most, headers = VALUE_CHARACTERS, dict(list(delivery.headers.items())[:HEADERS_MAX])
    if len(delivery.headers) > HEADERS_MAX:
        headers[CUT] = f"{len(delivery.headers) - HEADERS_MAX} more"
    while True:
        short = {_beginning(name, most): _beginning(value, most) for name, value in headers.items()}
        if sum(len(name) + len(value) for name, value in short.items()) <= HEADERS_CHARACTERS:
            break
        most //= 2
    path, channel = _beginning(delivery.path, VALUE_CHARACTERS), delivery.channel
    channel = None if channel is None else _beginning(channel, VALUE_CHARACTERS)
    return delivery._replace(path=path, channel=channel, headers=short)


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + CUT


def is_cut(text: str | None) -> bool:
    """Tell whether of a path, a channel, a header's name or value only the beginning was stored."""
    return text is not None and text.endswith(CUT)


class NewEvent(NamedTuple):
    """One thing that a delivery tells; `kind`, `claimed_status` and `proof` are words of `receiver.model`."""

    id: str
    identity: bytes
    content_sha256: str
    type: str
    kind: str
    subject: str | None
    payment_id: str | None
    claimed_status: str | None
    amount: str | None
    currency: str | None
    facts: dict[str, Any]
    proof: str
    late: bool = False
    """Whether its delivery was late, and confirmed afterwards."""
    claimed_at: datetime | None = None
    """When the bank told it, where that orders its claims."""


DeliveryWithEvents = tuple[NewDelivery, Sequence[NewEvent]]
DeliveredEvent = tuple[NewDelivery, NewEvent]


class Recorded(NamedTuple):
    """What became of a delivery: its events in its own order, whether any is new, whether any conflicts."""

    event_ids: tuple[str, ...]
    is_new: bool
    has_conflict: bool = False
    waits: bool = False
    """It is late, and has no events until it is confirmed."""


def new_id(prefix: str, now: datetime) -> str:
    """Return `<prefix>_` with 48 bits of milliseconds (UTC, as UUIDv7 of RFC 9562 has them) and 64 random bits."""
    return lowest_id(prefix, now) + os.urandom(8).hex()


def lowest_id(prefix: str, now: datetime) -> str:
    """Return what every id made at `now` or later sorts at or behind."""
    return f"{prefix}_{int(now.timestamp() * 1000):012x}"


def moment_of(beginning: str, rest: str) -> datetime:
    """Return the time of an id, of which only the beginning is known, with the digit `rest` in place of what is not."""
    milliseconds = int(beginning.partition("_")[2][:12].ljust(12, rest), 16)
    # Far from the last time that there is, so that a little can be added.
    return EPOCH + timedelta(milliseconds=min(milliseconds, 250_000_000_000_000))


def columns_of(record: type[NamedTuple], *tables: FromClause, **others: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Return what to select for a record, in the order of its fields.

    A field is the one of `others` with its name, or else that column of the first table that has it.
    """
    return [
        others[field].label(field) if field in others else next(table.c[field] for table in tables if field in table.c)
        for field in record._fields
    ]


def fetch_all(connection: Connection, record: type[Record], query: TypedReturnsRows[Any]) -> list[Record]:
    """Run a query for `columns_of` a record, and return a record for each row."""
    return [record._make(row) for row in connection.execute(query)]


def fetch_one(connection: Connection, record: type[Record], query: TypedReturnsRows[Any]) -> Record | None:
    """Run a query for `columns_of` a record; none where no row fits.

    Raises:
        MultipleResultsFound: more than one fits.
    """
    row = connection.execute(query).one_or_none()
    return None if row is None else record._make(row)
