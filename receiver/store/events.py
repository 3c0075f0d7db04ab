"""Reading events and deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from receiver.store import pagination, sources
from receiver.store.records import lowest_id
from receiver.store.tables import Delivery, Event, Repeat, Source, table_of

_events, _deliveries, _repeats, _sources = (table_of(model) for model in (Event, Delivery, Repeat, Source))


@dataclass(frozen=True)
class Filter:
    """Which events to list; what is empty or none does not restrict.

    The time of receipt is from `received_after` on and ends before `received_before`, so that adjoining spans share
    no event and leave none out.
    """

    sources: Sequence[str] = ()
    type: str | None = None
    payment_id: str | None = None
    event_id: str | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None


def _all() -> Select[Any]:
    return select(_events, _sources.c.name.label("source"), _sources.c.bank).join(
        _sources, _sources.c.id == _events.c.source_id
    )


def listing(connection: Connection, wanted: Filter, *, below: str | None, limit: int) -> list[Row[Any]]:
    """Return events, newest first; `below` is the id to go on from. Ids ascend with time, and serve as its index."""
    ids = sources.ids(connection, wanted.sources)
    if wanted.sources and not ids:
        return []
    types = [wanted.type] if wanted.type else []
    where = _conditions(wanted, below)
    if wanted.payment_id or wanted.event_id:
        alternatives = pagination.combinations()
        where += pagination.beside(_events.c.source_id, ids, 0) + pagination.beside(_events.c.type, types, "")
    else:
        alternatives = pagination.combinations((_events.c.source_id, ids), (_events.c.type, types))
    page = pagination.page(
        _events,
        alternatives,
        where=where,
        order=_events.c.id.desc(),
        limit=limit,
    ).subquery()
    named = select(page, _sources.c.name.label("source"), _sources.c.bank).join(
        _sources, _sources.c.id == page.c.source_id
    )
    return list(connection.execute(named.order_by(page.c.id.desc())))


def _conditions(wanted: Filter, below: str | None) -> list[ColumnElement[bool]]:
    where = []
    if wanted.payment_id:
        where.append(_events.c.payment_id == wanted.payment_id)
    if wanted.event_id:
        where.append(_events.c.id == wanted.event_id)
    # An id tells the millisecond and has the index; the column tells the microsecond.
    if wanted.received_after:
        after = wanted.received_after
        where += [_events.c.id >= lowest_id("evt", after), _events.c.received_at >= after]
    if wanted.received_before:
        before = wanted.received_before
        behind = lowest_id("evt", before + timedelta(milliseconds=1))
        where += [_events.c.id < behind, _events.c.received_at < before]
    if below:
        where.append(_events.c.id < below)
    return where


def find(connection: Connection, event_id: str) -> Row[Any] | None:
    """Return one event with its source's name and bank."""
    return connection.execute(_all().where(_events.c.id == event_id)).one_or_none()


def raw(connection: Connection, event_id: str) -> bytes | None:
    """Return the body of the delivery that first told the event, free of content codings."""
    query = (
        select(_deliveries.c.body)
        .join(_events, _events.c.delivery_id == _deliveries.c.id)
        .where(_events.c.id == event_id)
    )
    found: bytes | None = connection.execute(query).scalar_one_or_none()
    return None if found is None else bytes(found)


def deliveries_of(connection: Connection, event_id: str) -> list[Row[Any]]:
    """Return the deliveries that told an event, the first one first, each with `conflict`."""
    first = select(_deliveries, _events.c.conflict).join(_events, _events.c.delivery_id == _deliveries.c.id)
    again = select(_deliveries, _repeats.c.conflict).join(_repeats, _repeats.c.delivery_id == _deliveries.c.id)
    rows = list(connection.execute(first.where(_events.c.id == event_id)))
    repeats = again.where(_repeats.c.event_id == event_id).order_by(_repeats.c.delivery_id)
    return rows + list(connection.execute(repeats))


FACTS_FROM = 50
"""Events of one payment that are looked at for facts; no bank sends more of one."""


def facts_about(connection: Connection, source_id: int, payment_id: str) -> dict[str, Any]:
    """Return what the events about a payment told besides its status, the latest word on each fact."""
    query = (
        select(_events.c.facts)
        .where(_events.c.payment_id == payment_id, *pagination.beside(_events.c.source_id, [source_id], 0))
        .order_by(_events.c.id.desc())
        .limit(FACTS_FROM)
    )
    found: dict[str, Any] = {}
    for facts in connection.execute(query).scalars():
        found = {**facts, **found}
    return found


def latest(connection: Connection, source_id: int) -> datetime | None:
    """Return when the latest event of a source came."""
    query = select(_events.c.received_at).where(_events.c.source_id == source_id).order_by(_events.c.id.desc()).limit(1)
    found: datetime | None = connection.execute(query).scalar_one_or_none()
    return found


def repeated_since(connection: Connection, source_id: int, since: datetime) -> datetime | None:
    """Return when the latest genuine delivery of a source came, where that is not before `since`.

    It looks at every delivery since then, so ask only where `latest` says that no event came.
    """
    query = (
        select(_deliveries.c.received_at)
        .where(_deliveries.c.id >= lowest_id("dlv", since), _deliveries.c.source_id == source_id)
        .where(_deliveries.c.verdict != "rejected")
        .order_by(_deliveries.c.id.desc())
        .limit(1)
    )
    found: datetime | None = connection.execute(query).scalar_one_or_none()
    return found


def rejected(connection: Connection, source: str | None, *, below: str | None, limit: int) -> list[Row[Any]]:
    """Return the rejected deliveries that are kept, newest first."""
    query = (
        select(_deliveries, _sources.c.name.label("source"))
        .join(_sources, _sources.c.id == _deliveries.c.source_id)
        .where(_deliveries.c.verdict == "rejected")
        .order_by(_deliveries.c.id.desc())
        .limit(limit)
    )
    if source:
        query = query.where(_sources.c.name == source)
    if below:
        query = query.where(_deliveries.c.id < below)
    return list(connection.execute(query))


def delivery(connection: Connection, delivery_id: str) -> Row[Any] | None:
    """Return one delivery with its source's name."""
    query = select(_deliveries, _sources.c.name.label("source")).join(
        _sources, _sources.c.id == _deliveries.c.source_id
    )
    return connection.execute(query.where(_deliveries.c.id == delivery_id)).one_or_none()
