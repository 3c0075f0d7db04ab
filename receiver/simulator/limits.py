"""So many requests in a fixed window of time."""

import threading
from datetime import datetime, timedelta

from receiver.simulator.clock import Clock


class FixedWindow:
    """Counts requests by key; a window opens with the first request after the one before has closed."""

    def __init__(self, clock: Clock, limit: int, seconds: float) -> None:
        self._clock = clock
        self._limit = limit
        self._length = timedelta(seconds=seconds)
        self._windows: dict[str, tuple[datetime, int]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> float | None:
        """Count one request of `key`; return None where it is allowed, else the seconds until the window closes.

        A limit of 0 allows everything.
        """
        now = self._clock()
        if self._limit == 0:
            return None
        with self._lock:
            closes, count = self._windows.get(key, (now, 0))
            if closes <= now:
                closes, count = now + self._length, 0
            if count >= self._limit:
                return (closes - now).total_seconds()
            self._windows[key] = (closes, count + 1)
        return None

    def change(self, limit: int, seconds: float) -> None:
        """Set another limit, and count anew."""
        with self._lock:
            self._limit = limit
            self._length = timedelta(seconds=seconds)
            self._windows.clear()
