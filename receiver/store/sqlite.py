"""How connections to SQLite are opened: durable at each commit, never waiting without end, its files for us alone."""

import os
import pwd
import sqlite3
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

from receiver.model import ReceiverError

BUSY_SECONDS = 4
"""How long a writer waits for another one before it gives up: banks wait 5 s at least."""

LOOK_SECONDS = 0.001
"""How often a writer looks whether a stranger has left SQLite's write lock."""

WAL_AUTOCHECKPOINT_PAGES = 7000
"""28 MB: where no `receiver.store.checkpointer` has been at it before, the commit that comes so far checkpoints."""

LOG_BYTES_MAX = 64 * 1024 * 1024
"""What is left of a log that grew longer, such as while somebody read for long: it is cut when it begins anew.

Above what it has under load, so that no commit cuts, and lengthens, it then.
"""

CACHE_KIB = 32 * 1024
"""Of a connection. With SQLite's own 2 MB, a large database's indexes are read again at each commit."""


LEAST_VERSION = (3, 35)
"""The first that knows `RETURNING`."""

INCREMENTAL = 2
"""SQLite's word for a file that can give back what it does not need, a little at a time (`auto_vacuum`)."""

PRAGMAS: dict[str, tuple[str | int, str | int]] = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "foreign_keys": ("ON", 1),
}
"""What we rely on: the value that is set, and the one that is read then. SQLite says nothing where it takes none."""


class SqliteTooOld(ReceiverError):
    """The SQLite that Python brings lacks what is needed."""


def whose(path: str) -> str:
    """Say whose a file is and who tries to open it: one that can't be opened was made by another user, as a rule."""
    try:
        found = os.stat(path)
        so = f"belongs to {_user(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"
    except OSError as error:
        so = str(error.strerror)
    return f"{path}: {so}; tried by {_user(os.geteuid())}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone, whatever the umask.

    Raises:
        OSError
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(0o700, exist_ok=True)


def open_private(path: Path) -> int:
    """Make a new file for this user alone, whatever the umask, and return it open (a file descriptor).

    Raises:
        FileExistsError: there is something by this name, be it a link to nothing.
        OSError
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def sqlite_engine(url: str, *, is_read_only: bool = False, must_exist: bool = False) -> Engine:
    """Return the engine for a file, whose folder is made where there is none; if `is_read_only` nothing is made or set.

    If it `must_exist`, neither the folder nor the file is made: whoever finds none gets an error, each time.
    Of a file that is only read, SQLite may still make its log and index (`-wal`, `-shm`) beside it.

    Raises:
        SqliteTooOld
        OSError: the folder can't be made.
    """
    if sqlite3.sqlite_version_info < LEAST_VERSION:
        needed = ".".join(map(str, LEAST_VERSION))
        raise SqliteTooOld(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or newer is needed, or PostgreSQL")
    path = make_url(url).database
    mode = "ro" if is_read_only else "rw" if must_exist else None
    if path and mode is None:
        private_folder(Path(path).absolute().parent)
    engine = create_engine(
        url,
        # The connection that was used last knows best what the file holds.
        pool_use_lifo=True,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    made_by: set[int] = set()

    @event.listens_for(engine, "do_connect")
    def make(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> sqlite3.Connection | None:
        if mode is not None:
            address = f"{Path(path or '').absolute().as_uri()}?mode={mode}"
            opened: sqlite3.Connection = sqlite3.connect(address, uri=True, **parameters)
            return opened
        # SQLite would make it as the umask has it; its log gets the mode of the database. It opens it afterwards.
        with suppress(OSError):
            os.close(open_private(Path(path or "")))
            made_by.add(threading.get_ident())
        return None

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
        # The driver must not open transactions of its own: `begin` below chooses their kind.
        dbapi_connection.isolation_level = None
        if is_read_only:
            return
        if threading.get_ident() in made_by:
            # It takes effect in a file that is empty yet, and so before all else; in another one it waits for writers.
            made_by.discard(threading.get_ident())
            dbapi_connection.execute(f"PRAGMA auto_vacuum={INCREMENTAL}").close()
        for name, (value, read) in PRAGMAS.items():
            dbapi_connection.execute(f"PRAGMA {name}={value}").close()
            if (found := dbapi_connection.execute(f"PRAGMA {name}").fetchone()) != (read,):
                raise sqlite3.OperationalError(f"SQLite does not take {name}={value} here: it has {found and found[0]}")
        for pragma in (
            f"wal_autocheckpoint={WAL_AUTOCHECKPOINT_PAGES}",
            f"journal_size_limit={LOG_BYTES_MAX}",
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
