"""The backlog: events that wait to be projected, which web processes see to where nobody else does."""

import logging
import threading

from receiver.projection.projector import catch_up
from receiver.store.database import Database, StoreUnavailable

log = logging.getLogger(__name__)

LOOKED_EVERY = 2000
"""Events: rare enough to cost callbacks nothing where a worker keeps up; a fifth of a second's work where none does."""


class Backlog:
    """After so many events of this process, looks in a thread whether all is projected; any number may count them.

    Under gevent the thread is a greenlet, and its commits wait for the disk in a native one.
    """

    def __init__(self, database: Database) -> None:
        """Start no thread yet: a process that is forked would not have it."""
        self._database = database
        self._lock = threading.Lock()
        self._events = 0
        self._is_looked_at = False

    def grew(self, events: int) -> None:
        """Count events that were just committed."""
        with self._lock:
            self._events += events
            if self._events < LOOKED_EVERY or self._is_looked_at:
                return
            self._events, self._is_looked_at = 0, True
        threading.Thread(target=self._look, name="projection", daemon=True).start()

    def _look(self) -> None:
        try:
            catch_up(self._database)
        except StoreUnavailable as error:
            log.warning("what follows from %d events and more is left to who looks next: %s", LOOKED_EVERY, error)
        finally:
            self._is_looked_at = False
