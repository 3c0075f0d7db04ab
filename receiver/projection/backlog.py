"""The backlog: events that wait to be projected, which web processes see to where nobody else does."""

import logging
import threading
import time
from collections.abc import Callable

from receiver.projection.projector import catch_up
from receiver.store.database import Database, StoreUnavailable

log = logging.getLogger(__name__)

LOOKED_EVERY = 100
"""Events: so few are derived in some 5 ms, for which callbacks wait on SQLite; for 2,000 it was a tenth of a second."""

PAUSE_SECONDS = 0.1
"""Between two looks: where thousands come in a second, a batch for each hundred would cost too much."""

FAILED_SECONDS = 5.0
"""The same after a look that failed, which is said in the log."""


class Backlog:
    """After so many events of this process, looks in a thread whether all is projected; any number may count them.

    Under gevent the thread is a greenlet, and its commits wait for the disk in a native one.
    """

    def __init__(self, database: Database, timer: Callable[[], float] = time.monotonic) -> None:
        """Start no thread yet: a process that is forked would not have it."""
        self._database = database
        self._timer = timer
        self._lock = threading.Lock()
        self._events = 0
        self._is_looked_at = False
        self._next_when = float("-inf")

    def grew(self, events: int) -> None:
        """Count events that were just committed."""
        with self._lock:
            self._events += events
            if self._events < LOOKED_EVERY or self._is_looked_at or self._timer() < self._next_when:
                return
            self._events, self._is_looked_at = 0, True
            self._next_when = self._timer() + PAUSE_SECONDS
        threading.Thread(target=self._look, name="projection", daemon=True).start()

    def _look(self) -> None:
        try:
            catch_up(self._database)
        except StoreUnavailable as error:
            self._next_when = self._timer() + FAILED_SECONDS
            log.warning("what follows from %d events and more is left to who looks next: %s", LOOKED_EVERY, error)
        finally:
            self._is_looked_at = False
