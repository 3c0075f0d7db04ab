"""Turns among all who write to one SQLite file, in this process and in others.

SQLite's own write lock is not enough. It is left as soon as a commit is on disk, and the checkpoint that may follow
runs while others commit: on a slow disk it never reaches the end of the log, which then grows for as long as the load
lasts. A turn ends after the checkpoint, so the log begins anew. It is an `flock` on a file beside the database: a
process that is killed leaves it.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOOK_SECONDS = 0.0005
"""How often a writer looks whether another process's turn has ended."""


class TurnDidNotCome(Exception):
    """Other writers have held the database for too long, or the file beside it can't be opened."""


class WriteTurns:
    """The turns of one file; any number of threads may take them."""

    def __init__(self, database_file: str | None) -> None:
        """Take the file's path; none where the database is in memory, which no other process sees."""
        self._file = f"{database_file}-turn" if database_file else os.devnull
        self._threads = threading.Lock()

    @contextmanager
    def taken(self, ends: float) -> Iterator[Callable[[], None]]:
        """Hold the turn for the block, or until what is given is called; wait until the monotonic clock says `ends`.

        Raises:
            TurnDidNotCome
        """
        if not self._threads.acquire(timeout=max(0.0, ends - time.monotonic())):
            raise TurnDidNotCome("other writers have held the database for too long")
        try:
            # Opened anew for each turn: a process that is forked shares no lock with its parent.
            try:
                file = os.open(self._file, os.O_RDONLY | os.O_CREAT, 0o644)
            except OSError as error:
                raise TurnDidNotCome(f"{self._file}: {error.strerror}") from error
            try:
                _lock(file, ends)
                yield lambda: fcntl.flock(file, fcntl.LOCK_UN)
            finally:
                os.close(file)
        finally:
            self._threads.release()


def _lock(file: int, ends: float) -> None:
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= ends:
            raise TurnDidNotCome("other writers have held the database for too long")
        time.sleep(LOOK_SECONDS)
