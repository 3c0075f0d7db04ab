"""Group commit: what comes together shares a transaction, and what is bad or dies takes nobody else along."""

import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from servers import ROOT
from sqlalchemy import Connection, text

from receiver.store import group_commit
from receiver.store.database import Database
from receiver.store.group_commit import GroupCommit, QueueFull

SECONDS = 60
"""Longer than any of this takes, even on a slow machine."""

Trouble = Callable[[Connection, int], None]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    with opened.write() as connection:
        connection.execute(text("CREATE TABLE jobs (number INTEGER UNIQUE CHECK (number >= 0), name TEXT UNIQUE)"))
    yield opened
    opened.close()


class Workshop:
    """Writes whole numbers down, a thread for each; the first can be held until the others have come."""

    def __init__(
        self,
        database: Database,
        *,
        waiting_max: int = 1000,
        group_max: int = group_commit.GROUP_MAX,
        trouble: dict[int, Trouble] | None = None,
    ) -> None:
        self.database = database
        self.trouble = trouble or {}
        self.groups: list[list[int]] = []
        self.commits: GroupCommit[int, str] = GroupCommit(database, self._work, waiting_max, group_max)
        self._held = threading.Event()
        self._go_on = threading.Event()
        self._pool = ThreadPoolExecutor(64)

    def _work(self, connection: Connection, jobs: Sequence[int]) -> list[str]:
        self.groups.append(list(jobs))
        if not self._go_on.is_set():
            self._held.set()
            assert self._go_on.wait(SECONDS)
        for job in jobs:
            self.trouble.get(job, add)(connection, job)
        return [f"outcome of {job}" for job in jobs]

    @contextmanager
    def held_by(self, job: int) -> Iterator[Future[str]]:
        """While the block runs, this job is being written and all others queue up."""
        first = self._pool.submit(self.commits.run, job)
        assert self._held.wait(SECONDS)
        try:
            yield first
        finally:
            self._go_on.set()

    def go_on(self) -> None:
        """Hold none of them."""
        self._go_on.set()

    def come(self, *jobs: int) -> list[Future[str]]:
        """Hand jobs in, each once the one before it is in the queue."""
        futures = []
        for job in jobs:
            waiting = self.commits._waiting
            futures.append(self._pool.submit(self.commits.run, job))
            ends = time.monotonic() + SECONDS
            while self.commits._waiting == waiting and not futures[-1].done() and time.monotonic() < ends:
                time.sleep(0.001)
        return futures

    def written(self) -> list[int]:
        with self.database.read() as connection:
            return list(connection.execute(text("SELECT number FROM jobs ORDER BY number")).scalars())


@contextmanager
def held_by_another(database: Database) -> Iterator[None]:
    """Leave nobody a transaction meanwhile: SQLite's writers take turns, PostgreSQL's connections are few."""
    if database.is_sqlite:
        with Database(database.url).write():
            yield
        return
    with ExitStack() as taken:
        for _ in range(40):
            taken.enter_context(database.engine.connect())
        yield


def add(connection: Connection, job: int) -> None:
    connection.execute(text("INSERT INTO jobs (number) VALUES (:job)"), {"job": job})


def outcomes(futures: Sequence[Future[str]]) -> list[str]:
    """What each was answered: its outcome, or the kind of its error."""
    errors = [future.exception(SECONDS) for future in futures]
    return [
        type(error).__name__ if error is not None else future.result()
        for future, error in zip(futures, errors, strict=True)
    ]


def own(*jobs: int) -> list[str]:
    return [f"outcome of {job}" for job in jobs]


def test_jobs_that_come_together_share_a_transaction_in_their_order(database: Database) -> None:
    workshop = Workshop(database)
    before = database.commits
    with workshop.held_by(0) as first:
        others = workshop.come(5, 3, 4)
    assert outcomes([first, *others]) == own(0, 5, 3, 4)
    assert workshop.groups == [[0], [5, 3, 4]]
    assert database.commits - before == 2
    assert workshop.written() == [0, 3, 4, 5]


def test_jobs_that_come_while_the_database_is_taken_join_the_group_that_waits_for_it(database: Database) -> None:
    workshop = Workshop(database)
    workshop.go_on()
    with held_by_another(database):
        first = workshop.come(1)
        others = workshop.come(2, 3)
    assert outcomes([*first, *others]) == own(1, 2, 3)
    assert workshop.groups == [[1, 2, 3]]
    assert workshop.written() == [1, 2, 3]


def test_a_job_that_comes_alone_waits_for_no_other(database: Database) -> None:
    workshop = Workshop(database)
    workshop._go_on.set()
    assert [workshop.commits.run(job) for job in (1, 2)] == own(1, 2)
    assert workshop.groups == [[1], [2]]


def fail(_: Connection, job: int) -> None:
    raise ZeroDivisionError(job)


def break_a_rule(connection: Connection, job: int) -> None:
    add(connection, -job)


def write_no_number(connection: Connection, _: int) -> None:
    connection.execute(text("INSERT INTO jobs (number) SELECT CAST(CAST(:name AS TEXT) AS INTEGER)"), {"name": "three"})


def write_a_long_key(connection: Connection, _: int) -> None:
    connection.execute(text("INSERT INTO jobs (name) VALUES (:name)"), {"name": secrets.token_hex(5000)})


def write_a_nul(connection: Connection, _: int) -> None:
    connection.execute(text("INSERT INTO jobs (name) VALUES (:name)"), {"name": "\0"})


def assert_hurts_no_other(database: Database, trouble: Trouble, error: str) -> None:
    workshop = Workshop(database, trouble={2: trouble})
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2, 3)
    assert outcomes([first, *others]) == [*own(0, 1), error, *own(3)]
    assert workshop.written() == [0, 1, 3]


@pytest.mark.parametrize(("trouble", "error"), [(fail, "ZeroDivisionError"), (break_a_rule, "StoreUnavailable")])
def test_a_bad_job_hurts_no_other(database: Database, trouble: Trouble, error: str) -> None:
    assert_hurts_no_other(database, trouble, error)


@pytest.mark.parametrize("trouble", [write_no_number, write_a_long_key, write_a_nul])
def test_a_value_that_only_postgresql_refuses_hurts_no_other(database: Database, trouble: Trouble) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite takes it")
    assert_hurts_no_other(database, trouble, "StoreUnavailable")


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_group_that_met_a_deadlock_is_retried_one_by_one(database: Database, state: str) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    met: list[int] = []

    def collide_once(connection: Connection, job: int) -> None:
        if not met:
            met.append(job)
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'collided' USING ERRCODE = '{state}'; END $$")
        add(connection, job)

    workshop = Workshop(database, trouble={2: collide_once})
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2, 3)
    assert outcomes([first, *others]) == own(0, 1, 2, 3)
    assert workshop.groups == [[0], [1, 2, 3], [1], [2], [3]]


def lose(connection: Connection, _: int) -> None:
    """Lose the database for real: a full file, or a connection that the server ends."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return
    connection.exec_driver_sql("PRAGMA max_page_count = 1")
    try:
        connection.exec_driver_sql("INSERT INTO jobs (name) VALUES (zeroblob(1000000))")
    finally:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")


def test_an_outage_fails_the_group_and_the_next_one_works_again(database: Database) -> None:
    workshop = Workshop(database, trouble={2: lose})
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2, 3)
    assert outcomes([first, *others]) == [*own(0), *["StoreUnavailable"] * 3]
    assert workshop.groups == [[0], [1, 2, 3]]
    assert outcomes(workshop.come(4)) == own(4)
    assert workshop.written() == [0, 4]


def test_an_outage_amid_jobs_that_are_retried_spares_what_is_on_disk(database: Database) -> None:
    workshop = Workshop(database, trouble={2: fail, 3: lose})
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2, 3, 4)
    assert outcomes([first, *others]) == [*own(0, 1), "ZeroDivisionError", "StoreUnavailable", "StoreUnavailable"]
    assert workshop.written() == [0, 1]


def test_who_came_during_an_outage_is_not_kept_waiting_for_the_next(database: Database) -> None:
    workshop = Workshop(database, trouble={0: lose})
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2)
    assert outcomes([first, *others]) == ["StoreUnavailable"] * 3
    assert workshop.groups == [[0]]
    assert outcomes(workshop.come(3)) == own(3)


def test_each_thread_gets_an_error_of_its_own(database: Database) -> None:
    workshop = Workshop(database, trouble={1: lose})
    with workshop.held_by(0):
        others = workshop.come(1, 2)
    first, second = (future.exception(SECONDS) for future in others)
    assert first is not second


def test_what_was_written_is_not_held_on_to(database: Database) -> None:
    workshop = Workshop(database)
    workshop._go_on.set()
    assert workshop.commits.run(1) == "outcome of 1"
    assert workshop.commits._last is not None
    assert workshop.commits._last.jobs == []


def test_more_than_may_wait_are_refused_at_once(database: Database) -> None:
    workshop = Workshop(database, waiting_max=3)
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2)
        # The first is not answered yet, so all that may are waiting: this returns although nothing goes on.
        with pytest.raises(QueueFull, match="3 deliveries"):
            workshop.commits.run(3)
    assert outcomes([first, *others]) == own(0, 1, 2)
    assert outcomes(workshop.come(4)) == own(4)


def test_the_bound_is_free_again_after_an_outage(database: Database) -> None:
    workshop = Workshop(database, waiting_max=2, trouble={0: lose})
    with workshop.held_by(0) as first:
        others = workshop.come(1)
    assert outcomes([first, *others]) == ["StoreUnavailable"] * 2
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(workshop.commits.run, (2, 3))) == own(2, 3)


def test_the_lead_is_handed_on_until_nobody_waits(database: Database) -> None:
    workshop = Workshop(database, group_max=4)
    workshop._go_on.set()
    jobs = range(300)
    with ThreadPoolExecutor(24) as pool:
        futures = [pool.submit(workshop.commits.run, job) for job in jobs]
        assert outcomes(futures) == own(*jobs)
    assert max(map(len, workshop.groups)) <= 4
    assert len(workshop.groups) > len(jobs) / 5
    assert workshop.written() == list(jobs)


class Ended(BaseException):
    """As where a thread is made to end."""


def end(_: Connection, __: int) -> None:
    raise Ended


def test_a_leader_that_is_ended_wakes_all_and_hands_the_lead_on(database: Database) -> None:
    workshop = Workshop(database, group_max=2, trouble={1: end})
    with workshop.held_by(0) as first:
        others = workshop.come(1, 2, 3)
    assert outcomes([first, *others]) == [*own(0), "Ended", "StoreUnavailable", *own(3)]
    assert outcomes(workshop.come(4)) == own(4)
    assert workshop.written() == [0, 3, 4]


def test_under_gevent_it_is_the_same(database_url: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("under_gevent.py")
    ended = subprocess.run(
        [sys.executable, str(script), database_url, str(tmp_path / "released")],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
