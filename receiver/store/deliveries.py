"""Deliveries: reading them, and storing those that were rejected, within bounds (retention).

Rejected deliveries are stored for staff, so that a flood can neither fill the disk nor hide what matters. Two shares
are bounded apart: deliveries whose signature was right (too old, say; only the bank can cause these) and all others.
Within a share, the sender's address that has the most rows loses its oldest first, so a flood from one address drives
out its own.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from receiver.model import Verdict
from receiver.store.records import NewDelivery, columns_of, fetch_all, fetch_one, lowest_id
from receiver.store.tables import Delivery, Source, table_of

_deliveries, _sources = table_of(Delivery), table_of(Source)

DETAIL_CHARACTERS = 300
HEADER_CHARACTERS = 500
HEADERS_MAX = 40

DROPPED_AT_ONCE = 10
"""More than one, so that what several writers at once, or a lowered setting, have left over is caught up with."""

_is_rejected = _deliveries.c.verdict == Verdict.REJECTED


class DeliveryRecord(NamedTuple):
    """One HTTP request as it was stored; `source` is the source's name, times are UTC."""

    id: str
    source_id: int
    source: str
    received_at: datetime
    verdict: Verdict
    reason: str | None
    detail: str | None
    proven: bool
    peer: str
    path: str
    channel: str | None
    headers: dict[str, str]
    signed_at: datetime | None
    proof_key: str | None
    body: bytes | None
    """Free of content codings; cut where rejected, none where the same bytes are stored with another delivery."""
    body_bytes: int
    body_sha256: str


def _all() -> Select[Any]:
    columns = columns_of(DeliveryRecord, _deliveries, source=_sources.c.name)
    return select(*columns).join_from(_deliveries, _sources, _sources.c.id == _deliveries.c.source_id)


def find(connection: Connection, delivery_id: str) -> DeliveryRecord | None:
    """Return one delivery, whatever became of it."""
    return fetch_one(connection, DeliveryRecord, _all().where(_deliveries.c.id == delivery_id))


def latest_genuine(connection: Connection, source_id: int, *, since: datetime) -> datetime | None:
    """Return when the latest genuine delivery of a source came, where that is not before `since`.

    It looks at every delivery since then, so ask only where `events.latest` says that no event came.
    """
    query = (
        select(_deliveries.c.received_at)
        .where(_deliveries.c.id >= lowest_id("dlv", since), _deliveries.c.source_id == source_id)
        .where(_deliveries.c.verdict != Verdict.REJECTED)
        .order_by(_deliveries.c.id.desc())
        .limit(1)
    )
    found: datetime | None = connection.execute(query).scalar_one_or_none()
    return found


def rejected(connection: Connection, source: str | None, *, below: str | None, limit: int) -> list[DeliveryRecord]:
    """Return the rejected deliveries that are stored, newest first; `below` is the id to go on from."""
    query = _all().where(_is_rejected).order_by(_deliveries.c.id.desc()).limit(limit)
    if source:
        query = query.where(_sources.c.name == source)
    if below:
        query = query.where(_deliveries.c.id < below)
    return fetch_all(connection, DeliveryRecord, query)


def rejected_for(connection: Connection, source_id: int, reason: str, *, limit: int) -> list[DeliveryRecord]:
    """Return the oldest deliveries of a source that were rejected for this reason."""
    query = _all().where(_deliveries.c.source_id == source_id, _is_rejected, _deliveries.c.reason == reason)
    return fetch_all(connection, DeliveryRecord, query.order_by(_deliveries.c.id).limit(limit))


def is_rejected_for(connection: Connection, delivery: NewDelivery, reason: str) -> bool:
    """Tell whether the same delivery is stored as rejected for this reason: the sender tries on while it gets 503."""
    query = select(_deliveries.c.headers).where(
        _deliveries.c.source_id == delivery.source_id,
        _is_rejected,
        _deliveries.c.reason == reason,
        _deliveries.c.body_sha256 == delivery.body_sha256,
        _deliveries.c.path == delivery.path,
    )
    # What is too long was cut, so it never equals: then it is stored once more, which does no harm.
    return any(headers == delivery.headers for headers in connection.execute(query).scalars())


def store_rejected(
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
        verdict=Verdict.REJECTED,
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
    share = (_deliveries.c.source_id == source_id, _is_rejected, _deliveries.c.proven.is_(proven))
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


def lock_rejected(connection: Connection, delivery_id: str) -> DeliveryRecord | None:
    """Return a rejected delivery, for this transaction alone; none where it is gone."""
    query = _all().where(_deliveries.c.id == delivery_id, _is_rejected)
    return fetch_one(connection, DeliveryRecord, query.with_for_update(of=_deliveries))


def set_reason(connection: Connection, delivery_ids: Sequence[str], reason: str) -> None:
    """Give rejected deliveries another reason."""
    connection.execute(
        update(_deliveries).where(_deliveries.c.id.in_(delivery_ids), _is_rejected).values(reason=reason)
    )


def delete_rejected(connection: Connection, delivery_id: str) -> None:
    """Remove a rejected delivery, to be written down anew as an accepted one."""
    connection.execute(delete(_deliveries).where(_deliveries.c.id == delivery_id, _is_rejected))
