"""One check: ask the bank about a payment or job, record the answer, change the state, tell the feed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver.bank_client.session import BankSession
from receiver.banks.errors import BankError, NotKnown
from receiver.banks.protocol import Answer
from receiver.model import Agreement, Status, SubjectKind
from receiver.reconcile.schedule import Schedule
from receiver.store import claims, feed, payments
from receiver.store.database import Database
from receiver.store.payments import Due, State

log = logging.getLogger(__name__)


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


def ask(access: BankSession, due: Due, facts: Mapping[str, Any]) -> Finding:
    """Ask the bank; `facts` is what events about the subject told.

    Raises:
        BudgetSpent: it was not asked.
        StoreUnavailable
        DecryptionFailed
    """
    try:
        answer = access.ask(lambda connection: access.bank.ask(connection, due.kind, due.subject, facts))
    except BankError as error:
        log.info("%s %s: %s", due.kind, due.subject, error)
        return Finding(error.outcome, detail={"error": str(error)})
    return Finding("answered", answer, answer.detail)


def record(database: Database, due: Due, finding: Finding, schedule: Schedule, now: datetime) -> None:
    """Write down a check and all that follows from it, in one transaction.

    What it says of another payment is written before, in a transaction of its own: so no two writers ever wait for
    each other's payments in a circle. A kill in between makes the check, and that, happen once more.

    Raises:
        LeaseLost: another worker has taken over; nothing is written.
        StoreUnavailable
    """
    _follow(database, due, finding, now)
    with database.write() as connection:
        before = payments.locked_state(connection, due)
        after = _after(before, finding)
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
        next_at = None if _is_resolved(due, finding) else schedule.next_check(pending, due.attempts, now, later)
        changed: dict[str, Any] = {
            "status": after.status,
            "bank_status": after.bank_status,
            "agreement": after.agreement,
            "returns": after.returns,
        }
        if after != before:
            changed["updated_at"] = now
        payments.settle(connection, due, now=now, next_at=next_at, values=changed)
        if due.kind != SubjectKind.REFERENCE:
            _tell(connection, due, before, after, now)


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


def _is_resolved(due: Due, finding: Finding) -> bool:
    """Tell whether a reference has done its part: its payment is known, and is asked for from then on."""
    return due.kind == SubjectKind.REFERENCE and finding.answer is not None


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


def _tell(connection: Connection, due: Due, before: State, after: State, now: datetime) -> None:
    """Write feed entries for a changed status, and for a claim that turns out to be contradicted."""
    kinds = []
    if after.status != before.status:
        kinds.append(f"{due.kind}.status_changed")
    if after.agreement == Agreement.CONTRADICTED != before.agreement:
        kinds.append(f"{due.kind}.contradicted")
    for kind in kinds:
        feed.append(
            connection,
            type=kind,
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
            },
            now=now,
        )
