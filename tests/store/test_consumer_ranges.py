"""Ranges of what a consumer has seen: joined where they touch, each with its own time, and bounded."""

from datetime import timedelta

import pytest
from conftest import StandingClock, make_token
from sqlalchemy import select

from receiver.model import ConsumerAct
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import consumer_ranges, outbox
from receiver.store.consumer_ranges import RANGES_MAX, Range
from receiver.store.sources import SourceRecord
from receiver.store.tables import ConsumerRange, table_of


def note(parts: Runtime, behind: int, through: int, by: str = "app", act: ConsumerAct = ConsumerAct.READ) -> None:
    with parts.database.write() as connection:
        consumer_ranges.note(connection, "ledger", act, by, Range(behind, through), parts.clock())


def noted(parts: Runtime) -> list[tuple[int, int]]:
    table = table_of(ConsumerRange)
    with parts.database.read() as connection:
        return [(row.behind, row.through) for row in connection.execute(select(table).order_by(table.c.id))]


def test_what_follows_within_a_minute_lengthens_the_range(parts: Runtime, clock: StandingClock) -> None:
    note(parts, 0, 10)
    clock.forward(59)
    note(parts, 10, 20)
    note(parts, 5, 25)
    assert noted(parts) == [(0, 25)]


def test_what_follows_later_begins_where_the_last_one_ends(parts: Runtime, clock: StandingClock) -> None:
    note(parts, 0, 10)
    clock.forward(60)
    note(parts, 5, 20)
    assert noted(parts) == [(0, 10), (10, 20)]


def test_what_was_seen_before_keeps_its_time(parts: Runtime, clock: StandingClock) -> None:
    note(parts, 0, 10)
    clock.forward(600)
    note(parts, 2, 10)
    note(parts, 10, 10)
    assert noted(parts) == [(0, 10)]


def test_a_range_that_does_not_touch_stands_alone(parts: Runtime) -> None:
    note(parts, 10, 20)
    note(parts, 21, 30)
    note(parts, 5, 9)
    assert noted(parts) == [(10, 20), (21, 30), (5, 9)]


@pytest.mark.parametrize("behind", [-1, 10])
def test_all_that_touch_within_a_minute_become_one_whatever_came_between(
    parts: Runtime, clock: StandingClock, behind: int
) -> None:
    for each in (0, 20, 40):
        note(parts, each, each + 10)
        note(parts, each, each + 10, by="other")
        clock.forward(1)
    # Written down later than those, by another process.
    clock.forward(-2)
    note(parts, behind, 20)
    assert noted(parts) == [(0, 10), (min(behind, 0), 30), (20, 30), (40, 50), (40, 50)]


def test_ranges_of_more_than_a_minute_together_stay_apart(parts: Runtime, clock: StandingClock) -> None:
    note(parts, 0, 10)
    clock.forward(70)
    note(parts, 20, 30)
    clock.forward(-20)
    note(parts, 10, 20)
    assert noted(parts) == [(0, 10), (10, 30)]


def test_another_token_and_another_act_have_ranges_of_their_own(parts: Runtime) -> None:
    note(parts, 0, 10)
    note(parts, 0, 10, act=ConsumerAct.ACKED)
    note(parts, 10, 20, by="other")
    assert noted(parts) == [(0, 10), (0, 10), (10, 20)]


def test_the_oldest_ranges_go(parts: Runtime, clock: StandingClock) -> None:
    with parts.database.write() as connection:
        for number in range(RANGES_MAX + 3):
            at = clock() + timedelta(hours=number)
            consumer_ranges.note(connection, "ledger", ConsumerAct.READ, "app", Range(number, number + 1), at)
    found = noted(parts)
    assert (len(found), found[0]) == (RANGES_MAX, (3, 4))


def test_the_entries_of_an_event_are_seen_the_first_time_by_those_that_may_see_them(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    make_token(parts)
    make_token(parts, sources=("other",), name="limited")
    with parts.database.write() as connection:
        for event_id in ("evt_1", "evt_2"):
            outbox.append(
                connection,
                type="bcb.deposit",
                source_id=source.id,
                subject=None,
                event_id=event_id,
                data={},
                now=clock(),
            )
    catch_up(parts.database)
    first_at = clock()
    for by in ("app", "limited", "app"):
        note(parts, 0, 1, by=by)
        note(parts, 0, 1, by=by, act=ConsumerAct.ACKED)
        clock.forward(3600)
    with parts.database.read() as connection:
        seen = {each: consumer_ranges.of_event(connection, each, source.name) for each in ("evt_1", "evt_2")}
    assert sorted(seen["evt_1"]) == [
        ("ledger", ConsumerAct.ACKED, "app", 1, first_at),
        ("ledger", ConsumerAct.READ, "app", 1, first_at),
    ]
    assert seen["evt_2"] == []


def test_removing_a_consumer_forgets_its_ranges_alone(parts: Runtime) -> None:
    note(parts, 0, 10)
    with parts.database.write() as connection:
        consumer_ranges.forget(connection, "other")
    assert noted(parts) == [(0, 10)]
    with parts.database.write() as connection:
        consumer_ranges.forget(connection, "ledger")
    assert noted(parts) == []
