"""The worker: takes what is due, asks the banks, comes back later. Any number of workers may run."""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.credentials.rotation import CredentialChanges
from receiver.credentials.settlement import Settlement
from receiver.reconcile import checks
from receiver.reconcile.schedule import Schedule
from receiver.replay.run import Runner
from receiver.runtime import Runtime
from receiver.store import events, feed, payments, sources
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.payments import Due, LeaseLost
from receiver.store.sources import SourceRecord
from receiver.worker import public_keys
from receiver.worker.certificate_expiry import CertificateExpiry
from receiver.worker.quiet_sources import QuietSources

log = logging.getLogger(__name__)

THREADS = 4
"""Questions under way at once. A bank's budget of 300 an hour is spent in minutes even so."""

IDLE_SECONDS = 0.5
"""How soon a new claim is noticed."""

TROUBLE_SECONDS = 5.0
"""How long to wait after the database failed."""


class Worker:
    """Reconciles the sources of one database, runs replays, and finishes changes of credentials."""

    def __init__(self, runtime: Runtime, chores: Sequence[Callable[[], int]] | None = None) -> None:
        """Take a process's parts; `chores` is what else is done in every round, each returns how much it did."""
        settings = runtime.settings
        self._runtime = runtime
        self._schedule = Schedule(settings.recheck_seconds, settings.recheck_max_seconds)
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._chores = _usual_chores(runtime) if chores is None else chores

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
        done = self._guarded("fetching public keys", lambda: public_keys.refresh(self._runtime))
        done += sum(self._guarded("a chore", chore) for chore in self._chores)
        if dues := self._claim():
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self._check, dues))
            # Asked, put off or failed: each is dealt with for now, and there may be more.
            done += len(dues)
        feed.give_positions(self._runtime.database)
        return done

    def check_now(self, subject_id: int) -> bool:
        """Ask about one payment or job at once, due or not; false where it is being asked about already.

        Raises:
            StoreUnavailable
        """
        with self._runtime.database.write() as connection:
            payments.ask_now(connection, subject_id, self._runtime.clock())
        return sum(self._check(due) for due in self._claim(subject_id)) == 1

    def _claim(self, subject_id: int | None = None) -> list[Due]:
        now = self._runtime.clock()
        until = now + self._lease
        lease = secrets.token_hex(8)
        with self._runtime.database.write() as connection:
            return payments.claim_due(
                connection, now=now, until=until, lease=lease, limit=THREADS, subject_id=subject_id
            )

    def _check(self, due: Due) -> int:
        return self._guarded(f"checking {due.kind} {due.subject}", lambda: self._check_one(due))

    def _check_one(self, due: Due) -> int:
        source, facts = self._source(due)
        access = BankSession(self._runtime, source)
        try:
            finding = checks.ask(access, due, facts)
        except BudgetSpent as spent:
            log.info("%s: %s", source.name, spent)
            with self._runtime.database.write() as connection:
                payments.put_off(connection, [due], spent.until)
            return 0
        schedule = self._schedule.at_least(access.bank.pauses)
        checks.record(self._runtime.database, due, finding, schedule, self._runtime.clock())
        return 1

    def _source(self, due: Due) -> tuple[SourceRecord, dict[str, Any]]:
        with self._runtime.database.read() as connection:
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


def _usual_chores(runtime: Runtime) -> Sequence[Callable[[], int]]:
    return (
        Runner(runtime).run_due,
        CredentialChanges(runtime).finish_due,
        Settlement(runtime).settle_due,
        CertificateExpiry(runtime).look,
        QuietSources(runtime).look,
    )
