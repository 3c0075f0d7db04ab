"""Group commit and checkpoints as under gevent: `under_gevent.py DATABASE_URL FILE`, in a process of its own."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - nothing may be imported before it is patched
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from sqlalchemy import Connection, text  # noqa: E402

from receiver.store.database import Database, StoreUnavailable  # noqa: E402
from receiver.store.group_commit import GroupCommit  # noqa: E402
from receiver.store.thread_pool import run_in_thread  # noqa: E402


def add_each(connection: Connection, jobs: Sequence[int]) -> list[int]:
    """Add each to the sum."""
    for job in jobs:
        if job < 0:
            raise ValueError(job)
        connection.execute(text("UPDATE feed_head SET position = position + :job"), {"job": job})
    return [job * 10 for job in jobs]


def share_transactions(database: Database) -> None:
    """Greenlets that come together share transactions, each gets its own outcome, and one bad job hurts no other."""
    commits: GroupCommit[int, int] = GroupCommit(database, add_each, 1000)
    outcomes: dict[int, int | str] = {}

    def run(job: int) -> None:
        try:
            outcomes[job] = commits.run(job)
        except ValueError as error:
            outcomes[job] = str(error)

    before = database.commits
    gevent.joinall([gevent.spawn(run, job) for job in range(1, 101)], timeout=60)
    assert outcomes == {job: job * 10 for job in range(1, 101)}
    assert database.commits - before < 20, database.commits - before
    gevent.joinall([gevent.spawn(run, job) for job in (1, -2, 3)], timeout=60)
    assert (outcomes[1], outcomes[-2], outcomes[3]) == (10, "-2", 30)
    with database.read() as connection:
        assert connection.execute(text("SELECT position FROM feed_head")).scalar_one() == 5050 + 4


def wait_for_nobody_killed(database: Database) -> None:
    """Greenlets that are killed while they wait or lead leave no other without an answer."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(connection: Connection, jobs: Sequence[int]) -> list[int]:
        entered.set()
        go_on.wait(30)
        return add_each(connection, jobs)

    commits: GroupCommit[int, int] = GroupCommit(database, hold, 1000)
    first = gevent.spawn(commits.run, 1)
    entered.wait(30)
    waiting = [gevent.spawn(commits.run, job) for job in (2, 3, 4)]
    gevent.sleep(0)
    waiting[1].kill()
    go_on.set()
    gevent.joinall([first, *waiting], timeout=30)
    assert [greenlet.value for greenlet in (first, waiting[0], waiting[2])] == [10, 20, 40]
    entered.clear()
    go_on.clear()
    first = gevent.spawn(commits.run, 7)
    entered.wait(30)
    leader, other = (gevent.spawn(commits.run, job) for job in (8, 9))
    gevent.sleep(0)
    leader.kill()
    go_on.set()
    gevent.joinall([first, other], timeout=30)
    assert (first.value, type(other.exception)) == (70, StoreUnavailable)
    leader = gevent.spawn(commits.run, 5)
    leader.kill()
    assert gevent.spawn(commits.run, 6).get(timeout=30) == 60


def block_nobody(_: Database) -> None:
    """What runs natively lets others run meanwhile, and hands back what it returns or raises."""
    main = threading.get_native_id() if hasattr(threading, "get_native_id") else 0
    release = Path(sys.argv[2])

    def block() -> int:
        ends = time.monotonic() + 60
        while not release.exists() and time.monotonic() < ends:
            NATIVE_SLEEP(0.005)
        found: int = NATIVE_ID()
        return found

    blocked = gevent.spawn(run_in_thread, block)
    gevent.sleep(0.01)
    # This line is reached only where `block` does not hold up the greenlets.
    release.touch()
    assert blocked.get(timeout=30) != main
    try:
        run_in_thread(int, "no number")
    except ValueError:
        return
    raise AssertionError("the error was lost")


def wait_for_no_look_ups(database: Database) -> None:
    """Threads that look up names, which may take long, are no others' threads, and those of commits are theirs alone.

    All writers of all processes would wait with a commit that waits for a thread.
    """
    hanging = monkey.get_original("_thread", "allocate_lock")()
    hanging.acquire()

    def hang() -> None:
        with hanging:
            pass

    def commit() -> None:
        with database.write() as connection:
            add_each(connection, [1])

    threads = gevent.get_hub().threadpool
    looked_up = [threads.spawn(hang) for _ in range(threads.maxsize)]
    try:
        assert gevent.spawn(run_in_thread, int, "7").get(timeout=30) == 7
        busy = [gevent.spawn(run_in_thread, hang) for _ in range(20)]
        gevent.spawn(commit).get(timeout=30)
    finally:
        hanging.release()
    gevent.joinall(busy, timeout=30, raise_error=True)
    for each in looked_up:
        each.get(timeout=30)


def commit_after_a_fork(database: Database) -> None:
    """A process that is forked from one that has committed starts threads of its own."""
    with database.write() as connection:
        add_each(connection, [1])
    database.engine.dispose(close=False)
    child = os.fork()
    if not child:
        with gevent.Timeout(30), database.write() as connection:
            add_each(connection, [1])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def checkpoint_aside(database: Database) -> None:
    """A native thread brings what is committed into the file, and stands in no greenlet's way."""
    if not database.is_sqlite:
        return
    file = Path(database.url.removeprefix("sqlite:///"))
    database.checkpoint_aside()
    before = file.stat().st_size
    with database.write() as connection:
        connection.execute(text("CREATE TABLE pages AS SELECT randomblob(100000)"))
    ends = time.monotonic() + 30
    while file.stat().st_size == before:
        assert time.monotonic() < ends
        # Whatever it is that it waits for, all greenlets stand still.
        NATIVE_SLEEP(0.01)


NATIVE_SLEEP = monkey.get_original("time", "sleep")
NATIVE_ID = monkey.get_original("threading", "get_native_id")

if __name__ == "__main__":
    opened = Database(sys.argv[1])
    for look in (
        share_transactions,
        wait_for_nobody_killed,
        block_nobody,
        wait_for_no_look_ups,
        commit_after_a_fork,
        checkpoint_aside,
    ):
        look(opened)
    opened.close()
