"""The requests that a bank received: so many in a fixed window of time (rate limit), and what each was answered."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.simulator.scripts import Clock

REQUESTS_MAX = 1000


class FixedWindow:
    """Counts requests by caller; a window opens with the first request after the one before has closed."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing counted."""
        self._clock = clock
        self._rule = (0, 0.0)
        self._windows: dict[str, tuple[datetime, int]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str, limit: int, seconds: float) -> float | None:
        """Count one request; return None where it is allowed, else the seconds until the window closes.

        `limit` requests are allowed in `seconds`, 0 for any number; counting starts anew where these have changed.
        """
        now = self._clock()
        with self._lock:
            if self._rule != (limit, seconds):
                self._rule = (limit, seconds)
                self._windows.clear()
            if limit == 0:
                return None
            closes, count = self._windows.get(caller, (now, 0))
            if closes <= now:
                closes, count = now + timedelta(seconds=seconds), 0
            if count >= limit:
                return (closes - now).total_seconds()
            self._windows[caller] = (closes, count + 1)
        return None

    def reset(self) -> None:
        """Count anew."""
        with self._lock:
            self._windows.clear()


@dataclass(frozen=True)
class ReceivedRequest:
    """One request; `status` is None where the bank hung up, `fault` names the fault that was applied."""

    at: datetime
    method: str
    path: str
    query: str
    status: int | None
    fault: str | None

    def as_json(self) -> dict[str, object]:
        """Return the request as the control endpoint shows it."""
        return {**vars(self), "at": self.at.isoformat()}


class RequestLog:
    """The last requests, newest last; many threads may write to it."""

    def __init__(self) -> None:
        """Start without a request."""
        self._entries: deque[ReceivedRequest] = deque(maxlen=REQUESTS_MAX)
        self._lock = threading.Lock()

    def add(self, entry: ReceivedRequest) -> None:
        """Append a request; the oldest one goes where there are too many."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> list[ReceivedRequest]:
        """Return a copy, oldest first."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
