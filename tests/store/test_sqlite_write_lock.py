"""Turns among the writers of one SQLite file: of several processes, killed ones, and on a slow disk."""

import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from servers import ROOT
from sqlalchemy import text

from receiver.store import database as store
from receiver.store.database import Database, StoreUnavailable, check_writable
from receiver.store.group_commit import GroupCommit
from receiver.store.sqlite_write_lock import FairLock, SqliteWriteLock, WriteLockTimeout

SECONDS = 60
"""Longer than any of this takes, even on a slow machine."""

HOLD = """
import sys, time
from receiver.store.sqlite_write_lock import SqliteWriteLock
with SqliteWriteLock(sys.argv[1]).of_processes(time.monotonic() + 60):
    print("holds", flush=True)
    sys.stdin.read()
"""

COUNT = """
import sys, time
from pathlib import Path
from receiver.store.sqlite_write_lock import SqliteWriteLock
turns, file = SqliteWriteLock(sys.argv[1]), Path(sys.argv[1])
for _ in range(200):
    with turns.of_processes(time.monotonic() + 60):
        file.write_text(str(int(file.read_text()) + 1))
"""

WRITE = """
import sys
from sqlalchemy import text
from receiver.store.database import Database
database = Database(sys.argv[1])
{checkpoints}
for _ in range(70):
    # As long as a busy machine may take: how long a turn is waited for is not looked at here.
    with database.write(turn_seconds=60) as connection:
        connection.execute(text("INSERT INTO pages SELECT randomblob(4000) FROM pages LIMIT 200"))
"""

SLOW_DISK = ("-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_exit=5000")


@contextmanager
def running(script: str, argument: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*before, sys.executable, "-c", script, argument],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors


def in_time() -> float:
    return time.monotonic() + SECONDS


def too_late() -> float:
    return time.monotonic() + 0.01


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database's file, which need not be one."""
    return tmp_path / "receiver.db"


@pytest.fixture
def held(sqlite_url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the turn of the test's database, until it is killed."""
    with running(HOLD, sqlite_url.removeprefix("sqlite:///")) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds\n"
        yield other


def test_processes_and_threads_never_hold_a_turn_at_once(file: Path) -> None:
    file.write_text("0")
    turns = SqliteWriteLock(str(file))

    def count(_: int) -> None:
        for _ in range(50):
            with turns.of_threads(in_time()), turns.of_processes(in_time()):
                file.write_text(str(int(file.read_text()) + 1))

    with ExitStack() as started, ThreadPoolExecutor(4) as pool:
        processes = [started.enter_context(running(COUNT, str(file))) for _ in range(3)]
        list(pool.map(count, range(4)))
        for process in processes:
            end(process)
    assert file.read_text() == str(3 * 200 + 4 * 50)


def test_threads_get_a_lock_in_the_order_in_which_they_asked_for_it() -> None:
    lock, order, threads = FairLock(), list[int](), list[threading.Thread]()

    def take(number: int) -> None:
        assert lock.acquire(SECONDS)
        order.append(number)
        lock.release()

    assert lock.acquire(0)
    for number in range(5):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        while len(lock._waiting) <= number:
            time.sleep(0.001)
    # Who gives up takes no turn, and those behind it are not held up.
    assert not lock.acquire(0.01)
    lock.release()
    # Nor does whoever comes now go first.
    assert lock.acquire(SECONDS)
    assert order == [0, 1, 2, 3, 4]
    lock.release()
    for thread in threads:
        thread.join(SECONDS)


def test_who_is_interrupted_while_it_waits_for_a_lock_leaves_it_to_others() -> None:
    lock = FairLock()
    assert lock.acquire(0)
    main = threading.get_ident()

    def interrupt() -> None:
        while not lock._waiting:
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        lock.acquire(SECONDS)
    thread.join(SECONDS)
    lock.release()
    assert lock.acquire(0)


def test_a_turn_can_be_left_before_the_block_ends(file: Path) -> None:
    mine, of_another = SqliteWriteLock(str(file)), SqliteWriteLock(str(file))
    with mine.of_processes(in_time()) as leave:
        with pytest.raises(WriteLockTimeout), of_another.of_processes(too_late()):
            pass
        leave()
        with of_another.of_processes(too_late()):
            pass
    # Nothing comes of being late, not even where another file has got the number that this one had.
    with mine.of_processes(too_late()):
        leave()
        with pytest.raises(WriteLockTimeout), of_another.of_processes(too_late()):
            pass


def test_a_turn_is_left_when_its_block_or_its_commit_fails(sqlite_url: str) -> None:
    database, other = Database(sqlite_url), SqliteWriteLock(sqlite_url.removeprefix("sqlite:///"))
    with pytest.raises(KeyError), database.write():
        raise KeyError
    with other.of_processes(too_late()):
        pass
    with database.write() as connection:
        connection.execute(
            text(
                "CREATE TABLE pairs (id INTEGER UNIQUE, of INTEGER REFERENCES pairs (id) DEFERRABLE INITIALLY DEFERRED)"
            )
        )
    with pytest.raises(StoreUnavailable), database.write() as connection:
        connection.execute(text("INSERT INTO pairs VALUES (1, 2)"))
    with other.of_processes(too_late()):
        pass
    database.close()


def test_one_database_has_one_turn_by_whatever_name_it_is_reached(file: Path) -> None:
    other_name = file.with_name("other.db")
    other_name.symlink_to(file)
    by_its_own, by_the_other = SqliteWriteLock(str(file)), SqliteWriteLock(str(other_name))
    with by_its_own.of_processes(in_time()), pytest.raises(WriteLockTimeout), by_the_other.of_processes(too_late()):
        pass


def test_who_may_write_to_the_database_may_take_turns(file: Path) -> None:
    file.touch()
    file.chmod(0o660)
    with SqliteWriteLock(str(file)).of_processes(in_time()):
        pass
    assert stat.S_IMODE(file.with_name("receiver.db-turn").stat().st_mode) == 0o660


@pytest.mark.usefixtures("held")
def test_a_turn_that_does_not_come_is_an_unavailable_database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.1)
    database = Database(sqlite_url)
    with pytest.raises(StoreUnavailable, match="held the database for too long"):
        check_writable(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.close()


def test_a_killed_process_leaves_its_turn(sqlite_url: str, held: subprocess.Popen[str]) -> None:
    held.kill()
    database = Database(sqlite_url)
    with database.write(turn_seconds=SECONDS) as connection:
        connection.execute(text("CREATE TABLE written (name TEXT)"))
    database.close()


@pytest.mark.usefixtures("held")
def test_all_who_wait_for_a_turn_together_give_up_together(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 1)
    database = Database(sqlite_url)
    commits: GroupCommit[int, int] = GroupCommit(database, lambda _, jobs: jobs, 1000)

    def give_up(job: int) -> None:
        with pytest.raises(StoreUnavailable):
            commits.run(job)

    started = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(give_up, range(32)))
    # One after the other they would wait for 32 s.
    assert time.monotonic() - started < 30
    database.close()


def test_a_file_for_turns_that_can_not_be_opened_is_an_unavailable_database(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    file = Path(sqlite_url.removeprefix("sqlite:///") + "-turn")
    file.unlink(missing_ok=True)
    file.mkdir()
    with pytest.raises(StoreUnavailable, match=r"Is a directory: .*-turn: belongs to"), database.write():
        pass
    database.close()


@pytest.mark.parametrize("checkpoints", ["database.checkpoint_aside()", ""], ids=["beside the commits", "by commits"])
def test_the_log_begins_anew_under_load_on_a_slow_disk(sqlite_url: str, tmp_path: Path, checkpoints: str) -> None:
    """110 MB go through it; where a checkpoint is overtaken by others' commits, most of it stays."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not installed, or may not trace here")
    database = Database(sqlite_url)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE pages (page BLOB)"))
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
                "INSERT INTO pages SELECT randomblob(4000) FROM n"
            )
        )
    database.close()
    options = (strace, "-f", "-qq", *SLOW_DISK, "-o", str(tmp_path / "trace"))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    log = file.with_name(file.name + "-wal")
    largest, ends = 0, in_time()
    with ExitStack() as started:
        writers = [
            started.enter_context(running(WRITE.format(checkpoints=checkpoints), sqlite_url, *options))
            for _ in range(2)
        ]
        while any(writer.poll() is None for writer in writers) and time.monotonic() < ends:
            with suppress(FileNotFoundError):
                largest = max(largest, log.stat().st_size)
            time.sleep(0.01)
        for writer in writers:
            end(writer)
    assert file.stat().st_size > 90 << 20
    assert 0 < largest < 40 << 20
