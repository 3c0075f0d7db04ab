"""What is written down of replays: one run for a plan, one worker at a part."""

from typing import Any

import pytest
from conftest import StandingClock
from sqlalchemy import event

from receiver.runtime import Runtime
from receiver.store import replay_selection, replays
from receiver.store.claims import SUBJECT_KINDS
from receiver.store.records import new_id
from receiver.store.replay_selection import Selection
from receiver.store.sources import SourceRecord


def start(parts: Runtime, plan: str, **changes: Any) -> str:
    values: dict[str, Any] = {
        "id": new_id("rpl", parts.clock()),
        "plan": plan,
        "target": "feed",
        "filter": {},
        "through": "10",
        "place": "0",
        "total": 10,
        "done": 0,
        "failed": 0,
        "state": "running",
        "requested_by": "token:app",
        "reason": "a reason",
        "created_at": parts.clock(),
        "due_at": parts.clock(),
    }
    with parts.database.write() as connection:
        replays.start(connection, values | changes)
        return replays.of_plan(connection, plan)


def due(parts: Runtime) -> list[str]:
    with parts.database.read() as connection:
        return replays.due(connection, parts.clock())


def test_a_plan_is_run_once(parts: Runtime) -> None:
    assert start(parts, "one") == start(parts, "one")
    assert start(parts, "two") != start(parts, "one")


def test_what_runs_is_due_when_its_time_has_come(parts: Runtime, clock: StandingClock) -> None:
    first = start(parts, "one", per_second=0.01)
    with parts.database.write() as connection:
        replays.advance(connection, first, {"due_at": clock.now.replace(second=30)})
    assert due(parts) == []
    clock.forward(30)
    second = start(parts, "two", due_at=clock.now.replace(second=0))
    assert due(parts) == [second, first]
    with parts.database.write() as connection:
        assert replays.cancel(connection, first, parts.clock())
        assert not replays.cancel(connection, first, parts.clock())
    assert due(parts) == [second]


def test_the_list_is_newest_first(parts: Runtime, clock: StandingClock) -> None:
    ids = []
    for plan in ("one", "two", "three"):
        ids.append(start(parts, plan))
        clock.forward(1)
    with parts.database.read() as connection:
        assert [row.id for row in replays.listing(connection, limit=2)] == [ids[2], ids[1]]
        assert replays.find(connection, "rpl_none") is None


def test_a_part_is_one_workers_at_a_time(parts: Runtime) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    replay_id = start(parts, "one")
    with parts.database.write() as connection:
        assert replays.lock(connection, replay_id) is not None
        with parts.database.write() as another:
            assert replays.lock(another, replay_id) is None
    with parts.database.write() as connection:
        assert replays.lock(connection, replay_id) is not None


def test_what_is_over_is_not_locked(parts: Runtime) -> None:
    replay_id = start(parts, "one", state="cancelled")
    with parts.database.write() as connection:
        assert replays.lock(connection, replay_id) is None
        assert replays.lock(connection, "rpl_none") is None


def test_payments_are_made_due_by_an_index(parts: Runtime, source: SourceRecord) -> None:
    """With all three of its columns: by the source alone each entry would cost a walk over all its payments."""
    statements: list[str] = []
    with parts.database.write() as connection:
        row = replay_selection.OriginalEntry(1, "bcb.deposit", source.id, "FT1", parts.clock(), None, {})
        event.listen(parts.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        replay_selection.make_due(connection, [row, row], parts.clock())
    updates = [statement for statement in statements if statement.startswith("UPDATE subjects")]
    assert len(updates) == len(SUBJECT_KINDS)
    assert all("kind" in statement for statement in updates)


def test_a_selection_without_rows_is_empty(parts: Runtime) -> None:
    with parts.database.read() as connection:
        assert replay_selection.entries(connection, Selection(), behind=0, through=10, limit=5) == []
        assert replay_selection.rejected(connection, Selection(), behind="", through="", limit=5) == []
        assert replay_selection.last_rejected(connection) == ""
