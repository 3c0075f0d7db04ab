"""What is kept in memory of the sources: for less than a second, and no longer than the clocks agree on."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psutil
import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, StandingClock, add_source
from servers import WebServer, environment
from sqlalchemy import event, text
from timers import Timer

from receiver.inbox.source_cache import CACHE_SECONDS, SourceCache, SourceUnknown
from receiver.runtime import Runtime
from receiver.store import signing_secrets, sources
from receiver.store.database import StoreUnavailable
from receiver.store.sources import SourceRecord

OTHER_SECRET = "c2VjcmV0LW9mLWFub3RoZXItZGF5LTEyMzQ1Njc4OTA="


A_WHILE = CACHE_SECONDS + 0.1
"""Within the second that is promised."""


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def directory(parts: Runtime, timer: Timer) -> SourceCache:
    return SourceCache(parts, timer)


@pytest.fixture
def statements(parts: Runtime) -> Iterator[list[str]]:
    """What the database was asked."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(parts.database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(parts.database.engine, "before_cursor_execute", note)


def pass_by(timer: Timer, clock: StandingClock, seconds: float) -> None:
    timer.now += seconds
    clock.forward(seconds)


def set_secret(parts: Runtime, source: SourceRecord, secret: str = OTHER_SECRET) -> None:
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, secret, now=parts.clock(), grace_seconds=0)


def set_enabled(parts: Runtime, *, enabled: bool) -> None:
    with parts.database.write() as connection:
        connection.execute(text("UPDATE sources SET enabled = :enabled"), {"enabled": enabled})


def test_a_source_is_read_once_a_second(
    directory: SourceCache, source: SourceRecord, timer: Timer, clock: StandingClock, statements: list[str]
) -> None:
    known = directory.find(source.name, clock())
    asked = len(statements)
    pass_by(timer, clock, CACHE_SECONDS / 2)
    assert directory.find(source.name, clock()) is known
    assert len(statements) == asked
    pass_by(timer, clock, A_WHILE / 2)
    assert directory.find(source.name, clock()) is not known


def test_many_threads_that_come_at_once_read_it_once(
    directory: SourceCache, source: SourceRecord, clock: StandingClock, statements: list[str]
) -> None:
    directory.find(source.name, clock())
    once = len(statements)
    directory.forget(source.name)
    del statements[:]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: directory.find(source.name, clock()), range(200)))
    assert len(set(map(id, found))) == 1
    assert len(statements) <= once


def test_a_new_secret_shows_within_a_second(
    directory: SourceCache, parts: Runtime, source: SourceRecord, timer: Timer, clock: StandingClock
) -> None:
    before = directory.find(source.name, clock())
    set_secret(parts, source)
    pass_by(timer, clock, A_WHILE)
    assert directory.find(source.name, clock()).profile != before.profile


def test_a_source_that_is_disabled_is_unknown_within_a_second_and_known_again_once_enabled(
    directory: SourceCache, parts: Runtime, source: SourceRecord, timer: Timer, clock: StandingClock
) -> None:
    directory.find(source.name, clock())
    set_enabled(parts, enabled=False)
    pass_by(timer, clock, A_WHILE)
    with pytest.raises(SourceUnknown):
        directory.find(source.name, clock())
    set_enabled(parts, enabled=True)
    pass_by(timer, clock, A_WHILE)
    assert directory.find(source.name, clock()).source.enabled


def test_a_source_that_is_added_shows_within_a_second(
    directory: SourceCache, parts: Runtime, source: SourceRecord, timer: Timer, clock: StandingClock
) -> None:
    with pytest.raises(SourceUnknown):
        directory.find("second", clock())
    add_source(parts, "second")
    pass_by(timer, clock, A_WHILE)
    assert directory.find("second", clock()).source.id != source.id


def test_what_is_forgotten_is_read_anew(
    directory: SourceCache, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    before = directory.find(source.name, clock())
    set_secret(parts, source)
    directory.forget(source.name)
    assert directory.find(source.name, clock()).profile != before.profile


def test_made_up_names_cost_one_query_a_second_together(
    directory: SourceCache, source: SourceRecord, timer: Timer, clock: StandingClock, statements: list[str]
) -> None:
    for _ in range(2):
        for number in range(50):
            with pytest.raises(SourceUnknown):
                directory.find(f"{source.name}-{number}", clock())
        pass_by(timer, clock, A_WHILE)
    assert len([asked for asked in statements if asked.startswith("SELECT")]) == 2
    assert directory._known == {}


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_makes_it_read_anew(
    directory: SourceCache, source: SourceRecord, clock: StandingClock, hours: int
) -> None:
    known = directory.find(source.name, clock())
    again = directory.find(source.name, clock() + timedelta(hours=hours))
    assert again is not known


def test_a_clock_that_stands_still_keeps_nothing_for_longer(
    directory: SourceCache, source: SourceRecord, timer: Timer, clock: StandingClock
) -> None:
    known = directory.find(source.name, clock())
    timer.now += A_WHILE
    assert directory.find(source.name, clock()) is not known


def break_database(parts: Runtime, *, broken: bool) -> None:
    names = ("sources", "away") if broken else ("away", "sources")
    with parts.database.write() as connection:
        connection.execute(text("ALTER TABLE {} RENAME TO {}".format(*names)))


def test_a_database_that_fails_is_told_and_found_again(
    directory: SourceCache, parts: Runtime, source: SourceRecord, timer: Timer, clock: StandingClock
) -> None:
    directory.find(source.name, clock())
    break_database(parts, broken=True)
    # What is in memory is good until it is a second old, and not a moment longer.
    assert directory.find(source.name, clock()).source.id == source.id
    pass_by(timer, clock, A_WHILE)
    with pytest.raises(StoreUnavailable):
        directory.find(source.name, clock())
    break_database(parts, broken=False)
    pass_by(timer, clock, 0.001)
    assert directory.find(source.name, clock()).source.id == source.id


def test_who_waits_while_the_database_fails_shares_the_failure(
    directory: SourceCache, parts: Runtime, source: SourceRecord, clock: StandingClock, statements: list[str]
) -> None:
    break_database(parts, broken=True)
    del statements[:]

    def fails(_: int) -> bool:
        try:
            directory.find(source.name, clock())
        except StoreUnavailable:
            return True
        return False

    # Time stands still, so that all have come before the first has failed.
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fails, range(8)))
    assert len([asked for asked in statements if asked.startswith("SELECT")]) <= 2


@pytest.fixture
def two_processes(live: Runtime, database_url: str) -> Iterator[WebServer]:
    add_source(live)
    more = {"RECEIVER_PROCESSES": "2", "RECEIVER_LOG_LEVEL": "ERROR"}
    started = WebServer(environment(database_url, KEY, **more)).start()
    yield started
    started.stop()


def test_a_change_shows_in_every_process(two_processes: WebServer, live: Runtime, live_bank: BankSigner) -> None:
    old, new = live_bank, BankSigner(live_bank.clock, OTHER_SECRET)
    assert_answers_in_each(two_processes, [(old, 200), (new, 401)])
    with live.database.read() as connection:
        found = sources.find(connection, "bcb")
    assert found is not None
    set_secret(live, found)
    assert_answers_in_each(two_processes, [(old, 401), (new, 200)])
    set_enabled(live, enabled=False)
    assert_answers_in_each(two_processes, [(old, 404), (new, 404)])


def assert_answers_in_each(server: WebServer, expected: list[tuple[BankSigner, int]]) -> None:
    """Look at each process while the others are held, and wait until it has seen the change."""
    assert server.process is not None
    workers = psutil.Process(server.process.pid).children()
    assert len(workers) == 2
    for worker in workers:
        others = [other for other in workers if other != worker]
        for other in others:
            other.suspend()
        try:
            wait_until(lambda: all(send(server, bank) == status for bank, status in expected))
        finally:
            for other in others:
                other.resume()


def wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "the change does not show"
        time.sleep(0.05)


def send(server: WebServer, bank: BankSigner) -> int:
    signed = bank.sign(deposit())
    return requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60).status_code
