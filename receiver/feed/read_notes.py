"""Notes of what consumers have read: written with the next acknowledgement, and else every few seconds at most.

So reading does not become writing. A process that is killed loses what it has not written of the last seconds.
"""

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.model import ConsumerAct
from receiver.store import consumer_ranges, consumers
from receiver.store.consumer_ranges import Range
from receiver.store.database import Database, StoreUnavailable

WRITTEN_EVERY = timedelta(seconds=5)


class ConsumerReader(NamedTuple):
    """A consumer, and the token that reads for it."""

    consumer: str
    token: str


class ReadNotes:
    """What the consumers of a process have read; any number of threads may note."""

    def __init__(self, database: Database) -> None:
        """Write nothing yet."""
        self._database = database
        self._lock = threading.Lock()
        self._pending: dict[ConsumerReader, Range] = {}
        self._written: dict[ConsumerReader, datetime] = {}

    def read(self, reader: ConsumerReader, seen: Range, now: datetime) -> None:
        """Note a page that was read, an empty one too; what can't be written now is written later, or never."""
        with self._lock:
            self._pending[reader] = _joined(self._pending.get(reader), seen)
            written = self._written.get(reader)
            if written is not None and timedelta(0) <= now - written < WRITTEN_EVERY:
                return
            self._written[reader] = now
        # A database that can't be written just now can still be read.
        with suppress(StoreUnavailable), self._database.write() as connection:
            self.write(connection, reader, now)

    def write(self, connection: Connection, reader: ConsumerReader, now: datetime) -> None:
        """Write down what is noted of a reader, in the caller's transaction."""
        with self._lock:
            seen = self._pending.pop(reader, None)
        if seen is not None and consumers.note_read(connection, reader.consumer, now):
            consumer_ranges.note(connection, reader.consumer, ConsumerAct.READ, reader.token, seen, now)


def _joined(before: Range | None, seen: Range) -> Range:
    """Join two ranges that touch; of two that do not, the later is what is read now."""
    if before is None or seen.behind > before.through or seen.through < before.behind:
        return seen
    return Range(min(before.behind, seen.behind), max(before.through, seen.through))
