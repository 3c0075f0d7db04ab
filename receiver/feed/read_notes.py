"""Notes of what consumers have read: written with the next acknowledgement, and else every few seconds.

So reading does not become writing. A process that ends loses what it has not written of these last seconds.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.model import ConsumerAct
from receiver.store import consumer_ranges, consumers
from receiver.store.consumer_ranges import RANGES_MAX, Range
from receiver.store.database import Database, StoreUnavailable

log = logging.getLogger(__name__)

WRITTEN_EVERY = timedelta(seconds=5)


class ConsumerReader(NamedTuple):
    """A consumer, and the token that reads for it."""

    consumer: str
    token: str


class Note(NamedTuple):
    """A range that was read: from when on, and when last (UTC)."""

    seen: Range
    began_at: datetime
    at: datetime


class ReadNotes:
    """What the consumers of a process have read; any number of threads may note."""

    def __init__(self, database: Database, pause: Callable[[float], object] = time.sleep) -> None:
        """Start no thread yet: a process that is forked would not have it."""
        self._database = database
        self._pause = pause
        self._lock = threading.Lock()
        self._pending: dict[ConsumerReader, list[Note]] = {}
        self._written: dict[ConsumerReader, datetime] = {}
        self._is_waiting = False

    def read(self, reader: ConsumerReader, seen: Range, now: datetime) -> None:
        """Note a page that was read, an empty one too: the first one at once, those that follow soon after it later."""
        with self._lock:
            written = self._written.get(reader)
            is_later = reader in self._pending or (
                written is not None and timedelta(0) <= now - written < WRITTEN_EVERY
            )
            self._pending[reader] = _added(self._pending.get(reader, []), Note(seen, now, now))
        if not is_later:
            self._write_now(reader)
        self._wait()

    @contextmanager
    def taken(self, reader: ConsumerReader) -> Iterator[Sequence[Note]]:
        """Yield what is noted of a reader; it is noted again where what it is taken for fails."""
        with self._lock:
            notes = self._pending.pop(reader, [])
        try:
            yield notes
        except BaseException:
            with self._lock:
                self._pending[reader] = [*notes, *self._pending.get(reader, [])][-RANGES_MAX:]
            raise
        if notes:
            self._written[reader] = notes[-1].at

    def _write_now(self, reader: ConsumerReader) -> None:
        # A database that can't be written just now can still be read.
        with suppress(StoreUnavailable), self.taken(reader) as notes, self._database.write() as connection:
            write(connection, reader, notes)

    def _wait(self) -> None:
        """Have what is left written in a thread, whether its reader comes back to this process or not."""
        with self._lock:
            if self._is_waiting or not self._pending:
                return
            self._is_waiting = True
        try:
            threading.Thread(target=self._write_later, name="read notes", daemon=True).start()
        except RuntimeError as error:
            self._is_waiting = False
            log.warning("what consumers have read is not written down yet: %s", error)

    def _write_later(self) -> None:
        is_left = True
        while is_left:
            self._pause(WRITTEN_EVERY.total_seconds())
            for reader in list(self._pending):
                # A fault of ours with one reader's must not end the thread: nothing else writes the others'.
                try:
                    self._write_now(reader)
                except Exception:
                    log.exception("what %s has read is not written down yet", reader.consumer)
            with self._lock:
                is_left = self._is_waiting = bool(self._pending)


def write(connection: Connection, reader: ConsumerReader, notes: Sequence[Note]) -> None:
    """Write down what was noted of a reader, each with its own time; nothing of a consumer that is not there."""
    if notes and consumers.note_read(connection, reader.consumer, notes[-1].at):
        for note in notes:
            consumer_ranges.note(connection, reader.consumer, ConsumerAct.READ, reader.token, note.seen, note.at)


def _added(notes: list[Note], new: Note) -> list[Note]:
    """Add to what is noted; what touches the last one and soon follows it lengthens that."""
    if notes:
        (behind, through), began_at, _ = notes[-1]
        touches = new.seen.behind <= through and behind <= new.seen.through
        if touches and timedelta(0) <= new.at - began_at < WRITTEN_EVERY:
            joined = Range(min(behind, new.seen.behind), max(through, new.seen.through))
            return [*notes[:-1], Note(joined, began_at, new.at)]
    return [*notes, new][-RANGES_MAX:]
