"""One check: ask the bank about a payment or job, record the answer, say when to ask next (backoff)."""

import itertools
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from receiver.bank_client import circuit
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.errors import BankError, NotKnown, ServerFailed, Unreachable
from receiver.banks.protocol import Answer
from receiver.logs import ids
from receiver.model import Agreement, ExceptionKind, Status, SubjectKind
from receiver.projection.projector import catch_up
from receiver.reconcile import amounts
from receiver.reconcile.plan import PLAN, Schedule, askable
from receiver.runtime import Runtime
from receiver.store import circuits, claims, days, events, exceptions, late, outbox, particulars, payments, sources
from receiver.store.database import Database, StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.payments import Due, Lease, LeaseLost, NotKnownRun, State
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

NOT_KNOWN_TIMES, NOT_KNOWN_FOR = 3, timedelta(hours=1)
"""How often, and over what time, a bank must say that it does not know of a payment until apps are told."""

COUNTS = ("items", "failed")
"""What the feed says of a job besides its state: how many items it has, and how many of them failed."""

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
        with self._runtime.database.write() as connection:
            payments.ask_now(connection, subject_id, self._runtime.clock())
        return sum(self._check(due) for due in self._claim(subject_id)) == 1

    def bring_forward(self) -> int:
        """Make due at once what a clock that was wrong has put off for longer than anything is; return how many.

        Raises:
            StoreUnavailable
        """
        now = self._runtime.clock()
        with self._runtime.database.read() as connection:
            found = [
                subject_id
                for source in sources.every(connection)
                for subject_id in payments.put_off_too_far(connection, source.id, now, self._longest(source))
            ]
        if found:
            with self._runtime.database.write() as connection:
                payments.bring_forward(connection, found, now)
            log.warning("the clock was wrong: %s payments and jobs had been put off for too long", len(found))
        return len(found)

    def _longest(self, source: SourceRecord) -> timedelta:
        """Return the longest pause before what is not final is asked for again."""
        return Schedule.of(self._settings, source).longest_pause

    def _claim_planned(self) -> list[Due]:
        """Claim what the plan has next, of sources whose banks may be asked; nothing is written where none is due."""
        now = self._runtime.clock()
        with self._runtime.database.read() as connection:
            due = payments.purposes_due(connection, now)
            may = askable(connection, self._settings, now) if due else None
        if may is None or not any(may):
            return []
        order = [purpose for purpose in PLAN if purpose in due]
        lease = Lease(now, now + self._lease, secrets.token_hex(8))
        with self._runtime.database.write() as connection:
            one_each = [
                payments.claim_planned(connection, order, lease, limit=1, source_ids=[source_id])
                for source_id in may.sparingly
            ]
            rest = payments.claim_planned(connection, order, lease, limit=THREADS, source_ids=may.freely)
        return [*itertools.chain(*one_each), *rest]

    def _claim(self, subject_id: int) -> list[Due]:
        now = self._runtime.clock()
        with self._runtime.database.write() as connection:
            return payments.claim_due(
                connection,
                now=now,
                until=now + self._lease,
                lease=secrets.token_hex(8),
                limit=1,
                subject_id=subject_id,
            )

    def _check(self, due: Due) -> bool:
        """Let one source's trouble stop nobody else's check; what was leased comes back when its lease ends."""
        try:
            return self._check_one(due)
        except StoreUnavailable:
            raise
        except (LeaseLost, DecryptionFailed) as error:
            log.warning("checking %s %s: %s", due.kind, due.subject, error)
        except Exception:
            log.exception("checking %s %s failed", due.kind, due.subject)
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

    def put_off(self, source: SourceRecord, dues: Sequence[Due], spent: BudgetSpent) -> None:
        """Give back unasked what was claimed, until the bank takes requests.

        Raises:
            StoreUnavailable
        """
        log.info("%s: %s", source.name, spent)
        # No longer than any pause: what is stored by a clock that is wrong must be told from what is meant.
        until = min(spent.until, self._runtime.clock() + self._longest(source))
        with self._runtime.database.write() as connection:
            payments.put_off(connection, dues, until)

    def record(self, source: SourceRecord, due: Due, finding: "Finding") -> None:
        """Write down what came of asking, and when to ask next.

        Raises:
            LeaseLost
            StoreUnavailable
        """
        schedule, now = Schedule.of(self._settings, source), self._runtime.clock()
        record(self._runtime.database, due, finding, schedule, now, self._down_until(source, finding, now))

    def _down_until(self, source: SourceRecord, finding: "Finding", now: datetime) -> datetime | None:
        """Return when a bank that is down is tried next; none where it is not."""
        if finding.outcome not in DOWN:
            return None
        with self._runtime.database.read() as connection:
            found = circuits.find(connection, source.id)
        return found.next_at(now, circuit.longest(self._settings)) if found.opened_at is not None else None

    def _source(self, due: Due) -> tuple[SourceRecord, dict[str, Any]]:
        with self._runtime.database.read() as connection:
            source = next(source for source in sources.every(connection) if source.id == due.source_id)
            return source, events.facts_about(connection, due.source_id, due.subject)


@dataclass(frozen=True)
class Finding:
    """What came of asking: an answer, or why there is none."""

    outcome: str
    """`answered`, or the `outcome` of a `BankError`."""
    answer: Answer | None = None
    detail: Mapping[str, Any] | None = None

    @property
    def is_unknown_to_bank(self) -> bool:
        """Whether the bank said that it does not know of it, or not yet."""
        return self.outcome == NotKnown.outcome


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


def record(
    database: Database,
    due: Due,
    finding: Finding,
    schedule: Schedule,
    now: datetime,
    down_until: datetime | None = None,
) -> None:
    """Write down a check and all that follows from it, in one transaction.

    Where the bank is down it is asked then, and this counts as no attempt.

    What it says of another payment, and what late deliveries it confirms, is written before, in transactions of their
    own: so no two writers ever wait for each other's payments in a circle. A kill in between makes the check, and
    that, happen once more.

    Raises:
        LeaseLost: another worker has taken over; nothing is written.
        StoreUnavailable
    """
    _follow(database, due, finding, now)
    _confirm_late(database, due, finding, now)
    with database.write() as connection:
        before = payments.locked_state(connection, due)
        after = _after(before, finding)
        unknown = payments.not_known_run(connection, due.id, NotKnown.outcome)
        payments.add_check(
            connection,
            due.id,
            at=now,
            outcome=finding.outcome,
            bank_status=finding.answer.bank_status if finding.answer else None,
            detail=finding.detail or {},
        )
        # An answer settles it; a failure to ask does not make a final state final again.
        pending = after.status if finding.answer else Status.UNKNOWN
        since = now if after != before else before.since or now
        later = [since + pause for pause in finding.answer.recheck_after] if finding.answer else []
        is_over = _is_resolved(due, finding) or _is_nobodys(connection, due, before, finding)
        next_at = None if is_over else down_until or schedule.next_check(pending, due.attempts, now, later)
        changed: dict[str, Any] = {
            "status": after.status,
            "bank_status": after.bank_status,
            "agreement": after.agreement,
            "returns": after.returns,
        }
        if after != before:
            changed["updated_at"] = now
        if after.status.is_final:
            changed["stalled_at"] = None
        payments.settle(connection, due, now=now, next_at=next_at, values=changed, is_attempt=down_until is None)
        kinds = [*_changes(before, after), *_whether_known(unknown, finding, before, now)]
        if due.kind != "reference":
            _write_to_feed(connection, due, kinds, before, after, finding, now)
        if after != before and due.kind == SubjectKind.PAYMENT:
            days.payment_changed(connection, due.source_id, due.subject, now)
        _open_exceptions(connection, due, kinds, before, after, now)
        if finding.answer is not None and finding.answer.amounts:
            amounts.compare(connection, due, finding.answer.amounts, now)


def _follow(database: Database, due: Due, finding: Finding, now: datetime) -> None:
    answer = finding.answer
    if answer is None:
        return
    if due.kind == SubjectKind.REFERENCE and answer.payment_id is not None:
        with database.write() as connection:
            claims.claim_by_reference(connection, due, answer.payment_id, now)
    elif answer.returns is not None:
        with database.write() as connection:
            claims.note_return(connection, due, answer.returns, now)


def _confirm_late(database: Database, due: Due, finding: Finding, now: datetime) -> None:
    """Confirm what late deliveries claim of it, where the bank's answer agrees; each claim in its own transaction."""
    if finding.answer is None:
        return
    with database.read() as connection:
        held = late.claims_about(connection, due.source_id, due.kind, due.subject)
    for claim in held:
        if is_confirmed(claim.status, Status(finding.answer.status)):
            with database.write() as connection:
                recorded = late.confirm(connection, claim, now)
            if recorded is not None:
                log.info("late delivery %s is confirmed: %s", claim.delivery_id, " ".join(recorded.event_ids))
                # So that the bank's answer is held against what it claims.
                catch_up(database)


def is_confirmed(claimed: Status | None, status: Status) -> bool:
    """Tell whether the bank's answer confirms a late claim: its final word agrees, or it says the very same.

    Amounts are not compared: the signature vouches for them, and what the bank answers may be net of fees.
    """
    agrees = agreement_of(claimed, status, Status.UNKNOWN) == Agreement.CONFIRMED
    return agrees or (status != Status.UNKNOWN and claimed == status)


def _is_resolved(due: Due, finding: Finding) -> bool:
    """Tell whether a reference has done its part: its payment is known, and is asked for from then on."""
    return due.kind == SubjectKind.REFERENCE and finding.answer is not None


def _is_nobodys(connection: Connection, due: Due, before: State, finding: Finding) -> bool:
    """Tell whether nobody has named it but whoever asked, and the bank does not know it: it is not asked for again."""
    if before.last_event_id is not None or before.status != Status.UNKNOWN or not finding.is_unknown_to_bank:
        return False
    return not late.claims_about(connection, due.source_id, due.kind, due.subject)


def _after(before: State, finding: Finding) -> State:
    if finding.answer is None:
        is_unknown = finding.is_unknown_to_bank and before.status == Status.UNKNOWN
        return replace(before, agreement=Agreement.UNKNOWN_TO_BANK if is_unknown else before.agreement)
    answer = finding.answer
    status = Status(answer.status)
    return replace(
        before,
        status=status,
        bank_status=answer.bank_status,
        agreement=agreement_of(before.claimed_status, status, before.status),
        returns=answer.returns or before.returns,
    )


def agreement_of(claimed: Status | None, status: Status, previous: Status) -> Agreement:
    """Compare the latest claim with the bank's answer; `previous` is the bank's answer before.

    A claim that is not final can't be contradicted: the bank is merely further on. An answer that is not final
    confirms nothing yet. A claim that the bank has confirmed before was true, whatever became of the payment since.
    """
    if not status.is_final:
        return Agreement.UNCONFIRMED
    is_contradicted = claimed is not None and claimed.is_final and claimed not in (status, previous)
    return Agreement.CONTRADICTED if is_contradicted else Agreement.CONFIRMED


def _changes(before: State, after: State) -> Iterator[str]:
    """Yield what an answer has changed: the status, and whether a claim turns out to be contradicted."""
    if after.status != before.status:
        yield "status_changed"
    if after.agreement == Agreement.CONTRADICTED != before.agreement:
        yield "contradicted"


def _whether_known(run: NotKnownRun, finding: Finding, before: State, now: datetime) -> Iterator[str]:
    """Yield that the bank does not know of it, once it has said so three times over an hour; and the end of that.

    `run` is what it said before. That tells whether it was written down, so nothing else has to be stored.
    """
    if before.last_event_id is None or before.status != Status.UNKNOWN:
        # Nobody claims it; or the bank knew it once, and keeps it no longer.
        return
    was_unknown = _is_long_enough(run)
    is_unknown = finding.is_unknown_to_bank and _is_long_enough(NotKnownRun(run.number + 1, run.first or now, now))
    if is_unknown and not was_unknown:
        yield "unknown_to_bank"
    elif was_unknown and finding.answer is not None:
        yield "known_to_bank"


def _open_exceptions(
    connection: Connection, due: Due, kinds: Sequence[str], before: State, after: State, now: datetime
) -> None:
    """Open what a person has to look at since this answer, and resolve what is no longer so."""
    if "contradicted" in kinds:
        words = f"a callback claims {after.claimed_status}, and the bank answers {after.status}"
        exceptions.open_about(connection, ExceptionKind.CONTRADICTED, due.id, words, now)
    if "unknown_to_bank" in kinds:
        words = "a callback claims it, and the bank has said for an hour that it does not know it"
        exceptions.open_about(connection, ExceptionKind.UNKNOWN_TO_BANK, due.id, words, now)
    over = []
    if before.agreement == Agreement.CONTRADICTED != after.agreement:
        over.append(ExceptionKind.CONTRADICTED)
    if before.agreement == Agreement.UNKNOWN_TO_BANK != after.agreement:
        over.append(ExceptionKind.UNKNOWN_TO_BANK)
    if after.status.is_final and not before.status.is_final:
        over.append(ExceptionKind.STALLED)
    for kind in over:
        exceptions.resolve_about(connection, kind, due.source_id, due.kind, due.subject, now)


def _is_long_enough(run: NotKnownRun) -> bool:
    if run.first is None or run.last is None:
        return False
    return run.number >= NOT_KNOWN_TIMES and run.last - run.first >= NOT_KNOWN_FOR


def _write_to_feed(
    connection: Connection,
    due: Due,
    kinds: Sequence[str],
    before: State,
    after: State,
    finding: Finding,
    now: datetime,
) -> None:
    """Write a feed entry for each of `kinds`, with all that is known of the payment or job."""
    if not kinds:
        return
    about = particulars.of_subject(connection, due.source_id, due.kind, due.subject)
    counts = {name: finding.detail[name] for name in COUNTS if finding.detail and name in finding.detail}
    for kind in kinds:
        outbox.append(
            connection,
            type=f"{due.kind}.{kind}",
            source_id=due.source_id,
            subject=due.subject,
            event_id=after.last_event_id,
            data={
                f"{due.kind}_id": due.subject,
                "status": after.status,
                "previous_status": before.status,
                "bank_status": after.bank_status,
                "claimed_status": after.claimed_status,
                "agreement": after.agreement,
                **about,
                **counts,
            },
            now=now,
        )
