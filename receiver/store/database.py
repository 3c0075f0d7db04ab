"""The engine: SQLite or PostgreSQL, durable at each commit, and the two ways into it: to read and to write."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, Transaction, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from receiver.store import patience
from receiver.store.native import natively
from receiver.store.patience import PatientConnection

BUSY_SECONDS = 4
"""How long a writer waits for another one before it gives up: banks wait 5 s at least."""

ANSWER_SECONDS = 4.5
"""How long a bank may be kept waiting for all of a transaction: above the former, below what banks wait."""

STATEMENT_SECONDS = 60
"""Longer than any statement takes among millions of events, but for migrations, which lift it: it ends on the server
what a receiver that has gone left behind."""

LOOK_SECONDS = 0.001
"""How often a writer looks whether another process has left SQLite's write lock."""

CONNECT_SECONDS = 3

LEAST_CONNECT_SECONDS = 2
"""The driver takes no shorter time-out."""

NETWORK_LOST = {
    # A server that is silent is asked after 5 s, and given up after two more tries: else the system waits for hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # What was sent and not acknowledged for so long is lost: else the system sends it again for 15 minutes.
    "tcp_user_timeout": 10_000,
}

SERVER_OPTIONS = {
    "synchronous_commit": "on",
    "timezone": "UTC",
    "lock_timeout": f"{BUSY_SECONDS}s",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    # A receiver that is silent, amid a transaction perhaps, is given up: else its locks stay for hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

WAL_AUTOCHECKPOINT_PAGES = 4000
"""16 MB: rare enough to keep the checkpoint out of the slowest answers, small enough to read through at a restart."""


CACHE_KIB = 32 * 1024
"""Of a connection. With SQLite's own 2 MB, a large database's indexes are read again at each commit."""


class StoreUnavailable(Exception):
    """The database can't be read or written now: unreachable, full, read-only, locked for too long, not migrated."""


class Database:
    """One database, shared by all threads of a process."""

    def __init__(self, url: str) -> None:
        """Open no connection yet.

        Raises:
            StoreUnavailable: the folder for the SQLite file can't be made.
        """
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite(url) if self.is_sqlite else _postgresql(url)
        self._turn = threading.Lock()
        self._commits = 0
        self._committed = threading.Condition()

    @contextmanager
    def read(self, seconds: float | None = None) -> Iterator[Connection]:
        """A consistent view; nothing written here is kept. A PostgreSQL that is silent is given up after `seconds`.

        Raises:
            StoreUnavailable
        """
        with self._guarded(), patience.bounded(seconds), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @contextmanager
    def write(self, seconds: float | None = None, turn_seconds: float | None = None) -> Iterator[Connection]:
        """One transaction, on disk when the block has ended, rolled back where it ends with an exception.

        On SQLite the write lock is taken at once, so that the block never fails half-way for want of it; it is waited
        for `turn_seconds`, or as long as banks can wait. A PostgreSQL that is silent is given up after `seconds`; what
        it was sent may be on disk all the same.

        Raises:
            StoreUnavailable
        """
        ends = time.monotonic() + (BUSY_SECONDS if turn_seconds is None else turn_seconds)
        with (
            self._guarded(),
            patience.bounded(seconds),
            self._taking_turns(ends),
            self.engine.connect() as connection,
        ):
            connection.execution_options(write_lock_until=ends)
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            self._commit(transaction)
        with self._committed:
            self._commits += 1
            self._committed.notify_all()

    def _commit(self, transaction: Transaction) -> None:
        """PostgreSQL's driver waits by itself in a way that lets others go on; SQLite waits for the disk."""
        if self.is_sqlite:
            natively(transaction.commit)
        else:
            transaction.commit()

    @property
    def commits(self) -> int:
        """How many transactions this process has committed."""
        return self._commits

    def wait_for_commit(self, beyond: int, seconds: float) -> bool:
        """Wait until this process has committed more than `beyond` times; false where it has not in time."""
        with self._committed:
            return self._committed.wait_for(lambda: self._commits > beyond, seconds)

    @contextmanager
    def _taking_turns(self, ends: float) -> Iterator[None]:
        """On SQLite, let the writers of a process wait for each other here, not in its busy handler.

        That one sleeps between its looks, so that a writer can miss every gap that busy others leave.
        """
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=max(0.0, ends - time.monotonic())):
            raise StoreUnavailable("other writers have held the database for too long")
        try:
            yield
        finally:
            self._turn.release()

    def close(self) -> None:
        """Give back all connections; the database can still be used afterwards."""
        self.engine.dispose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreUnavailable(_one_line(error)) from error


def _one_line(error: SQLAlchemyError | sqlite3.Error) -> str:
    """The driver's words alone: SQLAlchemy's own text carries the statement's parameters, which may be secret."""
    original = error if isinstance(error, sqlite3.Error) else getattr(error, "orig", None)
    return " ".join(str(original).split())[:300] if original is not None else type(error).__name__


def _sqlite(url: str) -> Engine:
    path = make_url(url).database
    if path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"no folder for {path}: {error.strerror}") from error
    engine = create_engine(
        url,
        # The connection that was used last knows best what the file holds.
        pool_use_lifo=True,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
        # The driver must not open transactions of its own: `begin` below chooses their kind.
        dbapi_connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={WAL_AUTOCHECKPOINT_PAGES}",
            f"cache_size=-{CACHE_KIB}",
            "temp_store=MEMORY",
        ):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        ends = connection.get_execution_options().get("write_lock_until")
        if ends is not None:
            _begin_to_write(connection, ends)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_to_write(connection: Connection, ends: float) -> None:
    """Take SQLite's write lock as soon as another process leaves it, or give up when the timer says `ends`.

    SQLite's own busy handler sleeps up to 100 ms between its looks, so that it can miss every gap that the busy
    writers of another process leave.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        while time.monotonic() < ends:
            try:
                driver.execute("BEGIN IMMEDIATE").close()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(LOOK_SECONDS)
            else:
                return
        # Once more by SQLAlchemy, which knows what to do with the error.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}").close()


def _postgresql(url: str) -> Engine:
    engine = create_engine(
        url,
        pool_size=20,
        max_overflow=20,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in SERVER_OPTIONS.items()),
            **NETWORK_LOST,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> PatientConnection:
        if patience.left() < LEAST_CONNECT_SECONDS:
            raise psycopg.OperationalError("the server did not answer in time")
        return PatientConnection.connect(*arguments, **parameters)

    return engine


def is_writable(database: Database) -> None:
    """Commit a change to the database.

    Raises:
        StoreUnavailable
    """
    with database.write(ANSWER_SECONDS) as connection:
        connection.execute(text("UPDATE feed_head SET position = position"))
