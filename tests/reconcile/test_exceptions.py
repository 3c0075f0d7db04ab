"""What needs a person: opened and resolved by what is so, acknowledged and resolved by persons."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from admin.looking import WHO, noted
from bank import BankSigner, deposit
from conftest import StandingClock, add_source
from others import set_secret
from reconcile.conftest import book, tell_deposit
from reconcile.ledger import MORNING, Ledger
from reconcile.test_late_deliveries import post, tell_late
from sqlalchemy import delete, select
from store.made import delivery, event, record

from receiver.admin import deliveries, exceptions
from receiver.banks.errors import NotKnown
from receiver.model import ExceptionKind, ExceptionState, NotFound, NotPossible, Purpose, Severity
from receiver.projection.projector import catch_up
from receiver.reconcile import findings
from receiver.reconcile.findings import Finding
from receiver.reconcile.plan import Schedule
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store import claims, feed, leases
from receiver.store import deliveries as refused_ones
from receiver.store import exceptions as stored
from receiver.store.exceptions import UNRESOLVED, ExceptionRecord, Opened, Wanted
from receiver.store.leases import Lease
from receiver.store.sources import SourceRecord
from receiver.store.tables import Check, Delivery, Subject, table_of
from receiver.worker.loop import Worker

OPEN = ExceptionState.OPEN
RESOLVED = ExceptionState.RESOLVED


def listed(parts: Runtime, *states: str, **wanted: Any) -> list[ExceptionRecord]:
    return exceptions.listing(parts, Wanted(states or UNRESOLVED, **wanted), limit=50)


def shown(found: Sequence[ExceptionRecord]) -> list[tuple[str, str, str]]:
    return [(str(each.kind), str(each.state), each.subject) for each in found]


def refuse(parts: Runtime, bank: BankSigner) -> None:
    """A callback of the bank's own shape, whose signature is wrong."""
    other = BankSigner(bank.clock, secret="A" * 43 + "=")
    assert post(parts, other.sign(deposit())).status_code == 401


def test_what_the_bank_contradicts_is_opened_and_is_resolved_by_itself(
    parts: Runtime, clock: StandingClock, simulator: Simulator, worker: Worker
) -> None:
    book(simulator, clock, ("Reversed", 7200), ("Completed", 0))
    (event_id,) = tell_deposit(parts)["events"]
    worker.run_once()
    (found,) = listed(parts)
    assert (found.kind, found.about, found.subject, found.event_id) == ("contradicted", "payment", "FT1", event_id)
    assert (found.amount, found.currency, found.source) == ("1000.00", "USD", "bcb")
    assert found.detail == "a callback claims completed, and the bank answers reversed"
    with parts.database.write() as connection:
        subjects = table_of(Subject)
        connection.execute(subjects.update().values(due_at=clock() + timedelta(seconds=7200)))
    clock.forward(7201)
    worker.run_once()
    (after,) = listed(parts, RESOLVED)
    assert (after.id, after.handled_by) == (found.id, None)


def test_another_claim_that_is_contradicted_is_told_too_and_the_same_one_once(
    parts: Runtime, source: SourceRecord
) -> None:
    ledger = Ledger(parts, source)

    def claimed(status: str) -> ExceptionRecord:
        ledger.event("FT1", claimed_status=status)
        for _ in range(2):
            ledger.checked("FT1", "rejected")
        (found,) = listed(parts, OPEN, RESOLVED)
        assert found.detail == f"a callback claims {status}, and the bank answers rejected"
        return found

    first = claimed("completed")
    assert claimed("returned").id == first.id
    exceptions.resolve(parts, WHO, first.id, "the bank was told")
    assert claimed("returned").state == RESOLVED
    anew = claimed("completed")
    assert (anew.id, anew.state, anew.note) == (first.id, OPEN, None)
    catch_up(parts.database)
    with parts.database.read() as connection:
        types = [each.type for each in feed.read(connection, after=None, limit=100).entries]
    assert (types.count("payment.contradicted"), types.count("exception.opened")) == (3, 2)


def test_another_answer_that_contradicts_the_claim_is_said_on_the_line(parts: Runtime, source: SourceRecord) -> None:
    ledger = Ledger(parts, source)

    def answered(status: str) -> ExceptionRecord:
        for _ in range(2):
            ledger.checked("FT1", status)
        (found,) = listed(parts, *ExceptionState)
        assert found.detail == f"a callback claims completed, and the bank answers {status}"
        return found

    ledger.event("FT1", claimed_status="completed")
    first = exceptions.acknowledge(parts, WHO, answered("rejected").id, "asking the bank")
    assert (answered("returned").state, answered("returned").note) == (first.state, first.note)
    exceptions.resolve(parts, WHO, first.id, "the bank was told")
    assert answered("returned").state == RESOLVED
    assert answered("reversed").state == OPEN
    assert entries_of(parts) == ["exception.opened", "exception.resolved", "exception.opened"]


@pytest.mark.parametrize("later", ["pending", None])
def test_a_false_claim_by_reference_is_told_though_its_payment_was_told_of_later_as_pending(
    parts: Runtime, source: SourceRecord, later: str | None
) -> None:
    ledger = Ledger(parts, source)
    ledger.event("R1", kind="reference", payment_id=None, claimed_status="completed")
    ledger.event("FT1", at=MORNING + timedelta(seconds=5), claimed_status=later)
    ledger.named("R1", "FT1", "rejected")
    ledger.checked("FT1", "rejected")
    (found,) = listed(parts)
    assert (found.kind, found.about, found.subject) == ("contradicted", "payment", "FT1")


def test_a_false_claim_by_reference_is_not_told_where_its_payment_was_told_rightly_later(
    parts: Runtime, source: SourceRecord
) -> None:
    ledger = Ledger(parts, source)
    ledger.event("R1", kind="reference", payment_id=None, claimed_status="completed")
    ledger.event("FT1", at=MORNING + timedelta(seconds=5), claimed_status="rejected")
    ledger.named("R1", "FT1", "rejected")
    ledger.checked("FT1", "rejected")
    assert listed(parts) == []


def test_what_the_bank_does_not_know_for_an_hour_is_opened_and_resolved_once_it_does(
    parts: Runtime, clock: StandingClock, simulator: Simulator, worker: Worker
) -> None:
    tell_deposit(parts, "FT-nobody")
    for _ in range(4):
        worker.run_once()
        clock.forward(1800)
    (found,) = listed(parts)
    assert (found.kind, found.subject) == ("unknown_to_bank", "FT-nobody")
    book(simulator, clock, ("Completed", 0), payment_id="FT-nobody")
    clock.forward(7200)
    worker.run_once()
    assert listed(parts) == []


@pytest.mark.parametrize("is_late", [True, False], ids=["a late delivery waits", "an app asks"])
def test_what_the_bank_did_not_know_before_it_was_claimed_is_told_an_hour_after_that(
    parts: Runtime, clock: StandingClock, source: SourceRecord, *, is_late: bool
) -> None:
    ledger = Ledger(parts, source)
    if is_late:
        tell_late(parts)
        (waiting,) = listed(parts)
    else:
        with parts.database.write() as connection:
            claims.ask_about(connection, [(source.id, "payment", "FT1")], clock(), Purpose.PERSON)
    ledger.unknown("FT1", times=4)
    clock.forward(7200)
    if is_late:
        deliveries.accept(parts, WHO, waiting.subject, "seen at the bank")
    else:
        tell_deposit(parts)
    ledger.unknown("FT1", times=2)
    assert listed(parts) == []
    clock.forward(3600)
    ledger.unknown("FT1", times=2)
    (found,) = listed(parts)
    assert (found.kind, found.subject) == ("unknown_to_bank", "FT1")
    clock.forward(3600)
    ledger.checked("FT1", "completed")
    assert listed(parts) == []
    with parts.database.read() as connection:
        told = [each.type for each in feed.read(connection, after=None, limit=100).entries]
    assert (told.count("payment.unknown_to_bank"), told.count("payment.known_to_bank")) == (1, 1)


def test_numbers_of_checks_that_retention_has_removed_are_used_anew_and_hide_no_later_check(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    ledger = Ledger(parts, source)
    with parts.database.write() as connection:
        claims.ask_about(connection, [(source.id, "payment", "FT1")], clock(), Purpose.PERSON)
    ledger.unknown("FT1", times=4)
    with parts.database.write() as connection:
        connection.execute(delete(table_of(Check)))
    tell_deposit(parts)
    ledger.unknown("FT1", times=3)
    assert shown(listed(parts)) == [("unknown_to_bank", "open", "FT1")]


def test_a_question_that_was_put_before_the_claim_counts_for_nothing_though_the_answer_comes_after_it(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    ledger = Ledger(parts, source)
    with parts.database.write() as connection:
        claims.ask_about(connection, [(source.id, "payment", "FT1")], clock(), Purpose.PERSON)
        found = connection.execute(select(table_of(Subject).c.id)).scalar_one()
        due = leases.claim_one(connection, found, Lease(clock(), clock() + timedelta(seconds=60), "slow"))
    assert due is not None
    tell_deposit(parts)
    catch_up(parts.database)
    findings.record(parts.database, due, Finding(NotKnown.outcome), Schedule(10, 3600), clock())
    clock.forward(1800)
    ledger.unknown("FT1", times=2)
    clock.forward(1800)
    assert listed(parts) == []
    ledger.unknown("FT1", times=2)
    assert shown(listed(parts)) == [("unknown_to_bank", "open", "FT1")]


def test_another_content_is_opened_at_the_time_when_it_came(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1", amount="12000.00"))
    clock.forward(60)
    at = clock()
    record(parts, delivery(parts, source), event(parts, "FT1", says="something else"))
    clock.forward(60)
    (found,) = listed(parts)
    assert (found.kind, found.about, found.opened_at) == ("conflict", "event", at)
    assert exceptions.severity(found, clock()) == Severity.HIGH


def test_refused_deliveries_of_one_reason_are_one_until_more_come_or_none_is_left(
    parts: Runtime, clock: StandingClock, bank: BankSigner, source: SourceRecord
) -> None:
    for _ in range(3):
        refuse(parts, bank)
        clock.forward(1)
    (found,) = listed(parts)
    assert (found.kind, found.subject, found.number) == ("rejected", "signature_mismatch", 3)
    exceptions.resolve(parts, WHO, found.id, "the bank was told")
    assert listed(parts) == []
    refuse(parts, bank)
    (anew,) = listed(parts)
    assert (anew.id, anew.state, anew.number, anew.note) == (found.id, OPEN, 4, None)
    with parts.database.write() as connection:
        # Each is verified anew once it would be taken; here they are merely gone.
        connection.execute(delete(table_of(Delivery)))
    assert listed(parts) == []
    assert source.name == "bcb"


def test_the_number_of_refused_deliveries_falls_as_they_are_accepted_and_that_is_no_opening(
    parts: Runtime, clock: StandingClock, bank: BankSigner, source: SourceRecord
) -> None:
    other = BankSigner(bank.clock, secret="A" * 43 + "=")
    for number in range(5):
        assert post(parts, other.sign(deposit(transactionId=f"FT{number}"))).status_code == 401
        clock.forward(1)
    (before,) = listed(parts)
    exceptions.acknowledge(parts, WHO, before.id)
    (before,) = listed(parts)
    assert (before.number, entries_of(parts)) == (5, ["exception.opened"])
    with parts.database.read() as connection:
        refused = refused_ones.rejected(connection, source.name, below=None, limit=10)
    assert refused[0].id == before.delivery_id
    # The newest four would be taken now.
    set_secret(parts, source, other.secret)
    deliveries.reverify(parts, WHO, [each.id for each in refused[:4]])
    (after,) = listed(parts)
    assert (after.number, after.delivery_id) == (1, refused[4].id)
    assert after._replace(number=5, delivery_id=before.delivery_id) == before
    assert entries_of(parts) == ["exception.opened"]
    clock.forward(1)
    third = BankSigner(bank.clock, secret="B" * 42 + "A=")
    assert post(parts, third.sign(deposit(transactionId="FT9"))).status_code == 401
    (more,) = listed(parts)
    assert (more.id, more.number, more.state) == (before.id, 2, "acknowledged")


def entries_of(parts: Runtime) -> list[str]:
    """The types of what the feed says of exceptions."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        return [each.type for each in feed.read(connection, after=None, limit=100).entries if "exception" in each.type]


def test_a_late_delivery_is_open_until_it_is_accepted(parts: Runtime, source: SourceRecord) -> None:
    tell_late(parts)
    (found,) = listed(parts, sources=[source.name])
    assert (found.kind, found.about, found.amount) == ("late", "delivery", "1000.00")
    deliveries.accept(parts, WHO, found.subject, "seen at the bank")
    assert shown(listed(parts, RESOLVED)) == [("late", "resolved", found.subject)]


def test_the_worker_opens_them_too(parts: Runtime, bank: BankSigner, worker: Worker) -> None:
    refuse(parts, bank)
    worker.run_once()
    with parts.database.read() as connection:
        assert len(stored.listing(connection, Wanted(), below=None, limit=9)) == 1


def test_no_reference_is_written_into_the_audit_log_from_which_nothing_is_taken_away(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    words, payment = "from Ada for the rent", "FT1"
    with parts.database.write() as connection:
        for about, name in (("reference", words), ("payment", payment)):
            one = Opened(ExceptionKind.UNKNOWN_TO_BANK, source.id, about, name, None, None, None, None, 1, None)
            stored.open_all(connection, [one], clock())
    assert {each.subject for each in listed(parts)} == {words, payment}
    for each in listed(parts):
        exceptions.resolve(parts, WHO, each.id, "told")
    said = {"source": source.name, "kind": "unknown_to_bank"}
    abouts = [{name: value for name, value in about.items() if name != "exception"} for _, _, about in noted(parts)]
    assert sorted(abouts, key=len) == [said, {**said, "payment": payment}]


def test_a_person_acknowledges_and_resolves_once_and_leaves_a_trace(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    tell_late(parts)
    (found,) = listed(parts)
    clock.forward(5)
    mine = exceptions.acknowledge(parts, WHO, found.id, "asking the bank")
    assert (mine.state, mine.handled_by, mine.note, mine.handled_at) == (
        "acknowledged",
        WHO,
        "asking the bank",
        clock(),
    )
    with pytest.raises(NotPossible, match="is acknowledged already by cli:alice"):
        exceptions.acknowledge(parts, WHO, found.id)
    with pytest.raises(NotPossible, match="say in a note"):
        exceptions.resolve(parts, WHO, found.id, " ")
    done = exceptions.resolve(parts, WHO, found.id, "the bank has it")
    assert (done.state, done.note) == (RESOLVED, "the bank has it")
    with pytest.raises(NotPossible, match="is resolved already"):
        exceptions.acknowledge(parts, WHO, found.id)
    with pytest.raises(NotFound):
        exceptions.resolve(parts, WHO, "exc_none", "gone")
    about = {"exception": found.id, "source": source.name, "kind": "late", "delivery": found.subject}
    assert noted(parts) == [(WHO, "exception.acknowledged", about), (WHO, "exception.resolved", about)]
    # It is still late; a person has said that nothing is left to be done.
    assert listed(parts) == []


def test_lists_are_paged_by_the_newest_change_and_grouped_by_kind(
    parts: Runtime, clock: StandingClock, bank: BankSigner, source: SourceRecord
) -> None:
    add_source(parts, "second")
    for number in range(5):
        record(parts, delivery(parts, source), event(parts, f"FT{number}"))
        record(parts, delivery(parts, source), event(parts, f"FT{number}", says="otherwise"))
        clock.forward(1)
    refuse(parts, bank)
    first = exceptions.listing(parts, Wanted(UNRESOLVED), limit=4)
    rest = exceptions.listing(parts, Wanted(UNRESOLVED), below=first[-1].place, limit=4)
    assert [each.kind for each in (*first, *rest)] == ["rejected", *["conflict"] * 5]
    assert len({each.id for each in (*first, *rest)}) == 6
    newest, conflicts, *others = exceptions.groups(parts, Wanted(UNRESOLVED), each=2)
    assert (newest.kind, newest.open, newest.place) == (ExceptionKind.REJECTED, (1, False), None)
    assert (conflicts.open, conflicts.acknowledged, len(conflicts.found)) == ((5, False), (0, False), 2)
    assert conflicts.place == conflicts.found[-1].place
    assert not any(group.found for group in others)
    assert exceptions.unresolved(parts) == (6, False)
    assert exceptions.listing(parts, Wanted(sources=["second"]), limit=9) == []


def test_how_much_it_presses_follows_from_the_amount_or_the_age(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    tell_late(parts)
    (found,) = listed(parts)
    small = found._replace(amount="5.00")
    assert exceptions.severity(found, clock()) == Severity.MEDIUM
    assert exceptions.severity(small, clock()) == Severity.LOW
    assert exceptions.severity(small, clock() + timedelta(hours=1)) == Severity.MEDIUM
    assert exceptions.severity(small, clock() + timedelta(hours=24)) == Severity.HIGH
    assert exceptions.severity(small._replace(amount="not one"), clock()) == Severity.LOW
    assert exceptions.severity(found._replace(amount="-10000"), clock()) == Severity.HIGH
    assert source.name == "bcb"
