"""SQLite's log is brought into the database beside the commits, by one process of all, and begins anew under load."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

import pytest
from servers import ROOT
from sqlalchemy import text

from receiver.store import checkpointer
from receiver.store.database import Database

SECONDS = 30
"""Longer than any of this takes, even on a slow machine."""

PAGE_BYTES = 4096

HOLD = """
import sys
from sqlalchemy import text
from receiver.store.database import Database
database = Database(sys.argv[1])
database.checkpoint_aside()
with database.write() as connection:
    connection.execute(text("UPDATE feed_head SET position = position + 1"))
print("runs", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys, time
from sqlalchemy import text
from receiver.store.database import Database

def threads():
    return len(os.listdir("/proc/self/task"))

def commit():
    with database.write() as connection:
        connection.execute(text("UPDATE feed_head SET position = position + 1"))

database = Database(sys.argv[1])
database.checkpoint_aside()
assert threads() == 1
commit()
assert threads() == 2
child = os.fork()
if not child:
    assert threads() == 1
    commit()
    assert threads() == 2
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


AT_IT = """
import fcntl, sys
with open(sys.argv[1] + "-shm", "r+b") as index:
    # The byte that SQLite locks for a checkpoint (https://sqlite.org/walformat.html, WAL_CKPT_LOCK).
    fcntl.lockf(index, fcntl.LOCK_EX, 1, 121)
    print("runs", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointer, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(checkpointer, "STANDBY_SECONDS", 0.02)
    # So that no commit does it.
    monkeypatch.setattr("receiver.store.sqlite.WAL_AUTOCHECKPOINT_PAGES", 0)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """A database with a table to fill."""
    opened = Database(sqlite_url)
    with opened.write() as connection:
        connection.execute(text("CREATE TABLE pages (page BLOB)"))
    opened.close()
    yield opened
    opened.close()


def file_of(database: Database) -> Path:
    return Path(database.url.removeprefix("sqlite:///"))


def fill(database: Database, pages: int) -> None:
    with database.write() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :pages) "
                "INSERT INTO pages SELECT randomblob(4000) FROM n"
            ),
            {"pages": pages},
        )


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_is_committed_comes_into_the_database_without_a_commit_that_waits_for_it(database: Database) -> None:
    before = file_of(database).stat().st_size
    fill(database, 20)
    assert file_of(database).stat().st_size == before
    database.checkpoint_aside()
    fill(database, 1)
    wait_until(lambda: file_of(database).stat().st_size > before + 20 * PAGE_BYTES)


def test_the_log_begins_anew_however_fast_commits_follow_one_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LONG_PAGES", 50)
    database.checkpoint_aside()
    fill(database, 1)
    log = file_of(database).with_name("receiver.db-wal")
    written = 0

    def began_anew() -> bool:
        nonlocal written
        fill(database, 10)
        written += 10
        return written > 200 and log.stat().st_size < written * PAGE_BYTES // 2

    wait_until(began_anew)


def test_writers_stand_back_from_a_log_that_is_too_long_while_another_one_checkpoints_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "WAL_AUTOCHECKPOINT_PAGES", 100)
    monkeypatch.setattr(checkpointer, "LONG_PAGES", 50)
    monkeypatch.setattr(checkpointer, "TURN_SECONDS", SECONDS)
    log = file_of(database).with_name("receiver.db-wal")
    fill(database, 1)
    with another(str(file_of(database)), AT_IT) as at_it:
        database.checkpoint_aside()

        def write() -> None:
            for _ in range(100):
                fill(database, 10)

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(1)
        assert writer.is_alive()
        assert log.stat().st_size < 200 * PAGE_BYTES
        at_it.kill()
        writer.join(SECONDS)
    assert not writer.is_alive()
    assert log.stat().st_size < 200 * PAGE_BYTES


def test_a_log_that_grew_while_somebody_read_is_cut_once_they_have_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.store.sqlite.LOG_BYTES_MAX", 100 * PAGE_BYTES)
    log = file_of(database).with_name("receiver.db-wal")
    database.checkpoint_aside()
    with database.read() as connection:
        connection.execute(text("SELECT count(*) FROM pages")).scalar_one()
        for _ in range(5):
            fill(database, 100)
        assert log.stat().st_size > 500 * PAGE_BYTES

    def is_cut() -> bool:
        fill(database, 1)
        return log.stat().st_size <= 100 * PAGE_BYTES

    wait_until(is_cut)


@contextmanager
def another(argument: str, script: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """Another process that checkpoints this file."""
    with subprocess.Popen(
        [sys.executable, "-c", script, argument], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "runs\n"
            yield process
        finally:
            process.kill()


def holders(database: Database) -> set[int]:
    """The processes that have locked the file for it, as the kernel tells."""
    file = file_of(database).with_name("receiver.db-checkpoint")
    if not file.exists():
        return set()
    inode = file.stat().st_ino
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {int(line[4]) for line in lines if line[1] == "FLOCK" and line[5].endswith(f":{inode}")}


def test_one_process_at_a_time_does_it_and_another_takes_over_from_one_that_was_killed(database: Database) -> None:
    with another(database.url) as first:
        wait_until(lambda: holders(database) == {first.pid})
        database.checkpoint_aside()
        fill(database, 1)
        assert holders(database) == {first.pid}
        first.send_signal(SIGKILL)
        first.wait(SECONDS)
        wait_until(lambda: holders(database) == {os.getpid()})
    database.close()
    wait_until(lambda: holders(database) == set())
    fill(database, 1)
    wait_until(lambda: holders(database) == {os.getpid()})


def test_a_process_that_is_forked_starts_a_thread_of_its_own(database: Database) -> None:
    subprocess.run([sys.executable, "-c", FORK, database.url], cwd=ROOT, timeout=SECONDS, check=True)


def test_an_error_is_waited_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpointer._checkpoint_once
    failed: list[int] = []

    def fails_first(connection: sqlite3.Connection) -> int:
        if not failed:
            failed.append(1)
            raise sqlite3.OperationalError("disk I/O error")
        return real(connection)

    monkeypatch.setattr(checkpointer, "_checkpoint_once", fails_first)
    before = file_of(database).stat().st_size
    database.checkpoint_aside()
    fill(database, 20)
    wait_until(lambda: file_of(database).stat().st_size > before)
    assert failed


def test_a_commit_is_done_where_no_thread_can_be_started_and_the_next_one_starts_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.checkpoint_aside()
    # More than a process has room for.
    threading.stack_size((1 << 47) - (1 << 20))
    try:
        fill(database, 1)
        fill(database, 1)
    finally:
        threading.stack_size(0)
    assert caplog.text.count("can't start new thread") == 1
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM pages")).scalar_one() == 2
    assert holders(database) == set()
    fill(database, 1)
    wait_until(lambda: holders(database) == {os.getpid()})
