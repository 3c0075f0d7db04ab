"""How many rows there are of what metrics tell, without counting them: triggers keep the numbers (migration 0023)."""

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, cast, func, select, text

from receiver.store.database import Database
from receiver.store.records import columns_of, fetch_all
from receiver.store.tables import Tally, table_of

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
