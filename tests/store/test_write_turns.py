"""Turns among the writers of one SQLite file: of several processes, killed ones, and on a slow disk."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from servers import ROOT
from sqlalchemy import text

from receiver.store import database as store
from receiver.store.database import Database, StoreUnavailable, is_writable
from receiver.store.write_turns import TurnDidNotCome, WriteTurns

SECONDS = 60
"""Longer than any of this takes, even on a slow machine."""

HOLD = """
import sys, time
from receiver.store.write_turns import WriteTurns
with WriteTurns(sys.argv[1]).taken(time.monotonic() + 60):
    print("holds", flush=True)
    sys.stdin.read()
"""

COUNT = """
import sys, time
from pathlib import Path
from receiver.store.write_turns import WriteTurns
turns, file = WriteTurns(sys.argv[1]), Path(sys.argv[1])
for _ in range(200):
    with turns.taken(time.monotonic() + 60):
        file.write_text(str(int(file.read_text()) + 1))
"""

WRITE = """
import sys
from sqlalchemy import text
from receiver.store.database import Database
database = Database(sys.argv[1])
for _ in range(70):
    with database.write() as connection:
        connection.execute(text("INSERT INTO pages SELECT randomblob(4000) FROM pages LIMIT 200"))
"""

SLOW_DISK = ("-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_exit=5000")


def run(script: str, argument: str, *before: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", script, argument],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors


def test_processes_and_threads_never_hold_a_turn_at_once(tmp_path: Path) -> None:
    file = tmp_path / "counted"
    file.write_text("0")
    turns = WriteTurns(str(file))

    def count(_: int) -> None:
        for _ in range(50):
            with turns.taken(time.monotonic() + SECONDS):
                file.write_text(str(int(file.read_text()) + 1))

    processes = [run(COUNT, str(file)) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    for process in processes:
        end(process)
    assert file.read_text() == str(3 * 200 + 4 * 50)


def test_a_turn_can_be_left_before_the_block_ends(tmp_path: Path) -> None:
    mine, of_another = WriteTurns(str(tmp_path / "file")), WriteTurns(str(tmp_path / "file"))
    with mine.taken(time.monotonic()) as leave:
        with pytest.raises(TurnDidNotCome), of_another.taken(time.monotonic() + 0.01):
            pass
        leave()
        with of_another.taken(time.monotonic()):
            pass
    with mine.taken(time.monotonic()):
        pass


def test_a_turn_that_does_not_come_is_an_unavailable_database_and_a_killed_process_leaves_its_own(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.1)
    database = Database(sqlite_url)
    other = run(HOLD, sqlite_url.removeprefix("sqlite:///"))
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds\n"
        with pytest.raises(StoreUnavailable, match="held the database for too long"):
            is_writable(database)
        with database.read() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    finally:
        other.kill()
        other.communicate(timeout=SECONDS)
    with database.write(turn_seconds=SECONDS) as connection:
        connection.execute(text("CREATE TABLE written (name TEXT)"))
    database.close()


def test_a_file_for_turns_that_can_not_be_opened_is_an_unavailable_database(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    file = Path(sqlite_url.removeprefix("sqlite:///") + "-turn")
    file.unlink(missing_ok=True)
    file.mkdir()
    with pytest.raises(StoreUnavailable, match="-turn: Is a directory"), database.write():
        pass
    database.close()


def test_the_log_begins_anew_under_load_on_a_slow_disk(sqlite_url: str, tmp_path: Path) -> None:
    """110 MB go through it; where a checkpoint is overtaken by others' commits, most of it stays."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
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
    writers = [run(WRITE, sqlite_url, *options) for _ in range(2)]
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    log = file.with_name(file.name + "-wal")
    largest = 0
    while any(writer.poll() is None for writer in writers):
        with suppress(FileNotFoundError):
            largest = max(largest, log.stat().st_size)
        time.sleep(0.01)
    for writer in writers:
        end(writer)
    assert file.stat().st_size > 90 << 20
    assert 0 < largest < 40 << 20
