"""Telling of an outage in a few lines, however many requests it costs."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
"""How often it is said that an outage goes on, at most."""

QUIET_SECONDS = 5.0
"""An outage is over when a request succeeds and none was refused for so long: in an overload both take turns."""


class Outages:
    """One burst of refusals after the other; any number of threads may tell of theirs."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._since: float | None = None
        self._last = self._told = 0.0
        self._refused = self._untold = 0

    def refused(self, reason: str) -> None:
        """Log the first of a burst at once; later ones by their number, every ten seconds."""
        with self._lock:
            now = self._timer()
            is_first = self._since is None
            if is_first:
                self._since, self._refused, self._untold = now, 0, 0
            self._last = now
            self._refused += 1
            self._untold += 1
            if not is_first and now - self._told < EVERY_SECONDS:
                return
            self._told, untold, self._untold = now, self._untold, 0
        if is_first:
            log.error("the database is unavailable: %s", reason)
        else:
            log.error("the database is still unavailable, %d more requests refused: %s", untold, reason)

    def succeeded(self) -> None:
        """Log the end of a burst, if this is one."""
        # Nearly always there is none: then this costs next to nothing.
        if self._since is None:
            return
        with self._lock:
            if self._since is None or self._timer() - self._last < QUIET_SECONDS:
                return
            seconds, self._since = self._last - self._since, None
        log.warning("the database is available again: %d requests were refused within %.0f s", self._refused, seconds)
