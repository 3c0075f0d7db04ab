"""What the worker does beside checks: public keys, warnings, the audit's anchor, the index of searches."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks import tls
from receiver.banks.errors import BankError
from receiver.logs import ids
from receiver.projection.exceptions import derive_some
from receiver.projection.indexer import index_some
from receiver.reconcile.checks import Reconciler
from receiver.runtime import Clock, Runtime
from receiver.store import audit, bank_sessions, deliveries, events, search_index, sources, tallies, worker_seen
from receiver.store.encryption import DecryptionFailed
from receiver.store.exceptions import AT_ONCE
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

FETCHED_EVERY = timedelta(hours=24)
TRIED_EVERY = timedelta(seconds=20)
"""So a callback that waits for a key is answered within a bank's first retries, at a bearable cost in requests.

It doubles with each fetch that fails, such as one whose keys are refused, up to `KEYS_PAUSE_MAX`."""


def refresh_public_keys(runtime: Runtime) -> int:
    """Fetch the public keys of all sources that want them; return how many were tried.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.read() as connection:
        wanting = bank_sessions.sources_in_want_of_keys(
            connection, now=now, older_than=FETCHED_EVERY, pause=TRIED_EVERY
        )
    wanting = [source for source in wanting if banks.named(source.bank).publishes_keys]
    for source in wanting:
        _fetch_public_keys(runtime, source)
    return len(wanting)


def _fetch_public_keys(runtime: Runtime, source: SourceRecord) -> None:
    session = BankSession(runtime, source)
    jwks: str | None = None
    error: str | None = None
    try:
        jwks = session.ask(session.bank.fetch_public_keys)
    except (BankError, BudgetSpent, DecryptionFailed) as failure:
        error = str(failure)
        log.warning("no public keys for %s: %s", source.name, failure, extra=ids(source=source.name))
    else:
        log.info("the public keys of %s were fetched", source.name, extra=ids(source=source.name))
    with runtime.database.write() as connection:
        bank_sessions.put_public_keys(connection, runtime.encryption, source, runtime.clock(), jwks=jwks, error=error)


def _is_within(pause: timedelta, before: datetime | None, now: datetime) -> bool:
    """Tell whether a pause since `before` is not over; it is where the clock was ahead then, and has been put right."""
    return before is not None and timedelta(0) <= now - before < pause


LOOKED_AT_EVERY = timedelta(hours=24)


@dataclass
class CertificateExpiry:
    """Looks at every enabled source's certificate, once a day in each process."""

    runtime: Runtime
    _looked_at: datetime | None = field(default=None, init=False)

    def look(self) -> int:
        """Log what ends within 30 days, where a day has passed; it is no work that a worker waits for, so always 0.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if _is_within(LOOKED_AT_EVERY, self._looked_at, now):
            return 0
        self._looked_at = now
        with self.runtime.database.read() as connection:
            known = [source for source in sources.every(connection) if source.enabled and source.has_credentials]
        for source in known:
            session = BankSession(self.runtime, source)
            try:
                presented = session.certificate()
                state, text = tls.expiry(presented.leaf(), now) if presented else ("ok", "")
            except (BankError, DecryptionFailed) as error:
                state, text = "fail", str(error)
            if state != "ok":
                level = logging.ERROR if state == "fail" else logging.WARNING
                log.log(level, "the client certificate of %s: %s", source.name, text)
        return 0


CLOCK_LOOKED_AT_EVERY = timedelta(minutes=1)


@dataclass
class ClockPutRight:
    """Looks once a minute, and first at the start, for what a clock that was ahead has put off for too long."""

    reconciler: Reconciler
    clock: Clock
    _looked_at: datetime | None = field(default=None, init=False)

    def look(self) -> int:
        """Make it due, where a minute has passed; return how many payments and jobs that were.

        Raises:
            StoreUnavailable
        """
        now = self.clock()
        if _is_within(CLOCK_LOOKED_AT_EVERY, self._looked_at, now):
            return 0
        self._looked_at = now
        return self.reconciler.bring_forward()


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
        if _is_within(LOOKED_EVERY, self._looked_at, now):
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
            if not _is_within(WARNED_EVERY, self._warned_at.get(source_id), now):
                self._warned_at[source_id] = now
                log.warning(words)
        return 0


SEEN_EVERY = timedelta(seconds=15)


@dataclass
class Presence:
    """Writes down that a worker is at work, so that `receiver doctor` can say when none is."""

    runtime: Runtime
    _noted_at: datetime | None = None

    def look(self) -> int:
        """Write it down, four times a minute. Returns 0: nobody waits for it.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if _is_within(SEEN_EVERY, self._noted_at, now):
            return 0
        self._noted_at = now
        with self.runtime.database.write() as connection:
            worker_seen.note(connection, now)
        return 0


ANCHORED_EVERY = timedelta(minutes=1)


@dataclass
class AuditAnchor:
    """Notes the audit log's newest digest in the log of the process, which is stored elsewhere than the database."""

    runtime: Runtime
    _looked_at: datetime | None = None
    _noted: str | None = None

    def look(self) -> int:
        """Log the digest where it is another than before, once a minute at most. Returns 0: nobody waits for it.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if _is_within(ANCHORED_EVERY, self._looked_at, now):
            return 0
        self._looked_at = now
        with self.runtime.database.read() as connection:
            state = audit.state(connection)
        if state is not None and state.digest not in (None, self._noted):
            self._noted = state.digest
            log.info("the audit log has %d entries; the newest digest is %s", *state)
        return 0


BATCHES = 20
"""Of searches' index in a round: checks wait for it half a second at most."""


@dataclass
class SearchIndex:
    """Indexes events for searches, in each round some: new ones, and those that were there before the index was."""

    runtime: Runtime
    _has_older: bool = True

    def index(self) -> int:
        """Index up to `BATCHES` batches. Returns 0: nobody waits for it, and who searches does the rest.

        Raises:
            StoreUnavailable
        """
        for _ in range(BATCHES):
            if not (index_some(self.runtime.database) or self._index_older()):
                break
        return 0

    def _index_older(self) -> int:
        if self._has_older:
            with self.runtime.database.read() as connection:
                self._has_older = search_index.older_left(connection) > 0
        if not self._has_older:
            return 0
        with self.runtime.database.write() as connection:
            return search_index.index_older(connection, search_index.BATCH)


TALLIES_EVERY = timedelta(minutes=1)


@dataclass
class Tallies:
    """Keeps the numbers that metrics tell short to read."""

    runtime: Runtime
    _looked_at: datetime | None = None

    def look(self) -> int:
        """Put their parts together where they are many, once a minute. Returns 0: nobody waits for it.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if not _is_within(TALLIES_EVERY, self._looked_at, now):
            self._looked_at = now
            tallies.put_together(self.runtime.database)
        return 0


EXCEPTIONS_EVERY = timedelta(seconds=15)


@dataclass
class Exceptions:
    """Opens what a person has to look at among deliveries, and resolves what is no longer so."""

    runtime: Runtime
    _looked_at: datetime | None = None

    def look(self) -> int:
        """Look through refused and late deliveries, four times a minute. Returns 0: nobody waits for it.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if not _is_within(EXCEPTIONS_EVERY, self._looked_at, now):
            # What is more than one transaction takes is left to the next rounds, without a pause.
            self._looked_at = None if derive_some(self.runtime.database, now) == AT_ONCE else now
        return 0


def quiet_warning(connection: Connection, source: SourceRecord, now: datetime) -> str | None:
    """Return in words that a source is quiet for longer than it should be; none where it is not.

    What was rejected does not count: it was not the bank's.
    """
    bank = banks.named(source.bank)
    since = bank.silent_since(source.options, now)
    if since is None:
        return None
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
