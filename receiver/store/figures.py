"""Times, lags and numbers for metrics: each by one statement that goes by an index, or kept by triggers."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, ScalarSelect, Select, cast, func, select, text

from receiver.model import Agreement, Status, SubjectKind
from receiver.store import consumers, feed, pagination
from receiver.store.database import Database
from receiver.store.records import columns_of, fetch_all
from receiver.store.tables import Consumer, Event, SigningSecret, Source, Subject, Tally, table_of

_consumers, _events = table_of(Consumer), table_of(Event)
_secrets, _sources, _subjects = table_of(SigningSecret), table_of(Source), table_of(Subject)


class ConsumerLag(NamedTuple):
    """How far a consumer is behind: positions that it has not acknowledged, and when the first was written, if any."""

    name: str
    entries: int
    since: datetime | None


# Statements are built once: to build one takes longer than to run it.


def last_callbacks(connection: Connection) -> dict[int, datetime]:
    """Return when the newest event of each source came by a callback (UTC), by the source's number."""
    return _earliest(connection, [_newest()])


@cache
def _newest() -> Select[Any]:
    newest = (
        select(_events.c.received_at)
        .where(pagination.leading(_events.c.source_id, _sources.c.id), _events.c.delivery_id.is_not(None))
        .order_by(_events.c.source_id.desc(), _events.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return _of_sources(newest)


def oldest_unconfirmed(connection: Connection) -> dict[int, datetime]:
    """Return when the oldest payment of each source became known that its bank has not confirmed (UTC).

    What is final is confirmed or contradicted, so only what is not has to be looked at.
    """
    return _earliest(connection, [_oldest(status) for status in Status if not status.is_final])


@cache
def _oldest(status: Status) -> Select[Any]:
    oldest = (
        select(_subjects.c.created_at)
        .where(
            _subjects.c.source_id == _sources.c.id,
            _subjects.c.kind == SubjectKind.PAYMENT,
            _subjects.c.status == status,
            pagination.leading(_subjects.c.agreement, Agreement.UNCONFIRMED),
        )
        .order_by(_subjects.c.agreement, _subjects.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return _of_sources(oldest)


def _of_sources(found: ScalarSelect[Any]) -> Select[Any]:
    return select(_sources.c.id, found).where(_sources.c.hidden_at.is_(None))


def current_secrets(connection: Connection) -> dict[int, datetime]:
    """Return when the current signing secret of each source that has one was set (UTC)."""
    return _earliest(connection, [_current()])


@cache
def _current() -> Select[Any]:
    newest = select(_secrets.c.source_id, func.max(_secrets.c.created_at))
    return newest.where(_secrets.c.expires_at.is_(None)).group_by(_secrets.c.source_id)


def _earliest(connection: Connection, queries: Iterable[Select[Any]]) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for query in queries:
        for source_id, at in connection.execute(query):
            if at is not None:
                found[source_id] = min(at, found.get(source_id, at))
    return found


def consumer_lags(connection: Connection) -> list[ConsumerLag]:
    """Return how far each consumer is behind, by name; positions that are not given yet count for nothing."""
    head = feed.head(connection)
    return [ConsumerLag(name, max(head - position, 0), since) for name, position, since in connection.execute(_lags())]


@cache
def _lags() -> Select[Any]:
    since = consumers.unread_since(_consumers.c.position, _consumers.c.name)
    return select(_consumers.c.name, _consumers.c.position, since).order_by(_consumers.c.name)


_tallies = table_of(Tally)

PUT_TOGETHER_ABOVE = 500
"""Parts beyond which they are put together: to add up so many takes less than a millisecond."""

_PUT_TOGETHER = text(
    """
    WITH parts AS (
        DELETE FROM tallies WHERE id IN (SELECT id FROM tallies ORDER BY id FOR UPDATE SKIP LOCKED)
        RETURNING counted, source_id, kind, state, agreement, number
    )
    INSERT INTO tallies (counted, source_id, kind, state, agreement, number)
    SELECT counted, source_id, kind, state, agreement, sum(number) FROM parts GROUP BY 1, 2, 3, 4, 5
    """
)


class Number(NamedTuple):
    """How many rows of a table have the same words; `StaffException` and `Subject` say what these are."""

    source_id: int
    kind: str
    state: str
    agreement: str
    number: int


def numbers(connection: Connection, counted: str) -> list[Number]:
    """Return how many rows of a table, `subjects` or `exceptions`, there are with each of the words that they have."""
    return fetch_all(connection, Number, _sums(counted))


@cache
def _sums(counted: str) -> Select[Any]:
    words = (_tallies.c.source_id, _tallies.c.kind, _tallies.c.state, _tallies.c.agreement)
    total = cast(func.sum(_tallies.c.number), BigInteger)
    query = select(*columns_of(Number, _tallies, number=total)).where(_tallies.c.counted == counted)
    return query.group_by(*words).order_by(*words)


def put_together(database: Database) -> int:
    """Put the parts of all numbers together where they have become many; return how many there were, else 0.

    On SQLite they never do.

    Raises:
        StoreUnavailable
    """
    if database.is_sqlite:
        return 0
    with database.read() as connection:
        some = select(_tallies.c.id).limit(PUT_TOGETHER_ABOVE + 1).subquery()
        parts: int = connection.execute(select(func.count()).select_from(some)).scalar_one()
    if parts <= PUT_TOGETHER_ABOVE:
        return 0
    with database.write() as connection:
        connection.execute(_PUT_TOGETHER)
    return parts
