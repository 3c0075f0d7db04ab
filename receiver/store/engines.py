"""How connections to SQLite and PostgreSQL are opened: durable at each commit, and never waiting without end."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url

from receiver.store import deadline
from receiver.store.deadline import DeadlineConnection

BUSY_SECONDS = 4
"""How long a writer waits for another one before it gives up: banks wait 5 s at least."""

STATEMENT_SECONDS = 60
"""Longer than any statement takes among millions of events, but for migrations, which lift it: it ends on the server
what a receiver that has gone left behind."""

LOOK_SECONDS = 0.001
"""How often a writer looks whether a stranger has left SQLite's write lock."""

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


def sqlite_engine(url: str) -> Engine:
    """Return the engine for a file, whose folder is made where there is none.

    Raises:
        OSError: it can't be made.
    """
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
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
    """Take SQLite's write lock as soon as somebody leaves it who takes no turns, or give up when the timer says `ends`.

    Such as a shell, or a process that recovers the log of a killed one. SQLite's own busy handler sleeps up to 100 ms
    between its looks, so that it can miss every gap that busy writers leave.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        while time.monotonic() < ends:
            try:
                driver.execute("BEGIN IMMEDIATE").close()
            except sqlite3.OperationalError as error:
                # The lower byte: why it is busy stands in the rest, such as that the log is being recovered.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(LOOK_SECONDS)
            else:
                return
        # Once more by SQLAlchemy, which knows what to do with the error.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}").close()


def postgresql_engine(url: str) -> Engine:
    """Return the engine for a server; it opens no connection yet."""
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
    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> DeadlineConnection:
        if deadline.left() < LEAST_CONNECT_SECONDS:
            raise psycopg.OperationalError("the server did not answer in time")
        return DeadlineConnection.connect(*arguments, **parameters)

    return engine
