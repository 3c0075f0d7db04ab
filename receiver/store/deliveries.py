"""Rejected deliveries: stored for staff, and bounded, so that a flood can't fill the disk nor hide what matters.

Two shares are bounded apart: deliveries whose signature was right (too old, say; only the bank can cause these) and
all others. Within a share, the sender's address that has the most rows loses its oldest first, so a flood from
one address drives out its own.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from receiver.store.records import NewDelivery
from receiver.store.tables import Delivery, Source, table_of

_deliveries, _sources = table_of(Delivery), table_of(Source)

DETAIL_CHARACTERS = 300
HEADER_CHARACTERS = 500
HEADERS_MAX = 40

DROPPED_AT_ONCE = 10
"""More than one, so that what several writers at once, or a lowered setting, have left over is caught up with."""


def keep(
    connection: Connection,
    delivery: NewDelivery,
    *,
    reason: str,
    detail: str,
    proven: bool,
    most: int,
    body_bytes: int,
) -> None:
    """Store a rejected delivery, its body cut to `body_bytes`, and drop what is over `most` in its share."""
    headers = list(delivery.headers.items())[:HEADERS_MAX]
    values = dict(
        delivery._asdict(),
        nonce=None,
        verdict="rejected",
        reason=reason,
        detail=detail[:DETAIL_CHARACTERS],
        proven=proven,
        path=delivery.path[:HEADER_CHARACTERS],
        channel=delivery.channel[:HEADER_CHARACTERS] if delivery.channel is not None else None,
        headers={name[:HEADER_CHARACTERS]: value[:HEADER_CHARACTERS] for name, value in headers},
        body=delivery.body[:body_bytes],
        body_bytes=len(delivery.body),
    )
    connection.execute(insert(_deliveries).values(**values))
    _drop_surplus(connection, delivery.source_id, proven, most)


def _drop_surplus(connection: Connection, source_id: int, proven: bool, most: int) -> None:
    share = (
        _deliveries.c.source_id == source_id,
        _deliveries.c.verdict == "rejected",
        _deliveries.c.proven.is_(proven),
    )
    counts = connection.execute(
        select(_deliveries.c.peer, func.count().label("number")).where(*share).group_by(_deliveries.c.peer)
    ).all()
    surplus = sum(row.number for row in counts) - most
    if surplus <= 0:
        return
    loudest = max(counts, key=lambda row: row.number).peer
    # Rows that another writer is dropping are left to it: waiting for each other, the two might do so in a circle.
    oldest = (
        select(_deliveries.c.id)
        .where(*share, _deliveries.c.peer == loudest)
        .order_by(_deliveries.c.id)
        .limit(min(surplus, DROPPED_AT_ONCE))
        .with_for_update(skip_locked=True)
        .cte("oldest")
    )
    connection.execute(delete(_deliveries).where(_deliveries.c.id.in_(select(oldest.c.id))))


def take_out(connection: Connection, delivery_id: str) -> None:
    """Remove a rejected delivery, to be written down anew as an accepted one."""
    connection.execute(delete(_deliveries).where(_deliveries.c.id == delivery_id, _deliveries.c.verdict == "rejected"))


def is_held(connection: Connection, delivery: NewDelivery, reason: str) -> bool:
    """Tell whether the same delivery was kept for this reason before: the sender tries again while it gets 503."""
    query = select(_deliveries.c.headers).where(
        _deliveries.c.source_id == delivery.source_id,
        _deliveries.c.verdict == "rejected",
        _deliveries.c.reason == reason,
        _deliveries.c.body_sha256 == delivery.body_sha256,
        _deliveries.c.path == delivery.path,
    )
    # What is too long was cut, so it never equals: then it is kept once more, which does no harm.
    return any(headers == delivery.headers for headers in connection.execute(query).scalars())


def held_of_source(connection: Connection, source_id: int, reason: str, *, limit: int) -> list[Row[Any]]:
    """Return the oldest deliveries of a source that were rejected for this reason."""
    query = select(_deliveries).where(
        _deliveries.c.source_id == source_id, _deliveries.c.verdict == "rejected", _deliveries.c.reason == reason
    )
    return list(connection.execute(query.order_by(_deliveries.c.id).limit(limit)))


def lock_rejected(connection: Connection, delivery_id: str) -> Row[Any] | None:
    """Return a rejected delivery with its source's name, for this transaction alone; none where it is gone."""
    query = (
        select(_deliveries, _sources.c.name.label("source"))
        .join(_sources, _sources.c.id == _deliveries.c.source_id)
        .where(_deliveries.c.id == delivery_id, _deliveries.c.verdict == "rejected")
    )
    return connection.execute(query.with_for_update(of=_deliveries)).one_or_none()


def give_reason(connection: Connection, delivery_ids: Sequence[str], reason: str) -> None:
    """Give rejected deliveries another reason."""
    rejected = (_deliveries.c.id.in_(delivery_ids), _deliveries.c.verdict == "rejected")
    connection.execute(update(_deliveries).where(*rejected).values(reason=reason))
