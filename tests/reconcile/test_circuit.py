"""A bank that is down is not asked but to see whether it is back, by one process alone; and spared on its return."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from conftest import StandingClock
from reconcile.conftest import book, tell_deposit
from reconcile.test_worker import state
from store.made import delivery, event, record

from receiver.admin import health
from receiver.admin import payments as acts
from receiver.bank_client.session import BankSession, BudgetSpent, CircuitOpen
from receiver.banks.errors import BankError, Unreachable
from receiver.banks.http import HttpClient
from receiver.model import Purpose
from receiver.projection.projector import catch_up
from receiver.reconcile.checks import Reconciler
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.faults import Fault, Kind
from receiver.store import circuits, payments
from receiver.store.circuits import Circuit
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker


def circuit(parts: Runtime, source: SourceRecord) -> Circuit:
    with parts.database.read() as connection:
        return circuits.find(connection, source.id)


def asked(simulator: Simulator) -> int:
    return sum(1 for seen in simulator.requests.entries() if seen.path.startswith("/v1/payments/"))


def go_down(parts: Runtime, simulator: Simulator, source: SourceRecord, kind: Kind = "500") -> None:
    simulator.faults.add(Fault(kind, count=None))
    session = BankSession(parts, source)
    for _ in range(parts.settings.circuit_failures):
        with pytest.raises(BankError):
            session.ask(session.bank.clock)


def work_through(worker: Worker, clock: StandingClock, until: datetime) -> None:
    while clock() < until:
        worker.run_once()
        clock.forward(15)


@pytest.mark.parametrize("kind", ["500", "hang-up"])
def test_failures_in_a_row_open_it_and_what_is_due_waits_without_an_attempt(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker, kind: Kind
) -> None:
    go_down(parts, simulator, source, kind)
    opened_at = clock()
    assert circuit(parts, source).opened_at == opened_at
    before = len(simulator.requests.entries())
    tell_deposit(parts)
    worker.run_once()
    assert len(simulator.requests.entries()) == before
    found, checks, following = acts.with_checks(parts, "bcb", "FT1")
    assert (checks, found.attempts) == ([], 0)
    assert following.at == circuit(parts, source).retry_at
    assert "the bank of bcb is down since 2026-03-04 12:00:00 UTC (" in following.why
    (shown,) = health.every(parts)
    assert (shown.budget.down_since, shown.budget.tried_at) == (opened_at, following.at)


def test_pauses_between_probes_double_up_to_the_longest_and_one_question_closes_it(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    go_down(parts, simulator, source)
    began, pauses = clock(), []
    for _ in range(10):
        pause = circuit(parts, source).retry_at
        assert pause is not None
        pauses.append((pause - clock()).total_seconds())
        before = len(simulator.requests.entries())
        clock.now = pause - timedelta(seconds=1)
        worker.run_once()
        assert len(simulator.requests.entries()) == before
        clock.now = pause
        worker.run_once()
        # A token now and then besides.
        assert 1 <= len(simulator.requests.entries()) - before <= 2
    # A fifth more or less by chance.
    assert pauses == [pytest.approx(min(30 * 2**tried, 600), rel=0.21) for tried in range(10)]
    pause = circuit(parts, source).retry_at
    assert circuit(parts, source).opened_at == began
    # The one that tried counted no attempt, and is due with the next try.
    found, _, following = acts.with_checks(parts, "bcb", "FT1")
    assert (found.attempts, following.at) == (0, pause)
    simulator.faults.clear()
    work_through(worker, clock, clock() + timedelta(minutes=13))
    assert circuit(parts, source).opened_at is None
    assert state(parts)["status"] == "completed"


def test_a_pause_between_probes_that_is_longer_than_any_of_a_payment_is_no_wrong_clock(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord
) -> None:
    book(simulator, clock, ("Completed", 0))
    hasty = {"recheck_max_seconds": 60, "circuit_seconds": 600, "circuit_failures": 1}
    checks = Reconciler(replace(parts, settings=parts.settings.model_copy(update=hasty)))
    simulator.faults.add(Fault("500", count=None))
    tell_deposit(parts)
    catch_up(parts.database)
    assert checks.check_due() == 1
    assert circuit(parts, source).opened_at == clock()
    assert checks.bring_forward() == 0


@pytest.mark.parametrize(("fault", "is_down"), [("500", True), ("error", False), ("not-json", False), ("429", False)])
def test_what_the_bank_says_in_words_does_not_open_it(
    parts: Runtime, simulator: Simulator, source: SourceRecord, fault: Kind, is_down: bool
) -> None:
    session = BankSession(parts, source)
    session.ask(session.bank.clock)
    simulator.faults.add(Fault(fault, path="/v1/system/time", count=None, status=404))
    for _ in range(6):
        with pytest.raises((BankError, BudgetSpent)):
            session.ask(session.bank.clock)
    # Once it was said to wait, nothing more is asked.
    assert (circuit(parts, source).opened_at is not None) == is_down


def test_an_answer_in_between_begins_the_count_anew(parts: Runtime, simulator: Simulator, source: SourceRecord) -> None:
    session = BankSession(parts, source)
    for _ in range(3):
        simulator.faults.add(Fault("500", path="/v1/system/time", count=4))
        for _ in range(4):
            with pytest.raises(BankError):
                session.ask(session.bank.clock)
        session.ask(session.bank.clock)
    assert circuit(parts, source).is_calm


def test_of_many_at_once_one_alone_tries_whether_it_is_back(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord
) -> None:
    go_down(parts, simulator, source)
    clock.forward(60)
    held = threading.Event()
    entered: list[int] = []

    def question(_client: HttpClient) -> None:
        entered.append(threading.get_ident())
        held.wait(20)

    def ask(_number: int) -> str:
        session = BankSession(parts, source, Purpose.CLAIM)
        try:
            session.ask(question)
        except CircuitOpen:
            return "not asked"
        return "asked"

    simulator.faults.clear()
    # The token that the probe needs is fetched by it too.
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, number) for number in range(8)]
        waited = threading.Event()
        while sum(each.done() for each in asking) < 7:
            waited.wait(0.05)
        held.set()
        outcomes = [each.result() for each in asking]
    assert sorted(outcomes) == ["asked", *["not asked"] * 7]
    assert len(entered) == 1


def test_on_its_return_questions_grow_step_by_step(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    names = [f"FT{number}" for number in range(40)]
    for name in names:
        book(simulator, clock, ("Completed", 0), payment_id=name)
    go_down(parts, simulator, source)
    record(parts, delivery(parts, source), *(event(parts, name, amount="1000.00", currency="USD") for name in names))
    catch_up(parts.database)
    simulator.faults.clear()
    clock.forward(60)
    grown = []
    for _ in range(5):
        worker.run_once()
        grown.append(asked(simulator))
        clock.forward(30)
    # One question for the bank's keys finds that it is back; then 4, 8, 16 … in all.
    assert grown == [4, 8, 16, 32, 40]
    with parts.database.read() as connection:
        assert len(payments.listing(connection, "payment", statuses=["completed"], limit=50)) == 40


def test_a_person_may_try_at_any_time(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    go_down(parts, simulator, source)
    acts.check(parts, "cli:alice", "bcb", "FT1")
    assert [check["outcome"] for check in state(parts)["checks"]] == ["bank_failed"]
    assert circuit(parts, source).opened_at is not None
    simulator.faults.clear()
    acts.check(parts, "cli:alice", "bcb", "FT1")
    assert state(parts)["status"] == "completed"
    assert circuit(parts, source).opened_at is None


def test_a_probe_that_dies_is_another_s_after_its_lease(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord
) -> None:
    go_down(parts, simulator, source)
    clock.forward(60)
    with parts.database.write() as connection:
        most = timedelta(minutes=10)
        assert circuits.enter(connection, source.id, now=clock(), longest=most, is_person=False).wait is None
    simulator.faults.clear()
    session = BankSession(parts, source)
    with pytest.raises(CircuitOpen):
        session.ask(session.bank.clock)
    clock.forward(circuits.PROBE.total_seconds())
    session.ask(session.bank.clock)
    assert circuit(parts, source).opened_at is None


@pytest.mark.parametrize("error", [Unreachable("no answer came"), RuntimeError("not put")])
def test_what_was_asked_before_it_opened_and_fails_late_ends_no_probe(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, error: Exception
) -> None:
    def asked_until(ends: threading.Event, error: Exception | None) -> Future[None]:
        begun = threading.Event()

        def question(_client: HttpClient) -> None:
            begun.set()
            assert ends.wait(20)
            if error is not None:
                raise error

        asking = pool.submit(BankSession(parts, source).ask, question)
        assert begun.wait(20)
        return asking

    late, probed = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        before = asked_until(late, error)
        go_down(parts, simulator, source)
        simulator.faults.clear()
        clock.forward(60)
        probe = asked_until(probed, None)
        open_one = circuit(parts, source)
        late.set()
        assert before.exception() is error
        found = circuit(parts, source)
        assert found.probing_until == clock() + circuits.PROBE
        assert (found.retry_at, found.probes) == (open_one.retry_at, 0)
        session = BankSession(parts, source)
        with pytest.raises(CircuitOpen):
            session.ask(session.bank.clock)
        probed.set()
        assert probe.exception() is None
    assert circuit(parts, source).opened_at is None


def test_a_probe_that_fails_after_its_lease_ends_none_that_has_followed(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord
) -> None:
    pauses = timedelta(minutes=1), timedelta(minutes=10)

    def enter() -> datetime | None:
        with parts.database.write() as connection:
            entered = circuits.enter(connection, source.id, now=clock(), longest=pauses[1], is_person=False)
        assert entered.wait is None
        return entered.probe

    def fail(probe: datetime | None) -> Circuit:
        with parts.database.write() as connection:
            circuits.fail(connection, source.id, now=clock(), most=5, pauses=pauses, error="gone", probe=probe)
        return circuit(parts, source)

    go_down(parts, simulator, source)
    clock.forward(60)
    first = enter()
    clock.forward(circuits.PROBE.total_seconds())
    second = enter()
    assert first is not None
    with parts.database.write() as connection:
        circuits.leave(connection, source.id, first)
    found = fail(first)
    assert (found.probing_until, found.probes) == (second, 0)
    found = fail(second)
    assert (found.probing_until, found.probes, found.retry_at) == (None, 1, clock() + 2 * pauses[0])


def test_the_log_says_when_it_goes_and_when_it_is_back(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "receiver.bank_client.circuit"):
        go_down(parts, simulator, source)
        simulator.faults.clear()
        clock.forward(60)
        session = BankSession(parts, source)
        session.ask(session.bank.clock)
    gone, back = caplog.messages
    assert gone.startswith("the bank of bcb is down, and not asked until it is back: POST /auth/token: 500")
    assert back == "the bank of bcb is back"
