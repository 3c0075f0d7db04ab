"""Checkpoints of SQLite's log (WAL) beside the commits, so that no callback waits for one.

A thread of each serving process would do it; of all processes on one file one does, by an `flock`, and another takes
over when that one ends. Nothing depends on it: where nobody does, commits do at `WAL_AUTOCHECKPOINT_PAGES`. Where it is
slower than the writers, these stand back from then on (backpressure), so the log stays bounded.
"""

import fcntl
import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from receiver.store.sqlite import WAL_AUTOCHECKPOINT_PAGES
from receiver.store.sqlite_write_lock import SqliteWriteLock, WriteLockTimeout, open_beside
from receiver.store.thread_pool import native_sleep, start_native_thread

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.2
"""Between two checkpoints: the log of so long is read back from memory, and written while others commit."""

LONG_PAGES = 4000
"""16 MB: from then on writers stand back for the last pages, so that the log begins anew; else it grows under load."""

STANDBY_SECONDS = 1.0
"""How soon a process takes over from one that has ended, or tries anew after an error."""

TURN_SECONDS = 4.0

LOOK_SECONDS = 0.001
"""How often a writer that stands back looks whether the checkpoint is over."""

PAGE_BYTES = 4096 + 24
"""Of a page in the log."""


class Checkpointer:
    """Checkpoints one file from a thread that is started in the process which commits; a forked one starts its own."""

    def __init__(self, database_file: str, turns: SqliteWriteLock) -> None:
        """Take the database's file, and the turns of its writers; starts nothing yet."""
        self._database_file = os.path.realpath(database_file)
        self._turns = turns
        self._process: int | None = None
        self._run: object | None = None
        """The run that is to go on; any other one ends."""
        self._log_bytes = 0
        self._has_failed = False
        """Whether no thread could be started the last time."""

    def start(self) -> None:
        """Start the thread, unless it runs in this process; costs next to nothing then.

        Where none can be started the next commit tries: what was committed is on disk all the same.
        """
        process = os.getpid()
        if self._process == process:
            return
        self._run = object()
        try:
            start_native_thread(self._stand_by, self._run)
        except RuntimeError as error:
            if not self._has_failed:
                log.warning("no thread for SQLite's checkpoints, so commits make them: %s", error)
            self._has_failed = True
        else:
            self._process, self._has_failed = process, False

    def stop(self) -> None:
        """Have the thread end, within `STANDBY_SECONDS` or with the checkpoint that is under way."""
        self._process = self._run = None

    def hold_back(self, connection: sqlite3.Connection) -> None:
        """Have the log begin anew after a commit, where it grew too long because another one's checkpoint is under way.

        For who holds the writers' turn; in a native thread. Two can't checkpoint at once: a commit that comes second
        is turned away, and the log would grow for as long as the first one takes.
        """
        if not self._has_grown():
            return
        ends = time.monotonic() + TURN_SECONDS
        # What was committed is on disk, whatever becomes of this.
        with suppress(sqlite3.Error):
            while _is_busy(connection) and time.monotonic() < ends:
                native_sleep(LOOK_SECONDS)

    def _has_grown(self) -> bool:
        """Tell whether the log's file is longer than it should ever be, and than it was when that was last asked.

        Nobody may open the log's index to read its length: to close it would take from SQLite all locks that this
        process has on it (POSIX advisory locks).
        """
        try:
            found = os.stat(f"{self._database_file}-wal").st_size
        except OSError:
            return False
        has_grown = found > max(self._log_bytes, WAL_AUTOCHECKPOINT_PAGES * PAGE_BYTES)
        self._log_bytes = found
        return has_grown

    def _stand_by(self, run: object) -> None:
        """Wait until no other process checkpoints, and then do it; in a native thread, which may log nothing."""
        while self._run is run:
            # An error is nothing to say here: commits meet the same trouble, and are answered with it.
            with suppress(OSError, sqlite3.Error), open_beside(self._database_file, "checkpoint") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with closing(_connect(self._database_file)) as connection:
                    self._checkpoint(connection, run)
            native_sleep(STANDBY_SECONDS)

    def _checkpoint(self, connection: sqlite3.Connection, run: object) -> None:
        while self._run is run:
            if _checkpoint_once(connection) > LONG_PAGES:
                with (
                    suppress(WriteLockTimeout),
                    self._turns.of_processes(time.monotonic() + TURN_SECONDS, native_sleep),
                ):
                    _checkpoint_once(connection)
            native_sleep(EVERY_SECONDS)


def _connect(database_file: str) -> sqlite3.Connection:
    """Open a database that is there, for checkpoints alone."""
    connection = sqlite3.connect(f"{Path(database_file).as_uri()}?mode=rw", uri=True, isolation_level=None)
    # Else it does not know yet that there is a log.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


def _checkpoint_once(connection: sqlite3.Connection) -> int:
    """Bring into the database what nobody needs in the log, waiting for nobody; return how many pages the log holds."""
    pages: int = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    return pages


def _is_busy(connection: sqlite3.Connection) -> bool:
    """Checkpoint what can be without waiting; tell whether another one's checkpoint was in the way."""
    busy: int = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0]
    return bool(busy)
