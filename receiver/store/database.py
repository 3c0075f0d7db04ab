"""The two ways into the database, SQLite or PostgreSQL: to read, and to write so that it is on disk."""

import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sqlalchemy import Connection, ExceptionContext, Transaction, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from receiver.model import ReceiverError
from receiver.store.checkpointer import Checkpointer
from receiver.store.severity import OPTION, Severities
from receiver.store.sqlite import BUSY_SECONDS, INCREMENTAL, sqlite_engine, whose
from receiver.store.sqlite_write_lock import SqliteWriteLock, WriteLockTimeout
from receiver.store.thread_pool import commit_in_thread

if TYPE_CHECKING:
    from receiver.store.postgresql import Sessions

ANSWER_SECONDS = 4.5
"""How long a bank may be kept waiting for all of a transaction: above `BUSY_SECONDS`, below what banks wait."""

TRIES = 5
"""How often in all a person's act is tried that others are in the way of; each waits `BUSY_SECONDS` for a lock."""

SPARE_PAGES = 2500
"""10 MB of a SQLite file that stay for what comes in next."""

GIVEN_BACK_PAGES = 250
"""1 MB that is given back in one transaction: callbacks wait for it."""

CONTENDED = {
    "55P03": "others had locked the rows for too long (lock time-out)",
    "40P01": "it and another transaction waited for each other, and it was ended (deadlock)",
    "40001": "others changed the rows meanwhile (serialization failure)",
}
"""What PostgreSQL's SQLSTATE says of a transaction that would have come off had it been alone."""

ACCESS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says of a file that this user may not open or write, without a word about which file that is."""

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


class StoreUnavailable(ReceiverError):
    """The database can't be read or written now: unreachable, full, read-only, locked for too long, not migrated."""


class Contended(StoreUnavailable):
    """Other writers were in the way; nothing is wrong with the database, and the same may come off the next time."""


def retried(act: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Decorate what may be done anew as a whole: where others are in the way it is, `TRIES` times in all.

    That is one transaction and nothing besides, or several of which each finds what those before it have done.

    The decorated function raises `Contended` once that was in vain.
    """

    @wraps(act)
    def trying(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        for _ in range(TRIES - 1):
            # No pause: the lock was waited for, and who was in the way of a deadlock goes on.
            with suppress(Contended):
                return act(*args, **kwargs)
        return act(*args, **kwargs)

    return trying


class Database:
    """One database, shared by all threads of a process."""

    def __init__(self, url: str, *, is_read_only: bool = False, must_exist: bool = False) -> None:
        """Open no connection yet; see `sqlite_engine` for SQLite.

        Raises:
            StoreUnavailable: the folder for the SQLite file can't be made.
        """
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self._turns: SqliteWriteLock | None = None
        self._checkpointer: Checkpointer | None = None
        self._sessions: Sessions | None = None
        # SQLite answers from within this process: there is no silence to give up.
        self._bounded: Callable[[float | None], AbstractContextManager[object]] = nullcontext
        if self.is_sqlite:
            try:
                self.engine = sqlite_engine(url, is_read_only=is_read_only, must_exist=must_exist)
            except OSError as error:
                raise StoreUnavailable(f"no folder for {error.filename}: {error.strerror}") from error
            self._turns = SqliteWriteLock(str(make_url(url).database))
        else:
            # Imported here: it brings the driver, which takes longer to import than a command takes without it.
            from receiver.store import postgresql

            self.engine, self._sessions = postgresql.postgresql_engine(url)
            self._bounded = postgresql.bounded
        self._commits = 0
        self._committed = threading.Condition()

    @contextmanager
    def read(self, seconds: float | None = None) -> Iterator[Connection]:
        """Open a transaction for reading, over one consistent snapshot; nothing written in it is kept.

        A PostgreSQL that is silent is given up after `seconds`.

        Raises:
            StoreUnavailable
        """
        with self._guarded(), self._bounded(seconds), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @contextmanager
    def write(self, seconds: float | None = None, turn_seconds: float | None = None) -> Iterator[Connection]:
        """One transaction, on disk when the block has ended, rolled back where it ends with an exception.

        On SQLite, writers take turns, and the write lock is taken at once, so that the block never fails half-way for
        want of it; both are waited for `turn_seconds`, or as long as banks can wait. A PostgreSQL that is silent is
        given up after `seconds`; what it was sent may be on disk all the same.

        Raises:
            StoreUnavailable
        """
        ends = time.monotonic() + (BUSY_SECONDS if turn_seconds is None else turn_seconds)
        with (
            self._guarded(),
            self._bounded(seconds),
            self._turn_of_threads(ends),
            self.engine.connect() as connection,
            self._turn_of_processes(ends) as leave,
        ):
            connection.execution_options(write_lock_until=ends)
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            self._commit(transaction, leave)
        if self._checkpointer is not None:
            self._checkpointer.start()
        with self._committed:
            self._commits += 1
            self._committed.notify_all()

    def _commit(self, transaction: Transaction, leave: Callable[[], None]) -> None:
        """PostgreSQL's driver waits by itself in a way that lets others go on; SQLite waits for the disk."""
        if not self.is_sqlite:
            transaction.commit()
            return

        def commit() -> None:
            transaction.commit()
            if self._checkpointer is not None:
                driver = transaction.connection.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
                self._checkpointer.hold_back(driver)
            # Here already: the next process need not wait until this thread's turn with the interpreter has come.
            leave()

        commit_in_thread(commit)

    def checkpoint_aside(self) -> None:
        """Keep SQLite's checkpoints out of the commits: a thread does them, in each process from its first commit on.

        For processes that serve; whoever commits a few times needs none.
        """
        if self._turns is not None:
            self._checkpointer = Checkpointer(str(self.file), self._turns)

    @property
    def notice(self) -> str | None:
        """What an operator should know of how the database is reached, once it was; none where there is nothing."""
        return None if self._sessions is None else self._sessions.notice

    def give_back(self) -> bool:
        """Give back to the system some of what SQLite's file holds and does not need; true where more is left to give.

        Some of it stays for what comes in next. A file of an earlier release gives back nothing: `compact` changes it.

        Raises:
            StoreUnavailable
        """
        with self.read() as connection:
            unused, pages, mode = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("freelist_count", "page_count", "auto_vacuum")
            )
        surplus = unused - max(SPARE_PAGES, pages // 10)
        if mode != INCREMENTAL or surplus <= 0:
            return False
        with self.write() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
            # It goes on for as long as it is asked for rows, though it has none to show.
            driver.execute(f"PRAGMA incremental_vacuum({min(surplus, GIVEN_BACK_PAGES)})").fetchall()
        return surplus > GIVEN_BACK_PAGES

    @property
    def file(self) -> Path | None:
        """The SQLite file; none for PostgreSQL."""
        return Path(str(make_url(self.url).database)) if self.is_sqlite else None

    def readable_by_others(self) -> str | None:
        """Return the path of the SQLite file, where users other than its owner may read it; none otherwise."""
        if self.file is None:
            return None
        return str(self.file) if stat.S_IMODE(self.file.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH) else None

    @property
    def commits(self) -> int:
        """How many transactions this process has committed."""
        return self._commits

    def press_by(self, severities: Severities) -> None:
        """Have what is opened say how much it presses by this table, in place of the default one."""
        self.engine.update_execution_options(**{OPTION: severities})

    def watch_statements(self, begin: Callable[[str, str], object], end: Callable[[object, str | None], None]) -> None:
        """Have `begin` told of each statement and of the kind of database, and `end` what it returned, and the error.

        The error is its kind alone: its text may hold what was to be written. Neither may raise: the statement would
        fail. Where `begin` returns none, `end` is not told.
        """

        def before(_: object, __: object, statement: str, ___: object, execution: Any, ____: bool) -> None:
            execution.watched = begin(statement, self.engine.dialect.name)

        def ended(execution: Any, error: str | None) -> None:
            begun = getattr(execution, "watched", None)
            if begun is not None:
                # Whoever executes many at once has one of these for all of them.
                execution.watched = None
                end(begun, error)

        def after(_: object, __: object, ___: str, ____: object, execution: Any, _____: bool) -> None:
            ended(execution, None)

        def failed(found: ExceptionContext) -> None:
            ended(found.execution_context, type(found.original_exception).__name__)

        event.listen(self.engine, "before_cursor_execute", before)
        event.listen(self.engine, "after_cursor_execute", after)
        event.listen(self.engine, "handle_error", failed)

    def wait_for_commit(self, beyond: int, seconds: float) -> bool:
        """Wait until this process has committed more than `beyond` times; false where it has not in time."""
        with self._committed:
            return self._committed.wait_for(lambda: self._commits > beyond, seconds)

    def _turn_of_threads(self, ends: float) -> AbstractContextManager[None]:
        return nullcontext() if self._turns is None else self._turns.of_threads(ends)

    def _turn_of_processes(self, ends: float) -> AbstractContextManager[Callable[[], None]]:
        return nullcontext(lambda: None) if self._turns is None else self._turns.of_processes(ends)

    def close(self) -> None:
        """Give back all connections; the database can still be used afterwards."""
        if self._checkpointer is not None:
            self._checkpointer.stop()
        self.engine.dispose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except WriteLockTimeout as error:
            raise Contended(str(error)) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            state = getattr(getattr(error, "orig", None), "sqlstate", None)
            if state in CONTENDED:
                raise Contended(f"{CONTENDED[state]}; try again") from error
            words = words_of(error)
            if getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF in ACCESS:
                words = f"{words}: {whose(str(make_url(self.url).database))}"
            raise StoreUnavailable(words) from error


def words_of(error: Exception) -> str:
    """Return a driver's own words in one line, and the server's first ones alone: its DETAIL and CONTEXT hold rows.

    SQLAlchemy's text carries the statement's parameters as well, which may be secret.
    """
    original = getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else error
    if original is None:
        return type(error).__name__
    words = (
        getattr(getattr(original, "diag", None), "message_primary", None) or str(original) or type(original).__name__
    )
    return " ".join(words.split())[:300]


def check_writable(database: Database) -> None:
    """Commit a change to the database.

    Raises:
        StoreUnavailable
    """
    with database.write(ANSWER_SECONDS) as connection:
        connection.execute(text("UPDATE feed_head SET position = position"))
