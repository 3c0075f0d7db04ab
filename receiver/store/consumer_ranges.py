"""Which part of the feed a consumer has read and acknowledged, and when: ranges of positions, a bounded number each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from receiver.model import ConsumerAct
from receiver.store.tables import ApiToken, ConsumerRange, FeedEntry, table_of

_ranges, _entries, _tokens = (table_of(model) for model in (ConsumerRange, FeedEntry, ApiToken))

MERGED = timedelta(minutes=1)
"""What is within this time becomes one range: a time is known to the minute where many come."""

RANGES_MAX = 500
"""Of each act of a consumer; the oldest go."""

_OF_ACT = (_ranges.c.consumer == bindparam("consumer"), _ranges.c.act == bindparam("act"))
_SINCE = select(_ranges.c.id).where(*_OF_ACT, _ranges.c.first_at <= bindparam("long_ago")).order_by(_ranges.c.id.desc())
_TOUCHING = (
    select(_ranges)
    .where(*_OF_ACT, _ranges.c.id >= func.coalesce(_SINCE.limit(1).scalar_subquery(), 0))
    .where(_ranges.c.token == bindparam("token"))
    .where(_ranges.c.behind <= bindparam("through"), _ranges.c.through >= bindparam("behind"))
    .order_by(_ranges.c.id.desc())
    .with_for_update(key_share=True)
)
"""The ranges of a token that touch one, the latest first: those since a time, and the latest before it."""


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
    """Write down that a range was read or acknowledged; what was so before keeps its time, to the minute.

    All ranges that touch this one and are of one minute with it become one: where several processes answer a consumer
    by turns, each writes its own pages, with gaps, a few seconds later.
    """
    if seen.through <= seen.behind:
        return
    wanted = {"consumer": consumer, "act": act, "token": token, "long_ago": at - MERGED, **seen._asdict()}
    touching = connection.execute(_TOUCHING, wanted).all()
    joined: list[Row[Any]] = []
    first_at = last_at = at
    for row in touching:
        if row.behind <= seen.behind and seen.through <= row.through:
            return
        begins, ends = min(first_at, row.first_at), max(last_at, row.last_at)
        if ends - begins < MERGED:
            joined, first_at, last_at = [*joined, row], begins, ends
    if joined:
        behind, through = min(row.behind for row in joined), max(row.through for row in joined)
        longer = Range(min(behind, seen.behind), max(through, seen.through))
        latest, *others = (row.id for row in joined)
        values = {**longer._asdict(), "first_at": first_at, "last_at": last_at}
        connection.execute(update(_ranges).where(_ranges.c.id == latest).values(values))
        if others:
            connection.execute(delete(_ranges).where(_ranges.c.id.in_(others)))
        return
    behind = max([seen.behind, *(row.through for row in touching if row.behind <= seen.behind)])
    new = {"behind": behind, "through": seen.through, "first_at": at, "last_at": at}
    connection.execute(insert(_ranges).values(consumer=consumer, act=act, token=token, **new))
    of_act = (_ranges.c.consumer == consumer, _ranges.c.act == act)
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
