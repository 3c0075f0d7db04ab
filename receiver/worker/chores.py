"""What the worker does beside checks: public keys, warnings, the audit's anchor, the index of searches, retention."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import banks
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks import tls
from receiver.banks.errors import BankError
from receiver.logs import ids
from receiver.projection.exceptions import derive_some
from receiver.projection.indexer import index_some
from receiver.reconcile.checks import Reconciler
from receiver.reconcile.days import close_due
from receiver.retention.run import Run, Step
from receiver.runtime import Clock, Runtime
from receiver.store import audit, bank_sessions, search_index, sources, tallies, worker_seen
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.exceptions import AT_ONCE
from receiver.store.sources import SourceRecord
from receiver.worker.watches import is_within

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
        if is_within(LOOKED_AT_EVERY, self._looked_at, now):
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
        if is_within(CLOCK_LOOKED_AT_EVERY, self._looked_at, now):
            return 0
        self._looked_at = now
        return self.reconciler.bring_forward()


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
        if is_within(SEEN_EVERY, self._noted_at, now):
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
        if is_within(ANCHORED_EVERY, self._looked_at, now):
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


RETENTION_EVERY = timedelta(minutes=1)
"""How often it is looked whether anything has become old enough, where nothing was left to do."""

RETENTION_SECONDS = 0.5
"""Of a round: payments wait for it to be checked."""


@dataclass
class Retention:
    """Removes what is old enough, in each round a little."""

    runtime: Runtime
    _looked_at: datetime | None = None
    _steps: Iterator[Step] | None = None

    def look(self) -> int:
        """Remove some of what is due; return how many things that were, and 0 once nothing is left for now.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if self._steps is None and is_within(RETENTION_EVERY, self._looked_at, now):
            return 0
        if self._steps is None:
            self._looked_at, self._steps = now, Run(self.runtime, now).steps()
        ends, removed = time.monotonic() + RETENTION_SECONDS, 0
        try:
            for step in self._steps:
                removed += step.removed
                if time.monotonic() >= ends:
                    return max(1, removed)
        except StoreUnavailable:
            self._steps = None
            raise
        self._steps = None
        return removed


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
        if not is_within(TALLIES_EVERY, self._looked_at, now):
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
        if not is_within(EXCEPTIONS_EVERY, self._looked_at, now):
            # What is more than one transaction takes is left to the next rounds, without a pause.
            self._looked_at = None if derive_some(self.runtime.database, now) == AT_ONCE else now
        return 0


DAYS_EVERY = timedelta(seconds=15)


@dataclass
class ClosedDays:
    """Closes business days that are over, and looks at closed ones for what has changed."""

    runtime: Runtime
    _looked_at: datetime | None = None

    def look(self) -> int:
        """Close, or look at, one day of each source that is due, four times a minute; return how many there were.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if is_within(DAYS_EVERY, self._looked_at, now):
            return 0
        done = close_due(self.runtime)
        # What else is due is left to the next rounds, without a pause.
        self._looked_at = None if done else now
        return done
