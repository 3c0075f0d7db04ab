"""The worker: takes what is due, asks the banks, comes back later. Any number of workers may run."""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.reconcile import checks
from receiver.reconcile.schedule import Schedule
from receiver.store import events, feed, payments, sources
from receiver.store.database import Database, StoreUnavailable
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.payments import Due, LeaseLost
from receiver.store.sources import SourceRecord
from receiver.worker import public_keys

log = logging.getLogger(__name__)

THREADS = 4
"""Questions under way at once. A bank's budget of 300 an hour is spent in minutes even so."""

IDLE_SECONDS = 0.5
"""How soon a new claim is noticed."""

TROUBLE_SECONDS = 5.0
"""How long to wait after the database failed."""


@dataclass(frozen=True)
class Worker:
    """Reconciles the sources of one database."""

    database: Database
    encryption: Encryption
    clock: Callable[[], datetime]
    schedule: Schedule
    lease_seconds: float
    chores: Sequence[Callable[[], int]] = ()
    """What else is done in every round; each returns how much it did."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a failing database or bank is waited out."""
        while not stop.is_set():
            try:
                done = self._round()
            except StoreUnavailable as error:
                log.warning("the database is unavailable: %s", error)
                stop.wait(TROUBLE_SECONDS)
                continue
            if not done:
                stop.wait(IDLE_SECONDS)

    def run_once(self) -> int:
        """Do what is due now and end; return how much was done.

        Raises:
            StoreUnavailable
        """
        done = 0
        while step := self._round():
            done += step
        return done

    def _round(self) -> int:
        """Do a little of everything, so that nothing waits for something else to end; return how much was done."""
        done = self._guarded(
            "fetching public keys", lambda: public_keys.refresh(self.database, self.encryption, self.clock)
        )
        done += sum(self._guarded("a chore", chore) for chore in self.chores)
        if dues := self._claim():
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self._check, dues))
            # Asked, put off or failed: each is dealt with for now, and there may be more.
            done += len(dues)
        feed.give_positions(self.database)
        return done

    def check_now(self, subject_id: int) -> bool:
        """Ask about one payment or job at once, due or not; false where it is being asked about already.

        Raises:
            StoreUnavailable
        """
        with self.database.write() as connection:
            payments.ask_now(connection, subject_id, self.clock())
        return sum(self._check(due) for due in self._claim(subject_id)) == 1

    def _claim(self, subject_id: int | None = None) -> list[Due]:
        now = self.clock()
        until = now + timedelta(seconds=self.lease_seconds)
        lease = secrets.token_hex(8)
        with self.database.write() as connection:
            return payments.claim_due(
                connection, now=now, until=until, lease=lease, limit=THREADS, subject_id=subject_id
            )

    def _check(self, due: Due) -> int:
        return self._guarded(f"checking {due.kind} {due.subject}", lambda: self._check_one(due))

    def _check_one(self, due: Due) -> int:
        source, facts = self._source(due)
        access = BankSession(self.database, self.encryption, source, clock=self.clock)
        try:
            finding = checks.ask(access, due, facts)
        except BudgetSpent as spent:
            log.info("%s: %s", source.name, spent)
            with self.database.write() as connection:
                payments.put_off(connection, [due], spent.until)
            return 0
        schedule = self.schedule.at_least(access.bank.pauses)
        checks.record(self.database, due, finding, schedule, self.clock())
        return 1

    def _source(self, due: Due) -> tuple[SourceRecord, dict[str, Any]]:
        with self.database.read() as connection:
            source = next(source for source in sources.every(connection) if source.id == due.source_id)
            return source, events.facts_about(connection, due.source_id, due.subject)

    def _guarded(self, what: str, work: Callable[[], int]) -> int:
        """Let one source's trouble stop nobody else's work; what was leased comes back when its lease ends."""
        try:
            return work()
        except StoreUnavailable:
            raise
        except (LeaseLost, DecryptionFailed) as error:
            log.warning("%s: %s", what, error)
        except Exception:
            log.exception("%s failed", what)
        return 0
