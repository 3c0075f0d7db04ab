"""The worker's sweeps: which list is read when; one request of each source in a round, so that others are not late."""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import banks
from receiver.banks.abilities import ListsPayments
from receiver.reconcile.recovery import Recoverer
from receiver.reconcile.sweep import Progress, Sweeper, lease_of, longest_wait
from receiver.runtime import Runtime
from receiver.store import sources, sweeps
from receiver.store.database import StoreUnavailable
from receiver.store.leases import LeaseLost
from receiver.store.sources import SourceRecord
from receiver.worker.chore import apart, is_within

log = logging.getLogger(__name__)

LOOKED_EVERY = timedelta(seconds=5)
"""How often it is looked whether a list is due."""


@dataclass
class _Reading:
    """The reading of one list, which this process goes on with."""

    source: SourceRecord
    steps: Iterator[Progress]
    longest: timedelta
    """What it waits for at most."""
    paused_until: datetime | None = None


@dataclass
class Sweeps:
    """Reads the lists of all banks that have some in turns, of each source one at a time; any number of workers may."""

    runtime: Runtime
    _readings: dict[int, _Reading] = field(default_factory=dict)
    _looked_at: datetime | None = None

    def step(self) -> int:
        """Do one request for each source of which a list is due; return how many steps those were.

        Raises:
            StoreUnavailable
        """
        if not self.runtime.settings.sweep_seconds:
            return 0
        now = self.runtime.clock()
        if not is_within(LOOKED_EVERY, self._looked_at, now):
            self._look(now)
            self._looked_at = now
        return sum(self._go_on(reading) for reading in list(self._readings.values()))

    def _look(self, now: datetime) -> None:
        """Begin with what is due, and leave what is of a source that is out of use."""
        recoverer = Recoverer(self.runtime)
        with self.runtime.database.read() as connection:
            known = banks.with_known_banks(sources.every(connection))
            listing = [source for source in known if can_be_swept(source)]
            longest = {
                source.id: longest_wait(self.runtime, source, sweeps.number(connection, source.id))
                for source in listing
            }
            due = [source for source in listing if sweeps.is_due(connection, source.id, now, longest[source.id])]
            ripe = [source for source in listing if recoverer.is_due(connection, source)]
        self._readings = {number: reading for number, reading in self._readings.items() if number in longest}
        for source in ripe:
            self._recover(recoverer, source)
        for source in due:
            if source.id not in self._readings:
                self._try_to_begin(source, longest[source.id], now)

    def _recover(self, recoverer: Recoverer, source: SourceRecord) -> None:
        """Join a source's lines, or make events of them; the trouble of one source stops no other's sweeps."""
        try:
            with apart("joining the lines to events", source):
                recoverer.run(source)
        except StoreUnavailable as error:
            log.warning("joining the lines of %s to events: the database is unavailable: %s", source.name, error)

    def _try_to_begin(self, source: SourceRecord, longest: timedelta, now: datetime) -> None:
        """Begin with a source's list; where that fails, those of the other sources are begun with."""
        try:
            with apart("beginning with a list", source):
                self._begin(source, longest, now)
        except StoreUnavailable as error:
            log.warning("beginning with a list of %s: the database is unavailable: %s", source.name, error)

    def _begin(self, source: SourceRecord, longest: timedelta, now: datetime) -> None:
        until, lease = now + lease_of(self.runtime), secrets.token_hex(8)
        with self.runtime.database.write() as connection:
            # What stores lines locks the row of the list of lists first, too, and then that of its own list.
            sweeps.lock(connection, source.id, now)
            sweeps.bring_forward(connection, source.id, now, longest)
            claimed = sweeps.claim_due(connection, [source.id], now=now, until=until, lease=lease)
        if claimed is not None:
            steps = Sweeper(self.runtime, source).read_due(claimed)
            self._readings[source.id] = _Reading(source, steps, longest)

    def _go_on(self, reading: _Reading) -> int:
        now = self.runtime.clock()
        # What waits for longer than anything does was paused by a clock that was wrong.
        if reading.paused_until is not None and now < reading.paused_until <= now + reading.longest:
            return 0
        try:
            reading.paused_until = next(reading.steps).paused_until
        except StopIteration:
            self._end(reading)
        except LeaseLost as lost:
            log.info("%s: %s", reading.source.name, lost)
            self._end(reading)
        except BaseException as error:
            self._readings.pop(reading.source.id, None)
            if isinstance(error, StoreUnavailable) or not isinstance(error, Exception):
                raise
            # It is begun with anew once its lease is over.
            log.exception("reading a list of %s failed", reading.source.name)
            return 0
        return 0 if reading.paused_until is not None else 1

    def _end(self, reading: _Reading) -> None:
        """Look at once what is due next, and at what was read."""
        self._readings.pop(reading.source.id, None)
        self._looked_at = None
        reading.paused_until = None


def can_be_swept(source: SourceRecord) -> bool:
    """Tell whether a source is in use, has API credentials, and a bank that lists what it knows."""
    return source.may_be_asked and isinstance(banks.named(source.bank), ListsPayments)
