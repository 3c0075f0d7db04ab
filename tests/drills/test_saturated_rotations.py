"""Rotations while PostgreSQL is saturated with inserts that refer to the source: no lock is waited for in vain."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.managers import SyncManager
from threading import Event

import pytest
from conftest import add_source
from store.made import delivery, event, record

from receiver import runtime
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.model import CredentialChangeState
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.bcb import Config, Simulator
from receiver.store import database, sources
from receiver.store.sources import SourceRecord

PROCESSES = 2
THREADS = 16


def insert_without_pause(url: str, key: str, process: int, stopped: Event) -> int:
    """Write deliveries and events down from several threads until it is stopped; return how many."""
    parts = runtime.start(Settings(_env_file=None, secret_keys=key, database_url=url))
    with parts.database.read() as connection:
        (source,) = sources.every(connection)

    def insert(thread: int) -> int:
        number = 0
        while not stopped.is_set():
            name = f"{process}-{thread}-{number}"
            assert record(parts, delivery(parts, source, nonce=name), event(parts, name)).is_new
            number += 1
        return number

    with ThreadPoolExecutor(THREADS) as pool:
        numbers = list(pool.map(insert, range(THREADS)))
    parts.database.close()
    return sum(numbers)


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """On SQLite all writers take turns."""
    return postgresql_url


@pytest.fixture
def bank() -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0)) as simulator:
        yield simulator


def rotate(parts: Runtime, source: SourceRecord) -> float:
    """Rotate once; return how long that took in seconds."""
    changes, started = CredentialChanges(parts), time.monotonic()
    done = changes.make(source, ChangeRequest("rotate", "cli:drill"))
    changes.report(done)
    assert (done.state, done.attempts) == (CredentialChangeState.DONE, 1)
    return time.monotonic() - started


def drill(parts: Runtime, bank: Simulator, monkeypatch: pytest.MonkeyPatch, *, rotations: int) -> None:
    source = add_source(parts, base_url=bank.url, requests_per_window=1_000_000)
    # A lock that does not come fails at once, instead of being tried again.
    monkeypatch.setattr(database, "TRIES", 1)
    (key,) = parts.settings.keys
    fresh = multiprocessing.get_context("spawn")
    with fresh.Manager() as manager, ProcessPoolExecutor(PROCESSES, mp_context=fresh) as processes:
        assert isinstance(manager, SyncManager)
        stopped = manager.Event()
        url = parts.settings.database_url
        writing = [processes.submit(insert_without_pause, url, key, number, stopped) for number in range(PROCESSES)]
        try:
            wait_for_inserts(parts)
            taken = [rotate(parts, source) for _ in range(rotations)]
        finally:
            stopped.set()
        written = sum(writer.result() for writer in writing)
    print(
        f"{rotations} rotations amid {written} callbacks written down by {PROCESSES * THREADS} writers: "
        f"{max(taken):.1f} s at most, no lock time-out"
    )


def wait_for_inserts(parts: Runtime) -> None:
    ends = time.monotonic() + 120
    while True:
        with parts.database.read() as connection:
            if connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one() > PROCESSES * THREADS:
                return
        assert time.monotonic() < ends, "nothing is written"
        time.sleep(0.05)


def test_two_rotations_amid_inserts_without_pause_meet_no_lock_time_out(
    live: Runtime, bank: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill(live, bank, monkeypatch, rotations=2)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_twenty_rotations_amid_inserts_without_pause_meet_no_lock_time_out(
    live: Runtime, bank: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill(live, bank, monkeypatch, rotations=20)
