"""What a bank takes of requests is counted for all processes together (rate limit)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from conftest import StandingClock, add_source

from receiver.runtime import Runtime
from receiver.store import request_budget
from receiver.store.sources import SourceRecord

WINDOW = timedelta(seconds=60)
LIMIT = 3


def take(parts: Runtime, source: SourceRecord) -> datetime:
    with parts.database.write() as connection:
        return request_budget.take(connection, source.id, now=parts.clock(), limit=LIMIT, window=WINDOW)


def seconds_to_wait(parts: Runtime, source: SourceRecord) -> float:
    return (take(parts, source) - parts.clock()).total_seconds()


def test_a_window_takes_so_many_requests_and_says_when_the_next_one_starts(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
    clock.forward(20)
    assert seconds_to_wait(parts, source) == 40
    clock.forward(39)
    assert seconds_to_wait(parts, source) == 1
    clock.forward(1)
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
    assert seconds_to_wait(parts, source) == 60


def test_a_window_starts_with_its_first_request(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    take(parts, source)
    clock.forward(90)
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
    clock.forward(59)
    assert seconds_to_wait(parts, source) == 1


def test_processes_at_once_do_not_overdraw_the_budget(parts: Runtime, source: SourceRecord) -> None:
    now = parts.clock()
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: take(parts, source), range(24)))
    assert given.count(now) == LIMIT
    assert set(given) == {now, now + WINDOW}


def test_sources_have_budgets_of_their_own(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other")
    for _ in range(LIMIT):
        take(parts, source)
    assert seconds_to_wait(parts, other) == 0


def test_no_request_is_made_until_the_bank_said(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    take(parts, source)
    with parts.database.write() as connection:
        request_budget.block(connection, source.id, clock() + timedelta(seconds=200))
    clock.forward(199)
    assert seconds_to_wait(parts, source) == 1
    clock.forward(1)
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
