"""Which part of the feed a consumer has read and acknowledged, and when: ranges of positions, a bounded number each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from receiver.model import ConsumerAct
from receiver.store.tables import ApiToken, ConsumerRange, FeedEntry, table_of

_ranges, _entries, _tokens = (table_of(model) for model in (ConsumerRange, FeedEntry, ApiToken))

MERGED = timedelta(minutes=1)
"""What follows within this time lengthens the range before it: a time is known to the minute where many come."""

RANGES_MAX = 500
"""Of each act of a consumer; the oldest go."""


class Range(NamedTuple):
    """Positions behind `behind`, up to `through`."""

    behind: int
    through: int


class EntrySeen(NamedTuple):
    """That a consumer has read or acknowledged an entry, by which token, and when (UTC)."""

    consumer: str
    act: ConsumerAct
    token: str
    position: int
    at: datetime


def note(connection: Connection, consumer: str, act: ConsumerAct, token: str, seen: Range, at: datetime) -> None:
    """Write down that a range was read or acknowledged; what was so before keeps its time."""
    if seen.through <= seen.behind:
        return
    of_act = (_ranges.c.consumer == consumer, _ranges.c.act == act)
    latest = select(_ranges).where(*of_act).order_by(_ranges.c.id.desc()).limit(1)
    last = connection.execute(latest.with_for_update(key_share=True)).one_or_none()
    if last is not None and last.token == token and last.behind <= seen.behind <= last.through:
        if seen.through <= last.through:
            return
        if timedelta(0) <= at - last.first_at < MERGED:
            longer = update(_ranges).where(_ranges.c.id == last.id).values(through=seen.through, last_at=at)
            connection.execute(longer)
            return
        seen = Range(last.through, seen.through)
    values = {"consumer": consumer, "act": act, "token": token, "first_at": at, "last_at": at, **seen._asdict()}
    connection.execute(insert(_ranges).values(values))
    surplus = select(_ranges.c.id).where(*of_act).order_by(_ranges.c.id.desc()).offset(RANGES_MAX).limit(1)
    connection.execute(delete(_ranges).where(*of_act, _ranges.c.id <= surplus.scalar_subquery()))


def forget(connection: Connection, consumer: str) -> None:
    """Delete all that is noted of a consumer."""
    connection.execute(delete(_ranges).where(_ranges.c.consumer == consumer))


def of_event(connection: Connection, event_id: str, source: str) -> Sequence[EntrySeen]:
    """Return which consumers have seen the entries that stem from an event of a source, the first time of each.

    A token that may not see the source was not given them, though they lie in what it read.
    """
    query = (
        select(
            _ranges.c.consumer,
            _ranges.c.act,
            _ranges.c.token,
            _entries.c.position,
            func.min(_ranges.c.last_at),
            _tokens.c.sources,
        )
        .join_from(
            _entries, _ranges, (_ranges.c.behind < _entries.c.position) & (_ranges.c.through >= _entries.c.position)
        )
        .join(_tokens, _tokens.c.name == _ranges.c.token)
        .where(_entries.c.event_id == event_id)
        .where(or_(_entries.c.consumer.is_(None), _entries.c.consumer == _ranges.c.consumer))
        .group_by(_ranges.c.consumer, _ranges.c.act, _ranges.c.token, _entries.c.position, _tokens.c.id)
        .order_by(_ranges.c.consumer, _entries.c.position)
    )
    return [EntrySeen(*row[:5]) for row in connection.execute(query) if not row.sources or source in row.sources]
