"""Turns among all who write to one SQLite file, in this process and in others.

SQLite's own write lock is not enough. It is left as soon as a commit is on disk, and the checkpoint that may follow
runs while others commit: on a slow disk it never reaches the end of the log, which then grows for as long as the load
lasts. A turn ends after the checkpoint, so the log begins anew. It is an `flock` on a file beside the database: a
process that is killed leaves it.
"""

import fcntl
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO

from receiver.store.sqlite import whose

LOOK_SECONDS = 0.0005
"""How often a writer looks whether another process's turn has ended; an idle event loop makes a millisecond of it."""


Sleep = Callable[[float], None]


class WriteLockTimeout(Exception):
    """Other writers have held the database for too long, or the file for their turns can't be locked."""


class SqliteWriteLock:
    """The turns of one file; any number of threads may take them."""

    def __init__(self, database_file: str) -> None:
        """Take the file's path; it need not exist yet."""
        # As SQLite does for its log: a database has one, by whatever name it is reached.
        self._database_file = os.path.realpath(database_file)
        self._threads = FairLock()

    @contextmanager
    def of_threads(self, ends: float) -> Iterator[None]:
        """Hold the turn among this process's threads; wait for it until the monotonic clock says `ends`.

        Raises:
            WriteLockTimeout
        """
        if not self._threads.acquire(max(0.0, ends - time.monotonic())):
            raise WriteLockTimeout("other writers have held the database for too long")
        try:
            yield
        finally:
            self._threads.release()

    @contextmanager
    def of_processes(self, ends: float, sleep: Sleep | None = None) -> Iterator[Callable[[], None]]:
        """Hold the turn among processes, for the block or until what is given is called; to be taken second.

        A native thread, which hands in how it sleeps, takes it alone: it counts as a process of its own.

        Raises:
            WriteLockTimeout
        """
        # Opened anew for each turn: a process that is forked shares no lock with its parent.
        try:
            file = open_beside(self._database_file, "turn")
        except OSError as error:
            raise WriteLockTimeout(f"{error.strerror}: {whose(f'{self._database_file}-turn')}") from error
        with file:
            _lock(file, ends, sleep or time.sleep)

            def leave() -> None:
                # Closing it, which may have been done meanwhile, leaves the turn all the same.
                with suppress(OSError, ValueError):
                    fcntl.flock(file, fcntl.LOCK_UN)

            yield leave


class FairLock:
    """A lock that threads get in the order in which they asked for it (FIFO).

    `threading.Lock` promises none: where several threads write without pause, one of them may wait for seconds.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Lock] = deque()
        """A closed lock for each who waits, opened when it is their turn."""

    def acquire(self, seconds: float) -> bool:
        """Take it, after `seconds` of waiting at most; false where it did not come."""
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            came = mine.acquire(timeout=seconds)
        except BaseException:
            if not self._stop_waiting(mine):
                self.release()
            raise
        return came or not self._stop_waiting(mine)

    def _stop_waiting(self, mine: threading.Lock) -> bool:
        """Stop waiting; false where the lock was handed over meanwhile."""
        with self._guard:
            if mine not in self._waiting:
                return False
            self._waiting.remove(mine)
            return True

    def release(self) -> None:
        """Hand it to whoever has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False


def open_beside(database_file: str, name: str) -> FileIO:
    """Open an empty file beside a database, or make it, for those who may write to the database; to be locked.

    Raises:
        OSError
    """
    path = f"{database_file}-{name}"
    with suppress(FileNotFoundError):
        return FileIO(os.open(path, os.O_RDWR | os.O_CLOEXEC), "r+")
    made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with suppress(FileNotFoundError):
        of_database = os.stat(database_file)
        os.fchmod(made, stat.S_IMODE(of_database.st_mode))
        if os.geteuid() == 0:
            # Else a command run as root would lock the receiver out.
            os.fchown(made, of_database.st_uid, of_database.st_gid)
    return FileIO(made, "r+")


def _lock(file: FileIO, ends: float, sleep: Sleep) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise WriteLockTimeout("another process's writers have held the database for too long") from None
            sleep(LOOK_SECONDS)
        except OSError as error:
            raise WriteLockTimeout(f"the file for turns: {error.strerror}") from error
        else:
            return
