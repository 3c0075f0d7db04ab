"""The worker's sweeps: which list is read when; one request of each source in a round, so that others are not late."""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import banks
from receiver.banks.abilities import ListsPayments
from receiver.reconcile.recovery import Recoverer
from receiver.reconcile.sweep import Progress, Sweeper, longest_cadence
from receiver.runtime import Runtime
from receiver.store import sources, sweeps
from receiver.store.sources import SourceRecord
from receiver.store.sweeps import LeaseLost

log = logging.getLogger(__name__)

LOOKED_EVERY = timedelta(seconds=5)
"""How often it is looked whether a list is due."""


@dataclass
class _Reading:
    """The reading of one list, which this process goes on with."""

    source: SourceRecord
    steps: Iterator[Progress]
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
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOKED_EVERY:
            self._look(now)
            self._looked_at = now
        return sum(self._go_on(reading) for reading in list(self._readings.values()))

    def _look(self, now: datetime) -> None:
        """Begin with what is due, and leave what is of a source that is out of use."""
        with self.runtime.database.read() as connection:
            listing = {source.id: source for source in sources.every(connection) if can_be_swept(source)}
            new = sweeps.unknown(connection, listing) if listing else []
            ids = listing.keys() - self._readings.keys()
            next_at = sweeps.next_due(connection, ids) if ids else None
            recoverer = Recoverer(self.runtime)
            ripe = [source for source in listing.values() if recoverer.is_due(connection, source)]
        self._readings = {number: reading for number, reading in self._readings.items() if number in listing}
        for source in ripe:
            recoverer.run(source)
        if new or (next_at is not None and (next_at <= now or next_at > now + longest_cadence(self.runtime))):
            self._begin(listing, new, now)

    def _begin(self, listing: dict[int, SourceRecord], new: list[int], now: datetime) -> None:
        until = now + timedelta(seconds=self.runtime.settings.lease_seconds)
        with self.runtime.database.write() as connection:
            for number in new:
                sweeps.ensure(connection, number, now)
            sweeps.put_off_too_far(connection, now, longest_cadence(self.runtime))
            for number in sorted(listing.keys() - self._readings.keys()):
                lease = secrets.token_hex(8)
                claimed = sweeps.claim_due(connection, [number], now=now, until=until, lease=lease)
                if claimed is not None:
                    source = listing[number]
                    self._readings[number] = _Reading(source, Sweeper(self.runtime, source).read_due(claimed))

    def _go_on(self, reading: _Reading) -> int:
        if reading.paused_until is not None and self.runtime.clock() < reading.paused_until:
            return 0
        try:
            reading.paused_until = next(reading.steps).paused_until
        except StopIteration:
            self._end(reading)
        except LeaseLost as lost:
            log.info("%s: %s", reading.source.name, lost)
            self._end(reading)
        except BaseException:
            self._readings.pop(reading.source.id, None)
            raise
        return 0 if reading.paused_until is not None else 1

    def _end(self, reading: _Reading) -> None:
        """Look at once what is due next, and at what was read."""
        self._readings.pop(reading.source.id, None)
        self._looked_at = None
        reading.paused_until = None


def can_be_swept(source: SourceRecord) -> bool:
    """Tell whether a source is in use, has API credentials, and a bank that lists what it knows."""
    return source.enabled and source.has_credentials and isinstance(banks.named(source.bank), ListsPayments)
