"""A database that was away when the process started: what the environment sets is applied before all else."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import Connection

from receiver.admin import bcb_from_environment
from receiver.model import ReceiverError
from receiver.runtime import Runtime
from receiver.store import schema
from receiver.store.database import Database, StoreUnavailable

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""After it failed it is tried anew: anybody may ask."""

TRY_SECONDS = 1.0
"""How long each transaction of a try may wait: a bank's callback waits for it, with all that come after it."""


def over(started: Runtime) -> Runtime:
    """Return the parts for a process that has not found its database; the same where the environment sets nothing."""
    if not bcb_from_environment.is_set(started.settings):
        return started
    return replace(started, database=LateDatabase(started))


class LateDatabase(Database):
    """Counts as away until the sources that the environment sets are there, which whoever comes first tries.

    Else a source that is only to come would be taken for none, and its callbacks be refused for good (404).
    """

    def __init__(self, started: Runtime) -> None:
        """Take a process's parts, whose own database it is applied by."""
        super().__init__(started.settings.database_url, must_exist=True)
        self.press_by(started.severities)
        self._started = started
        self._is_applied = False
        self._applying = threading.Lock()
        self._failed_when = float("-inf")
        self._why = ""

    @contextmanager
    def read(self, seconds: float | None = None) -> Iterator[Connection]:
        """Open a transaction for reading, as `Database` does.

        Raises:
            StoreUnavailable
        """
        self._apply_first()
        with super().read(seconds) as connection:
            yield connection

    @contextmanager
    def write(self, seconds: float | None = None, turn_seconds: float | None = None) -> Iterator[Connection]:
        """One transaction, on disk when the block has ended, as of `Database`.

        Raises:
            StoreUnavailable
        """
        self._apply_first()
        with super().write(seconds, turn_seconds) as connection:
            yield connection

    def _apply_first(self) -> None:
        if self._is_applied:
            return
        if not self._applying.acquire(blocking=False):
            raise StoreUnavailable("what the environment sets is applied just now")
        try:
            if not self._is_applied:
                self._apply()
        finally:
            self._applying.release()

    def _apply(self) -> None:
        if time.monotonic() - self._failed_when < PAUSE_SECONDS:
            raise StoreUnavailable(self._why)
        try:
            # As those that go on while it is upgraded.
            schema.check(self._started.database, or_newer=True, seconds=TRY_SECONDS)
            bcb_from_environment.apply(self._started, TRY_SECONDS)
        except ReceiverError as error:
            if str(error) != self._why and not isinstance(error, StoreUnavailable):
                log.error("the database is there, and counts as away until this is mended: %s", error)
            self._failed_when, self._why = time.monotonic(), str(error)
            raise StoreUnavailable(self._why) from error
        finally:
            self._started.database.close()
        self._is_applied = True
