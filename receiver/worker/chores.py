"""The worker's chores: keys, certificates, clocks, audit anchor, search index, retention, exceptions, closed days."""

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
from receiver.projection.projector import derive_some, index_some
from receiver.reconcile.checks import Reconciler
from receiver.reconcile.days import close_due
from receiver.retention import policy
from receiver.retention.clock import ClockDoubt
from receiver.retention.run import Run, Step
from receiver.runtime import Runtime
from receiver.store import audit, figures, public_keys, retention, search_index, sources, workers
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.exceptions import AT_ONCE
from receiver.store.sources import SourceRecord
from receiver.worker.chore import Chore, apart

log = logging.getLogger(__name__)

FETCHED_EVERY = timedelta(hours=24)
TRIED_EVERY = timedelta(seconds=20)
"""So a callback that waits for a key is answered within a bank's first retries, at a bearable cost in requests.

It doubles with each fetch that fails, such as one whose keys are refused, up to `public_keys.PAUSE_MAX`."""


def refresh_public_keys(runtime: Runtime) -> int:
    """Fetch the public keys of all sources that want them; return how many were tried.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.read() as connection:
        wanting = public_keys.sources_in_want(connection, now=now, older_than=FETCHED_EVERY, pause=TRIED_EVERY)
    wanting = [source for source in banks.with_known_banks(wanting) if banks.named(source.bank).publishes_keys]
    for source in wanting:
        _fetch_public_keys(runtime, source)
    return len(wanting)


def _fetch_public_keys(runtime: Runtime, source: SourceRecord) -> None:
    jwks: str | None = None
    error: str | None = None
    try:
        session = BankSession(runtime, source)
        jwks = session.ask(session.bank.fetch_public_keys)
    except (BankError, BudgetSpent, DecryptionFailed) as failure:
        error = str(failure)
        log.warning("no public keys for %s: %s", source.name, failure, extra=ids(source=source.name))
    except StoreUnavailable:
        raise
    except Exception as failure:
        # A fault of ours, which what the bank has answered brought to light: it waits as others do.
        error = f"a fault of the receiver's: {type(failure).__name__}"
        log.exception("no public keys for %s", source.name, extra=ids(source=source.name))
    else:
        log.info("the public keys of %s were fetched", source.name, extra=ids(source=source.name))
    with runtime.database.write() as connection:
        public_keys.put(connection, runtime.encryption, source, runtime.clock(), jwks=jwks, error=error)


class CertificateExpiry(Chore):
    """Looks at every enabled source's certificate, and logs what ends within 30 days."""

    every = timedelta(hours=24)

    def _do(self, now: datetime) -> int:
        with self.runtime.database.read() as connection:
            known = [source for source in sources.every(connection) if source.may_be_asked]
        for source in banks.with_known_banks(known):
            with apart("looking at the client certificate", source):
                self._look_at(source, now)
        return 0

    def _look_at(self, source: SourceRecord, now: datetime) -> None:
        try:
            presented = BankSession(self.runtime, source).certificate()
            state, text = tls.expiry(presented.leaf(), now) if presented else ("ok", "")
        except (BankError, DecryptionFailed) as error:
            state, text = "fail", str(error)
        if state != "ok":
            level = logging.ERROR if state == "fail" else logging.WARNING
            log.log(level, "the client certificate of %s: %s", source.name, text)


@dataclass
class ClockPutRight(Chore):
    """Makes due what a clock that was ahead has put off for too long; first of all at the start."""

    every = timedelta(minutes=1)

    reconciler: Reconciler

    def _do(self, _now: datetime) -> int:
        return self.reconciler.bring_forward()


class Presence(Chore):
    """Writes down that a worker is at work, so that `receiver doctor` can say when none is."""

    every = timedelta(seconds=15)

    def _do(self, now: datetime) -> int:
        with self.runtime.database.write() as connection:
            workers.note_seen(connection, now)
        return 0


@dataclass
class AuditAnchor(Chore):
    """Notes the audit log's newest digest in the log of the process, which is stored elsewhere than the database."""

    every = timedelta(minutes=1)

    _noted: str | None = field(default=None, init=False)

    def _do(self, _now: datetime) -> int:
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


RETENTION_SECONDS = 0.5
"""Of a round: payments wait for it to be checked."""


@dataclass
class Retention(Chore):
    """Removes what is old enough, in each round a little; nothing while the clock may be ahead."""

    every = timedelta(minutes=1)

    doubt: ClockDoubt = field(default_factory=ClockDoubt)
    _steps: Iterator[Step] | None = field(default=None, init=False)

    def _do(self, now: datetime) -> int:
        """Remove some of what is due; return how many things that were, and 0 once nothing is left for now."""
        if self._steps is None and self._is_clock_in_doubt(now):
            return 0
        steps, self._steps = self._steps or Run(self.runtime, now).steps(), None
        ends, removed = time.monotonic() + RETENTION_SECONDS, 0
        for step in steps:
            removed += step.removed
            if time.monotonic() >= ends:
                self._steps, self._is_more_left = steps, True
                return max(1, removed)
        return removed

    def _is_clock_in_doubt(self, now: datetime) -> bool:
        with self.runtime.database.read() as connection:
            known = sources.every(connection)
            looked_at = retention.looked_at(connection)
        return bool(policy.rules(self.runtime.settings, known, now)) and self.doubt.is_open(looked_at, now)


class Tallies(Chore):
    """Keeps the numbers that metrics tell short to read: puts their parts together where they are many."""

    every = timedelta(minutes=1)

    def _do(self, _now: datetime) -> int:
        figures.put_together(self.runtime.database)
        return 0


class Exceptions(Chore):
    """Opens what a person has to look at among refused and late deliveries, and resolves what is no longer so."""

    every = timedelta(seconds=15)

    def _do(self, now: datetime) -> int:
        self._is_more_left = derive_some(self.runtime.database, now) == AT_ONCE
        return 0


class ClosedDays(Chore):
    """Closes business days that are over, and looks at closed ones for what has changed."""

    every = timedelta(seconds=15)

    def _do(self, _now: datetime) -> int:
        """Close, or look at, one day of each source that is due; return how many there were."""
        done = close_due(self.runtime)
        self._is_more_left = done > 0
        return done
