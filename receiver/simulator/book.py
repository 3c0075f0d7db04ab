"""Payments by their ids, and which of their statuses have been told."""

import threading
from datetime import datetime
from typing import Generic, TypeVar

from receiver.simulator.scripts import UNKNOWN, Script


class Scripted:
    """One whose status follows a script from `started` (UTC) on; without `told` nothing of it is told by itself."""

    script: Script
    started: datetime
    told: bool

    def status(self, now: datetime) -> str | None:
        """Return the status at `now`, or None while the bank does not know of it."""
        status = self.script.at(self.age(now))
        return None if status == UNKNOWN else status

    def age(self, now: datetime) -> float:
        """Return how many seconds ago the script has started."""
        return (now - self.started).total_seconds()


_Entry = TypeVar("_Entry", bound=Scripted)


class Book(Generic[_Entry]):
    """Entries in the order in which they came."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._told: dict[str, int] = {}
        self._lock = threading.Lock()

    def put(self, entry_id: str, entry: _Entry) -> None:
        """Add an entry, or replace the one with its id; its script is told from the start."""
        with self._lock:
            self._entries[entry_id] = entry
            self._told[entry_id] = 0

    def replace(self, entry_id: str, entry: _Entry) -> None:
        """Put another state of an entry in its place; what was told of it stays told."""
        with self._lock:
            self._entries[entry_id] = entry

    def get(self, entry_id: str) -> _Entry | None:
        """Return an entry by its id, known to the bank's callers yet or not."""
        with self._lock:
            return self._entries.get(entry_id)

    def all(self) -> list[_Entry]:
        """Return every entry, oldest first."""
        with self._lock:
            return list(self._entries.values())

    def known(self, now: datetime) -> list[tuple[_Entry, str]]:
        """Return what the bank knows at `now`, each with its status, newest first."""
        entries = reversed(self.all())
        return [(entry, status) for entry in entries if (status := entry.status(now)) is not None]

    def take_changes(self, now: datetime) -> list[tuple[_Entry, str]]:
        """Return each status that an entry has come to since this was last asked, in order, where it is to be told."""
        changes = []
        with self._lock:
            for entry_id, count in list(self._told.items()):
                entry = self._entries[entry_id]
                reached = entry.script.reached(entry.age(now))
                changes += [(entry, status) for status in reached[count:] if entry.told and status != UNKNOWN]
                self._told[entry_id] = len(reached)
                if len(reached) == len(entry.script.steps):
                    del self._told[entry_id]
        return changes
