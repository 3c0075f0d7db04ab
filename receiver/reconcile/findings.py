"""What comes of asking a bank: an answer held against the claim, and all that follows from it, in one transaction."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from receiver.banks.errors import NotKnown
from receiver.banks.protocol import Answer
from receiver.model import Agreement, ExceptionKind, Status, SubjectKind
from receiver.projection.projector import catch_up
from receiver.reconcile import amounts
from receiver.reconcile.plan import Schedule
from receiver.store import (
    claims,
    days,
    exceptions,
    late,
    leases,
    outbox,
    particulars,
)
from receiver.store.database import Database
from receiver.store.leases import Due, NotKnownRun, State

log = logging.getLogger(__name__)

NOT_KNOWN_TIMES, NOT_KNOWN_FOR = 3, timedelta(hours=1)
"""How often, and over what time, a bank must say that it does not know of a payment until apps are told."""


COUNTS = ("items", "failed")
"""What the feed says of a job besides its state: how many items it has, and how many of them failed."""


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
        before = leases.locked_state(connection, due)
        after = _after(before, finding)
        unknown = leases.not_known_run(connection, due, NotKnown.outcome)
        leases.add_check(
            connection,
            due.id,
            at=now,
            outcome=finding.outcome,
            bank_status=finding.answer.bank_status if finding.answer else None,
            detail=finding.detail or {},
            claimed=due.last_event_id is not None,
        )
        # An answer settles it; a failure to ask does not make a final state final again.
        pending = after.status if finding.answer else Status.UNKNOWN
        since = now if after != before else before.since or now
        later = [since + pause for pause in finding.answer.recheck_after] if finding.answer else []
        is_over = (
            _is_resolved(due, finding)
            or _is_nobodys(connection, due, before, finding)
            or _is_stored_no_longer(unknown, finding, before, now)
        )
        next_at = None if is_over else down_until or schedule.next_check(pending, due.attempts, now, later)
        changed: dict[str, Any] = {
            "status": after.status,
            "bank_status": after.bank_status,
            "agreement": after.agreement,
            "returns": after.returns,
            "confirmed_status": after.confirmed_status,
            "contradicted_status": after.contradicted_status,
        }
        if after != before:
            changed["updated_at"] = now
        if after.status.is_final:
            changed["stalled_at"] = None
        leases.settle(connection, due, now=now, next_at=next_at, values=changed, is_attempt=down_until is None)
        kinds = [*_changes(before, after), *_whether_known(due, unknown, finding, before, now)]
        if due.kind != SubjectKind.REFERENCE:
            _write_to_feed(connection, due, kinds, before, after, finding, now)
        _open_exceptions(connection, due, kinds, before, after, now)
        if finding.answer is not None and finding.answer.amounts:
            amounts.compare(connection, due, finding.answer.amounts, now)
        if after != before and due.kind == SubjectKind.PAYMENT:
            days.payment_changed(connection, due.source_id, due.subject, now)
        elif after != before and due.kind == SubjectKind.REFERENCE:
            payment_id = finding.answer.payment_id if finding.answer else None
            days.payment_changed(connection, due.source_id, payment_id, now, reference=due.subject)


def _follow(database: Database, due: Due, finding: Finding, now: datetime) -> None:
    answer = finding.answer
    if answer is None:
        return
    if due.kind == SubjectKind.REFERENCE and answer.payment_id is not None:
        _name_payment(database, due, answer.payment_id)
        with database.write() as connection:
            claims.claim_by_reference(connection, due, answer.payment_id, now)
    elif answer.returns is not None:
        with database.write() as connection:
            claims.note_return(connection, due, answer.returns, now)


def _name_payment(database: Database, due: Due, payment_id: str) -> None:
    """Have all events about a reference be found by its payment, some in each transaction."""
    is_more_left = True
    while is_more_left:
        with database.write() as connection:
            is_more_left = claims.name_payment(connection, due, payment_id) == claims.NAMED_AT_ONCE


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
    agrees = agreement_of(claimed, status) == Agreement.CONFIRMED
    return agrees or (status != Status.UNKNOWN and claimed == status)


def _is_resolved(due: Due, finding: Finding) -> bool:
    """Tell whether a reference has done its part: its payment is known, and is asked for from then on."""
    return due.kind == SubjectKind.REFERENCE and finding.answer is not None


def _is_nobodys(connection: Connection, due: Due, before: State, finding: Finding) -> bool:
    """Tell whether nobody has named it but whoever asked, and the bank does not know it: it is not asked for again."""
    if before.last_event_id is not None or before.status != Status.UNKNOWN or not finding.is_unknown_to_bank:
        return False
    return not late.claims_about(connection, due.source_id, due.kind, due.subject)


def _is_stored_no_longer(run: NotKnownRun, finding: Finding, before: State, now: datetime) -> bool:
    """Tell whether what the bank confirmed as final is gone from its books, for long enough to be no mistake."""
    stays = agreement_of(before.claimed_status, before.status, before.confirmed_status) == Agreement.CONFIRMED
    return stays and _is_unknown_for_long(run, finding, now)


def _after(before: State, finding: Finding) -> State:
    if finding.answer is None:
        is_unknown = finding.is_unknown_to_bank and before.status == Status.UNKNOWN
        return replace(before, agreement=Agreement.UNKNOWN_TO_BANK if is_unknown else before.agreement)
    answer = finding.answer
    status, claimed = Status(answer.status), before.claimed_status
    agreement = agreement_of(claimed, status, before.status, before.confirmed_status)
    is_confirmed_claim = agreement == Agreement.CONFIRMED and claimed is not None and claimed.is_final
    return replace(
        before,
        status=status,
        bank_status=answer.bank_status,
        agreement=agreement,
        returns=answer.returns or before.returns,
        confirmed_status=claimed if is_confirmed_claim else before.confirmed_status,
        contradicted_status=claimed if agreement == Agreement.CONTRADICTED else before.contradicted_status,
    )


def agreement_of(claimed: Status | None, status: Status, *before: Status | None) -> Agreement:
    """Compare the latest claim with the bank's answer; `before` is what was true: its answer before, a confirmed claim.

    A claim that is not final can't be contradicted: the bank is merely further on. An answer that is not final
    confirms nothing yet. A claim that the bank has confirmed before was true, whatever became of the payment since.
    """
    if not status.is_final:
        return Agreement.UNCONFIRMED
    is_contradicted = claimed is not None and claimed.is_final and claimed not in (status, *before)
    return Agreement.CONTRADICTED if is_contradicted else Agreement.CONFIRMED


def _changes(before: State, after: State) -> Iterator[str]:
    """Yield what an answer has changed: the status, and that a claim, or another one, turns out to be contradicted."""
    if after.status != before.status:
        yield "status_changed"
    # Which one was told is not known where an earlier release has told it.
    is_other = before.contradicted_status not in (None, after.contradicted_status)
    if after.agreement == Agreement.CONTRADICTED and (is_other or before.agreement != Agreement.CONTRADICTED):
        yield "contradicted"


def _whether_known(due: Due, run: NotKnownRun, finding: Finding, before: State, now: datetime) -> Iterator[str]:
    """Yield that the bank does not know of it, once it has said so three times over an hour; and the end of that.

    `run` is what it said before, since a callback named it. That tells whether it was written down: nothing else has
    to be stored.
    """
    if due.last_event_id is None or before.status != Status.UNKNOWN:
        # Nobody claimed it when the bank was asked; or the bank knew it once, and keeps it no longer.
        return
    was_unknown = _is_long_enough(run)
    is_unknown = _is_unknown_for_long(run, finding, now)
    if is_unknown and not was_unknown:
        yield "unknown_to_bank"
    elif was_unknown and finding.answer is not None:
        yield "known_to_bank"


def _open_exceptions(
    connection: Connection, due: Due, kinds: Sequence[str], before: State, after: State, now: datetime
) -> None:
    """Open what a person has to look at since this answer, and resolve what is no longer so."""
    # Of a reference it is told at its payment, which has its claims. Another answer, too, is said by the line.
    is_other = "contradicted" in kinds or "status_changed" in kinds
    if after.agreement == Agreement.CONTRADICTED and is_other and due.kind != SubjectKind.REFERENCE:
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


def _is_unknown_for_long(run: NotKnownRun, finding: Finding, now: datetime) -> bool:
    return finding.is_unknown_to_bank and _is_long_enough(NotKnownRun(run.number + 1, run.first or now, now))


def _is_long_enough(run: NotKnownRun) -> bool:
    if run.first is None or run.last is None:
        return False
    return run.number >= NOT_KNOWN_TIMES and run.last - run.first >= NOT_KNOWN_FOR


def _about(connection: Connection, due: Due, answer: Answer | None) -> dict[str, Any]:
    """Return amount, currency, account, direction and reference as events tell them; what none tells, as the bank does.

    The bank's word is written to the feed alone. Stored with the payment it would pass for a claim, and be held against
    the bank's own word.
    """
    known = particulars.of_subject(connection, due.source_id, due.kind, due.subject)
    if answer is None:
        return known
    said: dict[str, Any] = dict(particulars.of_facts(answer.facts))
    worth = amounts.only(answer.amounts)
    if worth is not None and "amount" not in known and known.get("currency") in (None, worth.currency):
        said |= {"amount": f"{worth.amount:f}", "currency": worth.currency}
    return {name: value for name, value in said.items() if value is not None} | known


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
    about = _about(connection, due, finding.answer)
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
