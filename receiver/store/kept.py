"""Rejected deliveries that wait to be verified again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from receiver.store.tables import Delivery, Source, table_of
from receiver.store.told import NewDelivery

_deliveries, _sources = table_of(Delivery), table_of(Source)


def is_kept(connection: Connection, delivery: NewDelivery, reason: str) -> bool:
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


def of_source(connection: Connection, source_id: int, reason: str, *, limit: int) -> list[Row[Any]]:
    """Return the oldest deliveries of a source that were rejected for this reason."""
    query = select(_deliveries).where(
        _deliveries.c.source_id == source_id, _deliveries.c.verdict == "rejected", _deliveries.c.reason == reason
    )
    return list(connection.execute(query.order_by(_deliveries.c.id).limit(limit)))


def lock(connection: Connection, delivery_id: str) -> Row[Any] | None:
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
