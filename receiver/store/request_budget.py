"""The request budget of a source: the bank's rate limit, counted for all processes, and the wait after its 429."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, case, select, update

from receiver.model import Purpose
from receiver.store.bulk_insert import insert_or_skip, upsert
from receiver.store.records import SKEW
from receiver.store.tables import RequestBudget, RequestSpending, table_of

_budgets, _spendings = table_of(RequestBudget), table_of(RequestSpending)

BLOCK_MAX = timedelta(hours=24)
"""The longest block that a bank's 429 is heeded for."""


class Budget(NamedTuple):
    """How a source stands with its bank's rate limit; times are UTC."""

    limit: int
    left: int
    """Requests that may be made before the window ends."""
    ends_at: datetime | None
    """When all of them may be made anew; none where all of them may be now."""
    blocked_until: datetime | None
    """When the bank, by a 429, takes requests again; none where it does now."""

    def hindrance(self, name: str) -> str | None:
        """Return in words why no request is made now; none where one may be."""
        if self.blocked_until is not None:
            return f"the bank of {name} has said to wait (429): no request before {_shown(self.blocked_until)}"
        if self.left == 0 and self.ends_at is not None:
            return f"the limit of {name}, {self.limit} requests, is spent: no request before {_shown(self.ends_at)}"
        return None


def take(
    connection: Connection,
    source_id: int,
    *,
    now: datetime,
    limit: int,
    window: timedelta,
    purpose: Purpose = Purpose.OTHER,
) -> datetime:
    """Count one request against the bank's limit; return `now`, or when to come back where none is left.

    Windows are fixed: one starts with the first request after the one before it has ended. One that starts in the
    future was started by a clock that was wrong: it starts now, and a block from then is over.
    """
    start = {"source_id": source_id, "window_started_at": now, "used": 0}
    insert_or_skip(connection, _budgets, ["source_id"], start)
    query = select(_budgets).where(_budgets.c.source_id == source_id).with_for_update(key_share=True)
    row = connection.execute(query).one()
    is_ahead = row.window_started_at > now + SKEW
    blocked: datetime | None = row.blocked_until
    if blocked is not None and not is_ahead and now < blocked <= now + BLOCK_MAX:
        return blocked
    begun: datetime = now if is_ahead else row.window_started_at
    started, used = (now, 0) if begun + window <= now else (begun, row.used)
    is_left = used < limit
    changed = {"window_started_at": started, "used": used + is_left, "blocked_until": None}
    if is_left or is_ahead:
        connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(**changed))
    if is_left:
        _note_spending(connection, source_id, purpose, started)
    return now if is_left else started + window


def _note_spending(connection: Connection, source_id: int, purpose: Purpose, started: datetime) -> None:
    """Count a request by its purpose; the lock on the budget's row is held."""
    statement = upsert(connection, _spendings).values(
        source_id=source_id, purpose=purpose, window_started_at=started, used=1
    )
    is_same = _spendings.c.window_started_at == started
    changed = {"window_started_at": started, "used": case((is_same, _spendings.c.used + 1), else_=1)}
    connection.execute(statement.on_conflict_do_update(index_elements=["source_id", "purpose"], set_=changed))


def _spent(connection: Connection, source_id: int, started: datetime) -> dict[Purpose, int]:
    is_of_window = (_spendings.c.source_id == source_id, _spendings.c.window_started_at == started)
    rows = connection.execute(select(_spendings.c.purpose, _spendings.c.used).where(*is_of_window))
    found: dict[Purpose, int] = {row.purpose: row.used for row in rows}
    return {purpose: found[purpose] for purpose in Purpose if purpose in found}


def spent(connection: Connection, source_id: int, budget: Budget, window: timedelta) -> dict[Purpose, int]:
    """Return how many requests of the present window were made for what; nothing where none has begun."""
    return {} if budget.ends_at is None else _spent(connection, source_id, budget.ends_at - window)


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def budget(connection: Connection, source_id: int, *, now: datetime, limit: int, window: timedelta) -> Budget:
    """Return how a source stands, as `take` would see it; nothing is counted."""
    row = connection.execute(select(_budgets).where(_budgets.c.source_id == source_id)).one_or_none()
    if row is None or row.window_started_at > now + SKEW:
        return Budget(limit, limit, None, None)
    is_blocked = row.blocked_until is not None and now < row.blocked_until <= now + BLOCK_MAX
    is_over = row.window_started_at + window <= now
    return Budget(
        limit,
        limit if is_over else max(limit - row.used, 0),
        None if is_over else row.window_started_at + window,
        row.blocked_until if is_blocked else None,
    )


def block(connection: Connection, source_id: int, until: datetime) -> None:
    """Make no request until then: the bank said so."""
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(blocked_until=until))


def unblock(connection: Connection, source_id: int) -> None:
    """Forget that the bank said to wait: it said so to other credentials."""
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(blocked_until=None))
