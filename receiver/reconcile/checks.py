"""One check: ask the bank about a payment or job, record the answer, say when to ask next (backoff)."""

import itertools
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from receiver import banks
from receiver.bank_client import circuit
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.errors import BankError, ServerFailed, Unreachable
from receiver.logs import ids
from receiver.model import Purpose
from receiver.reconcile.findings import Finding, record
from receiver.reconcile.plan import PLAN, Askable, Schedule, askable
from receiver.runtime import Runtime
from receiver.store import circuits, due_subjects, events, leases, sources
from receiver.store.database import StoreUnavailable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.leases import Due, Lease, LeaseLost
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

DOWN = (Unreachable.outcome, ServerFailed.outcome)
"""What comes of asking a bank that is down."""

THREADS = 4
"""Questions under way at once. A bank's budget of 300 an hour is spent in minutes even so."""


class Reconciler:
    """Checks payments and jobs of one database; any number of processes may, since each claim is a lease."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._lease = timedelta(seconds=runtime.settings.lease_seconds)

    def check_due(self) -> int:
        """Claim a few that are due and check them, by the plan; return how many were claimed. There may be more.

        Raises:
            StoreUnavailable
        """
        if dues := self._claim_planned():
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self._check, dues))
        return len(dues)

    def check_now(self, subject_id: int) -> bool:
        """Check one payment or job at once, due or not; false where the bank was not asked.

        It is not where the source is disabled, its request budget is spent, or a worker holds the lease.

        Raises:
            StoreUnavailable
        """
        self._make_due(subject_id)
        due = self._claim(subject_id)
        return due is not None and self._check(due)

    @retried
    def _make_due(self, subject_id: int) -> None:
        with self._runtime.database.write() as connection:
            leases.ask_now(connection, subject_id, self._runtime.clock())

    def bring_forward(self) -> int:
        """Make due at once what a clock that was wrong has put off for longer than anything is; return how many.

        Raises:
            StoreUnavailable
        """
        now = self._runtime.clock()
        with self._runtime.database.read() as connection:
            found = [
                subject_id
                for source in banks.with_known_banks(sources.every(connection))
                for subject_id in leases.put_off_too_far(connection, source.id, now, self._longest(source))
            ]
        if found:
            with self._runtime.database.write() as connection:
                leases.bring_forward(connection, found, now)
            log.warning("the clock was wrong: %s payments and jobs had been put off for too long", len(found))
        return len(found)

    def _within_pauses(self, source: SourceRecord, until: datetime, now: datetime) -> datetime:
        """Return `until`, or the end of the longest pause: what a wrong clock has stored is told from what is meant."""
        return min(until, now + self._longest(source))

    def _longest(self, source: SourceRecord) -> timedelta:
        """Return the longest pause before what is not final is asked for again."""
        return Schedule.of(self._settings, source).longest_pause

    def _claim_planned(self) -> list[Due]:
        """Claim what the plan has next, of sources whose banks may be asked; nothing is written where none is due."""
        now = self._runtime.clock()
        lease = Lease(now, now + self._lease, secrets.token_hex(8))
        with self._runtime.database.read() as connection:
            purposes = due_subjects.purposes_due(connection, now)
            may = askable(connection, self._settings, now) if purposes else Askable((), ())
            planned = [purpose for purpose in PLAN if purpose in purposes]
            order = due_subjects.sources_due(connection, planned, lease, [*may.freely, *may.sparingly])
        if not order:
            return []
        with self._runtime.database.write() as connection:
            one_each = [
                leases.claim_planned(connection, _only(order, [source_id]), lease, limit=1)
                for source_id in may.sparingly
            ]
            rest = leases.claim_planned(connection, _only(order, may.freely), lease, limit=THREADS)
        return [*itertools.chain(*one_each), *rest]

    @retried
    def _claim(self, subject_id: int) -> Due | None:
        now = self._runtime.clock()
        with self._runtime.database.write() as connection:
            return leases.claim_one(connection, subject_id, Lease(now, now + self._lease, secrets.token_hex(8)))

    def _check(self, due: Due) -> bool:
        with apart_from_others(f"checking {due.kind} {due.subject}"):
            return self._check_one(due)
        return False

    def _check_one(self, due: Due) -> bool:
        source, facts = self._source(due)
        session = BankSession(self._runtime, source, due.purpose)
        try:
            finding = ask(session, due, facts)
        except BudgetSpent as spent:
            self.put_off(source, [due], spent)
            return False
        self.record(source, due, finding)
        if finding.answer is not None:
            about = ids(source=source.name, kind=due.kind, id=due.subject, status=finding.answer.status)
            log.info("%s %s of %s: %s", due.kind, due.subject, source.name, finding.answer.status, extra=about)
        return True

    @retried
    def put_off(self, source: SourceRecord, dues: Sequence[Due], spent: BudgetSpent) -> None:
        """Give back unasked what was claimed, until the bank takes requests.

        Raises:
            StoreUnavailable
        """
        log.info("%s: %s", source.name, spent)
        until = self._within_pauses(source, spent.until, self._runtime.clock())
        with self._runtime.database.write() as connection:
            leases.put_off(connection, dues, until)

    @retried
    def record(self, source: SourceRecord, due: Due, finding: "Finding") -> None:
        """Write down what came of asking, and when to ask next; each of its transactions may be done twice.

        Raises:
            LeaseLost
            StoreUnavailable
        """
        schedule, now = Schedule.of(self._settings, source), self._runtime.clock()
        record(self._runtime.database, due, finding, schedule, now, self._down_until(source, finding, now))

    def _down_until(self, source: SourceRecord, finding: "Finding", now: datetime) -> datetime | None:
        """Return when what a bank that is down was asked for is due next; none where it is not down."""
        if finding.outcome not in DOWN:
            return None
        with self._runtime.database.read() as connection:
            found = circuits.find(connection, source.id)
        until = found.next_at(now, circuit.longest(self._settings)) if found.opened_at is not None else None
        return None if until is None else self._within_pauses(source, until, now)

    def _source(self, due: Due) -> tuple[SourceRecord, dict[str, Any]]:
        with self._runtime.database.read() as connection:
            source = sources.with_id(connection, due.source_id)
            return source, events.facts_about(connection, due.source_id, due.subject)


def _only(order: Mapping[Purpose, Sequence[int]], source_ids: Sequence[int]) -> dict[Purpose, list[int]]:
    """Return what these sources alone are due for."""
    found = {purpose: [number for number in numbers if number in source_ids] for purpose, numbers in order.items()}
    return {purpose: numbers for purpose, numbers in found.items() if numbers}


@contextmanager
def apart_from_others(what: str) -> Iterator[None]:
    """Let one payment's trouble stop no other's check; what was leased comes back when its lease ends.

    Raises:
        StoreUnavailable
    """
    try:
        yield
    except StoreUnavailable:
        raise
    except (LeaseLost, DecryptionFailed) as error:
        log.warning("%s: %s", what, error)
    except Exception:
        log.exception("%s failed", what)


def ask(session: BankSession, due: Due, facts: Mapping[str, Any]) -> Finding:
    """Ask the bank for the real state; `facts` is what events about the subject said besides its status.

    Raises:
        BudgetSpent: it was not asked.
        StoreUnavailable
        DecryptionFailed
    """
    try:
        answer = session.ask(lambda client: session.bank.ask(client, due.kind, due.subject, facts))
    except BankError as error:
        about = ids(kind=due.kind, id=due.subject, outcome=error.outcome)
        log.info("%s %s: %s", due.kind, due.subject, error, extra=about)
        return Finding(error.outcome, detail={"error": str(error)})
    return Finding("answered", answer, answer.detail)
