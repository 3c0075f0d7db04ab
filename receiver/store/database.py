"""The engine: SQLite or PostgreSQL, durable at each commit, and the two ways into it: to read and to write."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

BUSY_SECONDS = 10
"""How long a writer waits for another one before it gives up."""

CONNECT_SECONDS = 3

WAL_AUTOCHECKPOINT_PAGES = 4000
"""16 MB: rare enough to keep the checkpoint out of the slowest answers, small enough to read through at a restart."""


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

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing written here is kept.

        Raises:
            StoreUnavailable
        """
        with self._guarded(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, on disk when the block has ended, rolled back where it ends with an exception.

        On SQLite the write lock is taken at once, so that the block never fails half-way for want of it.

        Raises:
            StoreUnavailable
        """
        with self._guarded(), self._taking_turns(), self.engine.connect() as connection:
            connection.execution_options(takes_write_lock=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        """On SQLite, let the writers of a process wait for each other here, not in its busy handler.

        That one sleeps between its looks, so that a writer can miss every gap that busy others leave.
        """
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=BUSY_SECONDS):
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
        except SQLAlchemyError as error:
            raise StoreUnavailable(_one_line(error)) from error


def _one_line(error: SQLAlchemyError) -> str:
    """The driver's words alone: SQLAlchemy's own text carries the statement's parameters, which may be secret."""
    original = getattr(error, "orig", None)
    return " ".join(str(original).split())[:300] if original is not None else type(error).__name__


def _sqlite(url: str) -> Engine:
    path = make_url(url).database
    if path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"no folder for {path}: {error.strerror}") from error
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, hide_parameters=True
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
        ):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        takes_lock = connection.get_execution_options().get("takes_write_lock", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if takes_lock else "BEGIN")

    return engine


def _postgresql(url: str) -> Engine:
    return create_engine(
        url,
        pool_size=20,
        max_overflow=20,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c synchronous_commit=on -c timezone=UTC -c lock_timeout={BUSY_SECONDS * 1000}",
        },
    )


def is_writable(database: Database) -> None:
    """Commit a change to the database and read it back.

    Raises:
        StoreUnavailable
    """
    with database.write() as connection:
        connection.execute(text("UPDATE feed_head SET position = position"))
