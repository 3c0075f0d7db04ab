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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO

LOOK_SECONDS = 0.0005
"""How often a writer looks whether another process's turn has ended; an idle event loop makes a millisecond of it."""


class WriteLockTimeout(Exception):
    """Other writers have held the database for too long, or the file for their turns can't be locked."""


class SqliteWriteLock:
    """The turns of one file; any number of threads may take them."""

    def __init__(self, database_file: str) -> None:
        """Take the file's path; it need not exist yet."""
        # As SQLite does for its log: a database has one, by whatever name it is reached.
        self._database_file = os.path.realpath(database_file)
        self._file = f"{self._database_file}-turn"
        self._threads = threading.Lock()

    @contextmanager
    def of_threads(self, ends: float) -> Iterator[None]:
        """Hold the turn among this process's threads; wait for it until the monotonic clock says `ends`.

        Raises:
            WriteLockTimeout
        """
        if not self._threads.acquire(timeout=max(0.0, ends - time.monotonic())):
            raise WriteLockTimeout("other writers have held the database for too long")
        try:
            yield
        finally:
            self._threads.release()

    @contextmanager
    def of_processes(self, ends: float) -> Iterator[Callable[[], None]]:
        """Hold the turn among processes, for the block or until what is given is called; to be taken second.

        Raises:
            WriteLockTimeout
        """
        # Opened anew for each turn: a process that is forked shares no lock with its parent.
        try:
            file = FileIO(self._file, "r+", opener=self._open)
        except OSError as error:
            raise WriteLockTimeout(f"{self._file}: {error.strerror}") from error
        with file:
            _lock(file, ends)

            def leave() -> None:
                # Closing it, which may have been done meanwhile, leaves the turn all the same.
                with suppress(OSError, ValueError):
                    fcntl.flock(file, fcntl.LOCK_UN)

            yield leave

    def _open(self, path: str, flags: int) -> int:
        """Open the file, or make it, for those who may write to the database."""
        with suppress(FileNotFoundError):
            return os.open(path, flags)
        made = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with suppress(FileNotFoundError):
            of_database = os.stat(self._database_file)
            os.fchmod(made, stat.S_IMODE(of_database.st_mode))
            if os.geteuid() == 0:
                # Else a command run as root would lock the receiver out.
                os.fchown(made, of_database.st_uid, of_database.st_gid)
        return made


def _lock(file: FileIO, ends: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise WriteLockTimeout("another process's writers have held the database for too long") from None
            time.sleep(LOOK_SECONDS)
        except OSError as error:
            raise WriteLockTimeout(f"{file.name}: {error.strerror}") from error
        else:
            return
