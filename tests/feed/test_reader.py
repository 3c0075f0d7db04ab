"""Readers look for news together, and read on one after the other."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from store.race import append
from timers import Timer

from receiver.feed.reader import POLL_SECONDS, SLICE, TURN_SECONDS, Look, OneAtATime, Reader, Seats, Spacing
from receiver.projection import projector
from receiver.runtime import Runtime
from receiver.store.database import Database, StoreUnavailable
from receiver.store.feed import EVERYTHING
from receiver.store.sources import SourceRecord


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def look(parts: Runtime, timer: Timer) -> Look:
    return Look(parts.database, timer)


@pytest.fixture
def other(parts: Runtime) -> Iterator[Runtime]:
    """Another process over the same database."""
    opened = replace(parts, database=Database(parts.database.url))
    yield opened
    opened.database.close()


def write(parts: Runtime, source: SourceRecord, *names: str) -> None:
    with parts.database.write() as connection:
        for name in names:
            append(connection, parts, source, name)


def test_what_this_process_has_committed_shows_at_once(parts: Runtime, source: SourceRecord, look: Look) -> None:
    for number in range(1, 4):
        write(parts, source, "a")
        assert look.at(parts.database.commits) == number


def test_what_others_have_committed_shows_soon_to_who_waits_and_at_once_to_who_does_not(
    parts: Runtime, other: Runtime, source: SourceRecord, look: Look, timer: Timer
) -> None:
    assert look.at(parts.database.commits) == 0
    write(other, source, "a")
    assert look.at(parts.database.commits) == 0
    timer.now += POLL_SECONDS
    assert look.at(parts.database.commits) == 1
    write(other, source, "b")
    assert look.now() == 2


def test_those_who_ask_together_look_once(
    parts: Runtime, source: SourceRecord, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(parts, source, "a")
    looks = []
    real = Look._look

    def counted(self: Look) -> int:
        looks.append(1)
        return real(self)

    monkeypatch.setattr(Look, "_look", counted)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(look.at, [parts.database.commits] * 40)) == {1}
    assert len(looks) == 1


def test_who_waited_for_a_look_that_failed_fails_with_it(
    look: Look, timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def fail(_: Database) -> int:
        looks.append(1)
        timer.now += 4
        # Long enough for the others to be there.
        time.sleep(0.5)
        raise StoreUnavailable("away")

    monkeypatch.setattr(projector, "catch_up", fail)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(look.at, 0) for _ in range(8)]
        assert all(isinstance(future.exception(), StoreUnavailable) for future in futures)
    assert len(looks) < 8
    monkeypatch.undo()
    timer.now += 1
    assert look.now() == 0


def test_one_reader_takes_half_of_the_places_and_leaves_some_to_each_that_comes() -> None:
    seats = Seats(8)
    assert [seats.take(1) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [seats.take(2) for _ in range(3)] == [True, True, False]
    assert [seats.take(3) for _ in range(2)] == [True, False]
    seats.give_back(1)
    assert seats.take(3)
    assert not seats.take(1)


def test_the_only_place_is_anybodys() -> None:
    seats = Seats(1)
    assert (seats.take(1), seats.take(2)) == (True, False)
    seats.give_back(1)
    assert seats.take(2)


def test_a_reader_reads_one_page_at_a_time_and_holds_up_no_other() -> None:
    pages, together, most = OneAtATime(), [0], [0]

    def read() -> None:
        with pages.of(1):
            together[0] += 1
            most[0] = max(most[0], together[0])
            time.sleep(0.002)
            together[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        for asked in [pool.submit(read) for _ in range(20)]:
            asked.result()
    assert most == [1]
    with pages.of(1), pages.of(2):
        pass
    assert not pages._turns


def test_a_long_page_is_the_same_as_several_short_ones(parts: Runtime, source: SourceRecord) -> None:
    names = [f"FT{number}" for number in range(2 * SLICE + 10)]
    write(parts, source, *names)
    reader = Reader(parts.database, 1)
    whole = reader.read(1, 0, EVERYTHING, 2 * SLICE + 5, 0)
    assert ([entry.subject for entry in whole.entries], whole.has_more) == (names[: 2 * SLICE + 5], True)
    rest = reader.read(1, whole.through, EVERYTHING, 1000, 0)
    assert ([entry.subject for entry in rest.entries], rest.has_more) == (names[2 * SLICE + 5 :], False)
    assert reader.read(1, 0, EVERYTHING, SLICE, 0).has_more


def test_readers_take_turns_and_one_alone_waits_for_none(timer: Timer) -> None:
    spacing = Spacing(timer, timer.sleep)
    for _ in range(3):
        spacing.wait()
    timer.now += 1
    spacing.wait()
    assert timer.slept == [TURN_SECONDS, 2 * TURN_SECONDS]
