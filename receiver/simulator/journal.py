"""The requests that the bank has received, newest last, so many and no more."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

ENTRIES_MAX = 1000


@dataclass(frozen=True)
class Entry:
    """One request; `status` is None where the bank hung up, `fault` names the fault that was applied."""

    at: datetime
    method: str
    path: str
    query: str
    status: int | None
    fault: str | None

    def as_json(self) -> dict[str, object]:
        """Return the entry as the control endpoint tells it."""
        return {
            "at": self.at.isoformat(),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "fault": self.fault,
        }


class Journal:
    """A bounded list that many threads may write to."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: deque[Entry] = deque(maxlen=entries_max)
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        """Append an entry; the oldest one goes where there are too many."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> list[Entry]:
        """Return a copy, oldest first."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
