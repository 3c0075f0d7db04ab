"""Many payments of one account, asked for by one question."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from bank import deposit
from conftest import StandingClock, add_source
from reconcile.conftest import book, tell
from sqlalchemy import func, select
from store.made import delivery, event, record

from receiver import banks
from receiver.banks.abilities import AnswerPage, AnswersInBulk
from receiver.banks.errors import ServerFailed
from receiver.banks.protocol import Answer, Money
from receiver.projection.projector import catch_up
from receiver.reconcile.bulk import NEAR, BulkChecks, Reading
from receiver.reconcile.checks import Reconciler
from receiver.reconcile.findings import Finding
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.faults import Fault
from receiver.simulator.scripts import Script
from receiver.store import due_subjects, payments, request_budget
from receiver.store.leases import Due
from receiver.store.payments import SubjectRecord
from receiver.store.sources import SourceRecord
from receiver.store.tables import Check, Subject, table_of
from receiver.worker.loop import Worker

LIST = "/v1/accounts/1046406142/payments"


@pytest.fixture
def bulk(parts: Runtime, source: SourceRecord) -> BulkChecks:  # noqa: ARG001 - there must be something to work on
    return BulkChecks(parts, Reconciler(parts))


def claim(parts: Runtime, simulator: Simulator, clock: StandingClock, number: int, *, unknown: int = 0) -> None:
    """Let the bank tell of deposits, of which it does not know the last ones."""
    for each in range(number):
        if each < number - unknown:
            book(simulator, clock, ("Completed", 0), payment_id=f"FT{each}")
        tell(parts, deposit(transactionId=f"FT{each}"))
    catch_up(parts.database)


def asked(simulator: Simulator) -> list[str]:
    """The questions about payments."""
    return [seen.path for seen in simulator.requests.entries() if "payments" in seen.path]


def asked_alone(simulator: Simulator) -> list[str]:
    """The questions about one payment each."""
    return [path for path in asked(simulator) if path.endswith("/status")]


def found(parts: Runtime, payment_id: str) -> SubjectRecord:
    with parts.database.read() as connection:
        row = payments.find(connection, "bcb", "payment", payment_id)
    assert row is not None
    return row


def statuses(parts: Runtime, number: int) -> set[tuple[str, str]]:
    records = [found(parts, f"FT{each}") for each in range(number)]
    return {(str(record.status), str(record.agreement)) for record in records}


def test_many_payments_of_an_account_cost_one_question(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    claim(parts, simulator, clock, 12)
    worker.run_once()
    assert asked(simulator) == [LIST]
    assert statuses(parts, 12) == {("completed", "confirmed")}


def test_a_turn_asks_for_some_of_the_accounts_and_the_next_for_others(
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    bulk: BulkChecks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("receiver.reconcile.bulk.ACCOUNTS_MAX", 1)
    claim(parts, simulator, clock, 12)
    for each in range(12):
        tell(parts, deposit(transactionId=f"else{each}", accountNumber="another"))
    catch_up(parts.database)
    turns = []
    for _ in range(2):
        before = len(asked(simulator))
        bulk.check_due()
        turns.append(len(asked(simulator)) - before)
    assert turns == [1, 1]
    assert len(set(asked(simulator))) == 2


def test_a_few_are_asked_for_one_by_one(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    claim(parts, simulator, clock, 9)
    worker.run_once()
    assert sorted(asked(simulator)) == [f"/v1/payments/FT{each}/status" for each in range(9)]


def test_those_that_are_not_in_the_list_are_asked_for_one_by_one(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    claim(parts, simulator, clock, 15, unknown=3)
    worker.run_once()
    assert asked(simulator)[0] == LIST
    assert sorted(asked(simulator)[1:]) == [f"/v1/payments/FT{each}/status" for each in (12, 13, 14)]
    assert found(parts, "FT14").agreement == "unknown_to_bank"


def test_a_list_that_can_not_be_had_is_left_alone_for_an_hour(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.faults.add(Fault("500", LIST, count=None))
    claim(parts, simulator, clock, 12)
    with caplog.at_level("INFO"):
        assert [bulk.check_due() for _ in range(2)] == [0, 0]
    assert "in bulk: GET /v1/accounts/…6142/payments: 500" in caplog.text
    assert "1046406142" not in caplog.text
    assert asked(simulator) == [LIST]
    with parts.database.read() as connection:
        assert len(due_subjects.due_payments(connection, clock(), 100, [1])) == 12
    simulator.faults.clear()
    clock.forward(3601)
    assert bulk.check_due() == 12


def test_what_was_read_before_the_bank_failed_is_recorded_and_the_rest_asked_for_alone(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.banks.bcb.api.PAGE_SIZE", 30)
    claim(parts, simulator, clock, 100)
    fail_after(monkeypatch, 2, ServerFailed("the bank failed"))
    assert bulk.check_due() == 60 - NEAR - 1
    with parts.database.read() as connection:
        assert len(due_subjects.due_payments(connection, clock(), 100, [1])) == 40 + NEAR + 1


def fail_after(monkeypatch: pytest.MonkeyPatch, pages: int, error: Exception) -> None:
    """Let the pages of lists behind the first ones be read with a fault."""
    bank, left = banks.named("bcb"), iter(range(pages))
    assert isinstance(bank, AnswersInBulk)
    read = bank.answer_page

    def answer_page(*given: Any) -> AnswerPage:
        if next(left, None) is None:
            raise error
        return read(*given)

    monkeypatch.setattr(bank, "answer_page", answer_page)


def test_a_page_that_brings_a_fault_of_ours_to_light_stops_no_check(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(parts, simulator, clock, 12)
    fail_after(monkeypatch, 0, ValueError("a fault of ours"))
    worker.run_once()
    assert sorted(asked(simulator)) == sorted(f"/v1/payments/FT{each}/status" for each in range(12))
    assert statuses(parts, 12) == {("completed", "confirmed")}


def test_an_answer_that_can_not_be_recorded_stops_no_other_check(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(parts, simulator, clock, 12)
    record = Reconciler.record

    def fail_once(self: Reconciler, source: SourceRecord, due: Due, finding: Finding) -> None:
        if due.subject == "FT0":
            raise ValueError("a fault of ours")
        record(self, source, due, finding)

    monkeypatch.setattr(Reconciler, "record", fail_once)
    assert bulk.check_due() == 11
    with parts.database.read() as connection:
        assert [due.subject for due in due_subjects.due_payments(connection, clock(), 100, [1])] == ["FT0"]


def test_no_more_pages_are_read_than_single_questions_would_cost(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.banks.bcb.api.PAGE_SIZE", 2)
    for each in range(50):
        book(simulator, clock, ("Completed", 0), payment_id=f"old{each}")
    claim(parts, simulator, clock, 12)
    assert bulk.check_due() == 0
    assert asked(simulator) == [LIST] * 6


def test_a_budget_that_is_spent_leaves_them_all_due_and_unasked(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks
) -> None:
    simulator.faults.add(Fault("429", LIST, seconds=600))
    claim(parts, simulator, clock, 12)
    # The bank says so to the one, so that the other makes no request.
    other = BulkChecks(parts, Reconciler(parts))
    assert [each.check_due() for each in (bulk, other)] == [0, 0]
    assert asked(simulator) == [LIST]
    with parts.database.read() as connection:
        assert len(due_subjects.due_payments(connection, clock(), 100, [1])) == 12
    clock.forward(601)
    assert other.check_due() == 12


def test_what_was_read_before_the_budget_was_spent_is_recorded(
    parts: Runtime, simulator: Simulator, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One request of three is for the token.
    add_source(parts, base_url=simulator.url, requests_per_window=3)
    monkeypatch.setattr("receiver.banks.bcb.api.PAGE_SIZE", 30)
    claim(parts, simulator, clock, 100)
    # What an id that is listed twice says might stand on the page that was not read.
    assert BulkChecks(parts, Reconciler(parts)).check_due() == 60 - NEAR - 1
    assert asked(simulator) == [LIST] * 2
    assert statuses(parts, 60 - NEAR - 1) == {("completed", "confirmed")}
    # The others wait until the budget is renewed.
    assert found(parts, "FT99").status == "unknown"
    with parts.database.read() as connection:
        assert due_subjects.due_payments(connection, clock(), 100, [1]) == []
    clock.forward(3601)
    with parts.database.read() as connection:
        assert len(due_subjects.due_payments(connection, clock(), 100, [1])) == 40 + NEAR + 1


@pytest.mark.parametrize("may_be_asked", [False, True])
def test_what_another_source_has_due_for_longer_keeps_no_bulk_check_waiting(
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    bulk: BulkChecks,
    monkeypatch: pytest.MonkeyPatch,
    may_be_asked: bool,
) -> None:
    """Be its bank not to be asked, or its payments of accounts that have too few of them."""
    monkeypatch.setattr("receiver.reconcile.bulk.AT_ONCE", 12)
    other = add_source(parts, "other", base_url=simulator.url)
    for number in range(12):
        account = {"account_number": f"account {number}" if may_be_asked else "1046406142"}
        record(parts, delivery(parts, other), event(parts, f"elsewhere {number}", facts=account))
    if not may_be_asked:
        with parts.database.write() as connection:
            request_budget.take(connection, other.id, now=clock(), limit=1, window=timedelta(hours=1))
            request_budget.block(connection, other.id, clock() + timedelta(hours=1))
    catch_up(parts.database)
    clock.forward(1)
    claim(parts, simulator, clock, 12)
    assert bulk.check_due() == 12
    assert asked(simulator) == [LIST]


def test_payments_further_back_in_a_list_than_the_budget_reaches_are_asked_for_one_by_one_after_it(
    parts: Runtime, simulator: Simulator, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One request of three is for the token.
    add_source(parts, base_url=simulator.url, requests_per_window=3)
    monkeypatch.setattr("receiver.banks.bcb.api.PAGE_SIZE", 2)
    for each in range(50):
        book(simulator, clock, ("Completed", 0), payment_id=f"old{each}")
    claim(parts, simulator, clock, 12)
    reconciler = Reconciler(parts)
    bulk = BulkChecks(parts, reconciler)
    assert bulk.check_due() == 0
    assert asked(simulator) == [LIST] * 2
    clock.forward(3601)
    assert (bulk.check_due(), reconciler.check_due()) == (0, 4)
    # Four are asked for at once, and any two of them have the two requests that are left beside the token's.
    assert asked(simulator)[2:] == asked_alone(simulator)
    assert len(asked_alone(simulator)) == 2


def test_two_workers_check_each_payment_once(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks, worker: Worker
) -> None:
    claim(parts, simulator, clock, 30)
    other = BulkChecks(parts, Reconciler(parts))
    with ThreadPoolExecutor(2) as pool:
        done = sum(pool.map(lambda each: each.check_due(), (bulk, other)))
    # They may share the payments in any way: one that got but a single payment leaves it for a question of its own.
    with parts.database.read() as connection:
        left = len(due_subjects.due_payments(connection, clock(), 100, [1]))
    assert (done + left, left <= 1) == (30, True)
    worker.run_once()
    checks, subjects = table_of(Check), table_of(Subject)
    with parts.database.read() as connection:
        most = select(func.count()).select_from(checks).group_by(checks.c.subject_id)
        assert set(connection.execute(most).scalars()) == {1}
        assert connection.execute(select(func.count()).select_from(subjects)).scalar_one() == 30
    assert statuses(parts, 30) == {("completed", "confirmed")}


def test_a_payment_that_is_claimed_while_the_list_is_read_is_asked_for_once_more(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bulk: BulkChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(parts, simulator, clock, 12)
    read = BulkChecks._read

    def claim_meanwhile(self: BulkChecks, *given: object) -> None:
        read(self, *given)  # type: ignore[arg-type]
        tell(parts, deposit(transactionId="FT0", type="Debit"))
        catch_up(parts.database)

    monkeypatch.setattr(BulkChecks, "_read", claim_meanwhile)
    assert bulk.check_due() == 12
    with parts.database.read() as connection:
        assert [due.subject for due in due_subjects.due_payments(connection, clock(), 100, [1])] == ["FT0"]


def test_an_id_with_several_answers_has_none() -> None:
    reading = Reading()
    done, gone = Answer("Completed", "completed"), Answer("Reversed", "reversed")
    reading.add([("FT1", done), ("FT2", done), ("FT1", done)])
    reading.add([("FT2", gone), ("FT2", done)])
    # A fee has the id of its payment; however many zeros stand behind the point.
    fee, whole, same = (
        Answer("Completed", "completed", amounts=[Money(Decimal(each), "USD")]) for each in ("5", "7", "7.00")
    )
    reading.add([("FT3", fee), ("FT3", whole), ("FT3", fee), ("FT4", whole), ("FT4", same)])
    assert reading.answers == {"FT1": done, "FT2": None, "FT3": None, "FT4": whole}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("between", [0, NEAR])
@pytest.mark.parametrize("page_size", [12, 13, 20, 1000])
def test_an_id_with_several_answers_has_none_wherever_a_page_ends(
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    bulk: BulkChecks,
    monkeypatch: pytest.MonkeyPatch,
    page_size: int,
    between: int,
) -> None:
    monkeypatch.setattr("receiver.banks.bcb.api.PAGE_SIZE", page_size)
    claim(parts, simulator, clock, 12)
    for each in range(between):
        book(simulator, clock, ("Completed", 0), payment_id=f"other{each}")
    other = Payment("FT11", "1046406142", Decimal("5.00"), "USD", Script.of(("Reversed", 0)), clock())
    simulator.bank.payments.put("the other of FT11", other)
    for each in range(100):
        book(simulator, clock, ("Completed", 0), payment_id=f"new{each}")
    assert bulk.check_due() == 11
    assert len(asked(simulator)) <= 3
    with parts.database.read() as connection:
        assert [due.subject for due in due_subjects.due_payments(connection, clock(), 100, [1])] == ["FT11"]
