"""The engine: durable at each commit, on every connection; trouble is one kind of error that tells no secrets."""

import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from receiver.store import database as engine
from receiver.store.database import Database, StoreUnavailable, check_writable
from receiver.store.postgresql import left

CONNECTIONS = 3


@pytest.fixture
def row_locks() -> None:
    """They are waited for as long as in production."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def file(sqlite_url: str) -> Iterator[Database]:
    """SQLite alone."""
    opened = Database(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def server(empty_postgres_url: str) -> Iterator[Database]:
    """PostgreSQL alone."""
    opened = Database(empty_postgres_url)
    yield opened
    opened.close()


def several(database: Database) -> Iterator[Connection]:
    """Different connections, open at once."""
    opened = [database.engine.connect() for _ in range(CONNECTIONS)]
    yield from opened
    for connection in opened:
        connection.close()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 4_000)]
)
def test_every_sqlite_connection_is_durable_and_checks_references(
    file: Database, pragma: str, value: str | int
) -> None:
    found = [connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() for connection in several(file)]
    assert found == [value] * CONNECTIONS


@pytest.mark.parametrize(
    ("setting", "value"),
    [("synchronous_commit", "on"), ("TimeZone", "UTC"), ("lock_timeout", "4s"), ("statement_timeout", "1min")],
)
def test_every_postgresql_connection_is_durable_and_waits_for_locks_within_bounds(
    server: Database, setting: str, value: str
) -> None:
    found = [connection.exec_driver_sql(f"SHOW {setting}").scalar_one() for connection in several(server)]
    assert found == [value] * CONNECTIONS


def test_what_is_written_shows_once_the_block_has_ended(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE feed_head SET position = 5"))
        with database.read() as another:
            assert position(another) == 0
    with database.read() as another:
        assert position(another) == 5


def test_a_block_that_fails_leaves_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as connection:
            connection.execute(text("UPDATE feed_head SET position = 5"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with database.read() as connection:
        assert position(connection) == 0


def test_a_reader_sees_one_state_from_its_first_look_to_its_last(database: Database) -> None:
    with database.read() as reader:
        assert position(reader) == 0
        with database.write() as connection:
            connection.execute(text("UPDATE feed_head SET position = 5"))
        assert position(reader) == 0


def test_what_a_database_says_of_a_row_that_it_refuses_leaves_out_the_row(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE names (name TEXT UNIQUE)"))
        connection.execute(text("INSERT INTO names VALUES ('Jane Roe')"))
    with pytest.raises(StoreUnavailable) as caught, database.write() as connection:
        connection.execute(text("INSERT INTO names VALUES ('Jane Roe')"))
    assert "unique" in str(caught.value).lower()
    assert "Jane" not in str(caught.value)


def test_writers_that_read_first_lose_no_update(database: Database) -> None:
    def add_one(_: int) -> None:
        with database.write() as connection:
            known = connection.execute(text(locking(database))).scalar_one()
            connection.execute(text("UPDATE feed_head SET position = :next"), {"next": known + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, range(40)))
    with database.read() as connection:
        assert position(connection) == 40


def locking(database: Database) -> str:
    if database.is_sqlite:
        return "SELECT position FROM feed_head"
    return "SELECT position FROM feed_head FOR UPDATE"


def position(connection: Connection) -> int:
    found: int = connection.execute(text("SELECT position FROM feed_head")).scalar_one()
    return found


def test_a_reference_to_nothing_is_refused(database: Database) -> None:
    with pytest.raises(StoreUnavailable), database.write() as connection:
        connection.execute(text("INSERT INTO public_keys (source_id) VALUES (999)"))


def test_an_error_tells_none_of_the_values(database: Database) -> None:
    with pytest.raises(StoreUnavailable) as caught, database.write() as connection:
        connection.execute(text("SELECT :secret FROM no_such_table"), {"secret": "hunter2"})
    assert "no_such_table" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


def test_a_file_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreUnavailable), Database(f"sqlite:///{tmp_path}/taken").read() as connection:
        connection.execute(text("SELECT 1"))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailable, match="refused"), database.read() as connection:
        connection.execute(text("SELECT 1"))


def test_a_writer_that_waits_too_long_for_another_gives_up(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    database = Database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        check_writable(database)
    other.close()
    check_writable(database)
    database.close()


def test_a_writer_waits_no_longer_for_its_turn_and_the_lock_together(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.3)
    database = Database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def give_up(_: int) -> float:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            check_writable(database)
        return time.monotonic() - started

    with ThreadPoolExecutor(40) as pool:
        waited = sorted(pool.map(give_up, range(40)))
    # One after the other, they would have taken forty times as long.
    assert waited[-1] < 40 * 0.3
    other.close()
    database.close()


def test_an_error_of_the_driver_itself_is_unavailable_too(file: Database) -> None:
    with pytest.raises(StoreUnavailable, match="no such table"), file.write() as connection:
        connection.connection.cursor().execute("INSERT INTO no_such_table VALUES (1)")


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_server_that_does_not_answer_in_time_is_unavailable_and_found_again(server: Database, way: str) -> None:
    connect(server)
    with (
        pytest.raises(StoreUnavailable, match="did not answer in time"),
        getattr(server, way)(1) as connection,
    ):
        connection.execute(text("SELECT pg_sleep(60)"))
    with getattr(server, way)(30) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_bound_holds_for_its_own_block_alone(server: Database) -> None:
    assert left() == math.inf
    with server.read(60) as connection:
        connection.execute(text("SELECT 1"))
        assert 0 < left() <= 60
    with server.read() as connection:
        connection.execute(text("SELECT 1"))
        assert left() == math.inf


def connect(server: Database) -> None:
    """Have a connection at hand, so that no time goes into making one."""
    with server.read() as connection:
        connection.execute(text("SELECT 1"))


def test_no_time_is_left_to_connect_in(server: Database) -> None:
    with pytest.raises(StoreUnavailable, match="did not answer in time"), server.read(0.0):
        pass


def test_a_writer_waits_for_another_one_that_is_quick(database: Database) -> None:
    taken = threading.Event()

    def hold() -> None:
        with database.write() as connection:
            connection.execute(text("UPDATE feed_head SET position = 1"))
            taken.set()
            time.sleep(0.3)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        taken.wait(60)
        check_writable(database)
        held.result()


def test_a_connection_that_the_server_has_ended_is_replaced(
    database_url: str, database: Database, postgres: str
) -> None:
    if database.is_sqlite:
        pytest.skip("a file ends no connections")
    check_writable(database)
    with psycopg.connect(postgres, autocommit=True) as admin:
        name = database.engine.url.database
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    check_writable(database)
    assert database_url.startswith("postgresql+psycopg://")


def test_who_waits_for_a_commit_is_woken_by_it(database: Database) -> None:
    before = database.commits
    assert not database.wait_for_commit(before, 0.01)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.wait_for_commit, before, 30)
        check_writable(database)
        assert waiting.result(30)
    assert database.wait_for_commit(before, 0)


def test_who_waits_for_a_commit_is_not_woken_by_what_was_rolled_back(database: Database) -> None:
    before = database.commits
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError
    assert not database.wait_for_commit(before, 0.01)


def test_a_connection_that_turns_out_read_only_takes_all_others_with_it(server: Database) -> None:
    """As one to a primary that has become a standby, behind an address that leads elsewhere by now."""

    def session() -> int:
        with server.write() as connection:
            found: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            return found

    for connection in several(server):
        connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        connection.commit()
    before = session()
    with pytest.raises(StoreUnavailable, match="read-only"), server.write() as connection:
        connection.execute(text("CREATE TABLE written (name TEXT)"))
    with server.write() as connection:
        connection.execute(text("CREATE TABLE written (name TEXT)"))
    assert session() != before
