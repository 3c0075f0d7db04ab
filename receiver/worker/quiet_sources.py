"""Noticing that a bank has gone quiet: some switch callbacks off after failures, and never say so."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.runtime import Runtime
from receiver.store import deliveries, events, sources
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

LOOKED_EVERY = timedelta(minutes=1)
WARNED_EVERY = timedelta(hours=1)


@dataclass
class QuietSources:
    """The worker's watch over quiet sources; each process keeps its own count of what it has said."""

    runtime: Runtime
    _looked_at: datetime | None = None
    _warned_at: dict[int, datetime] = field(default_factory=dict)

    def look(self) -> int:
        """Warn of quiet sources, of each once an hour at most. Returns 0: nothing that anybody waits for was done.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if self._looked_at is not None and now - self._looked_at < LOOKED_EVERY:
            return 0
        self._looked_at = now
        with self.runtime.database.read() as connection:
            quiet = {
                source.id: words
                for source in sources.every(connection)
                if source.enabled and (words := quiet_warning(connection, source, now))
            }
        self._warned_at = {known: at for known, at in self._warned_at.items() if known in quiet}
        for source_id, words in quiet.items():
            if source_id not in self._warned_at or now - self._warned_at[source_id] >= WARNED_EVERY:
                self._warned_at[source_id] = now
                log.warning(words)
        return 0


def quiet_warning(connection: Connection, source: SourceRecord, now: datetime) -> str | None:
    """Return in words that a source is quiet for longer than it should be; none where it is not.

    What was rejected does not count: it was not the bank's.
    """
    bank = banks.named(source.bank)
    seconds = bank.silence_seconds(source.options)
    if seconds is None:
        return None
    since = now - timedelta(seconds=seconds)
    latest = events.latest(connection, source.id)
    if max(latest or source.created_at, source.created_at) > since:
        return None
    # No new event; the bank may still have repeated one.
    if deliveries.latest_genuine(connection, source.id, since=since) is not None:
        return None
    last = (
        f"since {latest:%Y-%m-%d %H:%M} UTC"
        if latest
        else f"since it was added at {source.created_at:%Y-%m-%d %H:%M} UTC"
    )
    return f"no callback for source {source.name} {last}: {bank.silence_means}"
