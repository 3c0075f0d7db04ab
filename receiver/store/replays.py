"""Replays: who asked for one, who approved it, and how far its run has come."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select, update

from receiver.model import ReplayState, ReplayTarget
from receiver.store import holds, pagination
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import Replay, table_of

_replays = table_of(Replay)

_is_running = _replays.c.state == ReplayState.RUNNING


AFTER_FAULT = timedelta(seconds=30)
"""How long a part that has failed by a fault of ours waits for the next try."""


class ReplayRecord(NamedTuple):
    """One run of a plan; `Replay` says what each column holds."""

    id: str
    plan: str
    target: ReplayTarget
    filter: dict[str, Any]
    consumer: str | None
    through: str
    place: str
    total: int
    done: int
    failed: int
    per_second: float | None
    state: ReplayState
    requested_by: str
    reason: str
    created_at: datetime
    finished_at: datetime | None
    due_at: datetime
    approved_by: str | None
    approved_at: datetime | None

    @property
    def missing(self) -> int:
        """How many the plan saw that were there no longer when the run came to them; known once it is done.

        Those were removed; or, of rejected deliveries, accepted.
        """
        return max(self.total - self.done, 0) if self.state == ReplayState.DONE else 0

    def is_due(self, now: datetime) -> bool:
        """Return whether the next part may be done: at `due_at`, or where that is further ahead than any part's wait.

        Such a time was written down by a clock that was wrong.
        """
        rate = timedelta(0) if self.per_second is None else timedelta(seconds=1 / self.per_second)
        return not now < self.due_at <= now + max(rate, AFTER_FAULT)


def start(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Write down a run; false where its plan was run already (the plan is the idempotency key).

    Once this is committed, nothing of the feed is removed that it may send.
    """
    holds.stop_removal(connection)
    return insert_or_skip(connection, _replays, ["plan"], dict(values))


def of_plan(connection: Connection, plan: str) -> str:
    """Return the id of the run of a plan."""
    found: str = connection.execute(select(_replays.c.id).where(_replays.c.plan == plan)).scalar_one()
    return found


def _all() -> Select[Any]:
    return select(*columns_of(ReplayRecord, _replays))


def find(connection: Connection, replay_id: str) -> ReplayRecord | None:
    """Return one replay."""
    return fetch_one(connection, ReplayRecord, _all().where(_replays.c.id == replay_id))


def listing(
    connection: Connection, *, states: Sequence[str] = (), below: str | None = None, limit: int
) -> list[ReplayRecord]:
    """Return replays, newest first, of any of these states; `below` is the id to go on from."""
    where = [] if below is None else [_replays.c.id < below]
    alternatives = pagination.combinations((_replays.c.state, states))
    columns = columns_of(ReplayRecord, _replays)
    page = pagination.page(columns, alternatives, where=where, order=_replays.c.id.desc(), limit=limit)
    return fetch_all(connection, ReplayRecord, page)


def due(connection: Connection, now: datetime) -> list[str]:
    """Return the ids of running replays whose next part may be done."""
    running = fetch_all(connection, ReplayRecord, _all().where(_is_running).order_by(_replays.c.due_at))
    return [replay.id for replay in running if replay.is_due(now)]


def lock(connection: Connection, replay_id: str) -> ReplayRecord | None:
    """Return a running replay for this transaction alone; none where it is over, or another worker is at it."""
    query = _all().where(_replays.c.id == replay_id, _is_running)
    return fetch_one(connection, ReplayRecord, query.with_for_update(skip_locked=True, key_share=True))


def advance(connection: Connection, replay_id: str, values: Mapping[str, Any]) -> None:
    """Write down how far a replay has come."""
    connection.execute(update(_replays).where(_replays.c.id == replay_id).values(**values))


def cancel(connection: Connection, replay_id: str, now: datetime) -> bool:
    """Stop a replay where it stands; false where it was over already."""
    return _change(connection, replay_id, _OPEN, {"state": ReplayState.CANCELLED, "finished_at": now})


def pause(connection: Connection, replay_id: str) -> bool:
    """Have no more parts done; false where it is not running. A part that is being done is waited for."""
    return _change(connection, replay_id, [ReplayState.RUNNING], {"state": ReplayState.PAUSED})


def resume(connection: Connection, replay_id: str, now: datetime) -> bool:
    """Go on where it was paused; false where it is not paused."""
    return _change(connection, replay_id, [ReplayState.PAUSED], {"state": ReplayState.RUNNING, "due_at": now})


def approve(connection: Connection, replay_id: str, who: str, now: datetime) -> bool:
    """Start a run that waits for a second person; false where it does not wait."""
    values = {"state": ReplayState.RUNNING, "approved_by": who, "approved_at": now, "due_at": now}
    return _change(connection, replay_id, [ReplayState.AWAITING_APPROVAL], values)


_OPEN = [state for state in ReplayState if not state.is_over]


def _change(connection: Connection, replay_id: str, states: Sequence[ReplayState], values: Mapping[str, Any]) -> bool:
    one = update(_replays).where(_replays.c.id == replay_id, _replays.c.state.in_(states))
    return connection.execute(one.values(**values)).rowcount == 1
