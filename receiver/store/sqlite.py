"""How connections to SQLite are opened: durable at each commit, and never waiting without end."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

BUSY_SECONDS = 4
"""How long a writer waits for another one before it gives up: banks wait 5 s at least."""

LOOK_SECONDS = 0.001
"""How often a writer looks whether a stranger has left SQLite's write lock."""

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
