"""What is asked first, so that nothing starves; and when and why the bank is asked next."""

import itertools
import sqlite3
from collections.abc import Callable, Sized
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest
from conftest import StandingClock, add_source
from reconcile.conftest import book, tell_deposit
from reconcile.test_worker import state
from sqlalchemy import Connection
from sqlalchemy.event import listen
from store.made import delivery, event, record

from receiver.admin import payments as acts
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.model import Purpose, SubjectKind
from receiver.projection.projector import catch_up
from receiver.reconcile.checks import Reconciler
from receiver.reconcile.plan import PLAN
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store import claims, due_subjects, leases, request_budget, sources
from receiver.store.leases import Due, Lease
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker

HOUR = timedelta(hours=1)


def due_for(parts: Runtime, source: SourceRecord, purpose: Purpose, *names: str) -> None:
    with parts.database.write() as connection:
        subjects = [(source.id, "payment", name) for name in names]
        claims.ask_about(connection, subjects, parts.clock(), purpose)


def claim(parts: Runtime, source_ids: list[int], limit: int = 4, name: str = "a") -> list[Due]:
    lease = Lease(parts.clock(), parts.clock() + timedelta(minutes=2), name)
    with parts.database.write() as connection:
        order = due_subjects.sources_due(connection, list(PLAN), lease, source_ids)
        return leases.claim_planned(connection, order, lease, limit=limit)


def test_of_each_purpose_the_longest_due_comes_first_and_the_rest_in_the_order_of_the_plan(
    parts: Runtime, clock: StandingClock
) -> None:
    source, other = add_source(parts), add_source(parts, "other")
    for number in range(5):
        due_for(parts, source, Purpose.RECHECK, f"old-{number}")
        clock.forward(1)
    for number in range(5):
        due_for(parts, source, Purpose.CLAIM, f"new-{number}")
        clock.forward(1)
    due_for(parts, other, Purpose.PERSON, "elsewhere")
    due_for(parts, source, Purpose.LATE, "late")
    with parts.database.read() as connection:
        assert set(due_subjects.purposes_due(connection, clock())) == set(PLAN)
    taken = [{due.subject for due in claim(parts, [source.id], name=f"worker {number}")} for number in range(4)]
    assert taken == [
        # One of each, and what is left of the turn goes to the first of them.
        {"new-0", "late", "old-0", "new-1"},
        {"new-2", "old-1", "new-3", "new-4"},
        {"old-2", "old-3", "old-4"},
        set(),
    ]
    assert claim(parts, []) == []
    assert [due.subject for due in claim(parts, [source.id, other.id], name="last")] == ["elsewhere"]


@pytest.mark.usefixtures("source")
def test_nothing_is_due_where_nothing_is(parts: Runtime) -> None:
    with parts.database.read() as connection:
        assert due_subjects.purposes_due(connection, parts.clock()) == []
    assert Reconciler(parts).check_due() == 0


def test_what_a_request_was_made_for_is_counted_by_window(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 60), ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    clock.forward(11)
    worker.run_once()
    acts.check(parts, "cli:alice", "bcb", "FT1")

    def spent() -> dict[Purpose, int]:
        with parts.database.read() as connection:
            budget = request_budget.budget(connection, source.id, now=clock(), limit=300, window=HOUR)
            return request_budget.spent(connection, source.id, budget, HOUR)

    # The token, and the bank's public keys, are fetched by whoever is first.
    found = spent()
    assert (found[Purpose.RECHECK], found[Purpose.PERSON]) == (1, 1)
    assert found[Purpose.CLAIM] >= 1
    clock.forward(3600)
    assert spent() == {}
    with parts.database.write() as connection:
        request_budget.take(connection, source.id, now=clock(), limit=300, window=HOUR, purpose=Purpose.CLAIM)
    assert spent() == {Purpose.CLAIM: 1}


def test_what_is_swept_leaves_a_fifth_of_a_window_to_all_else(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    source = add_source(parts, base_url=simulator.url, requests_per_window=10)
    session = BankSession(parts, source, Purpose.SWEEP)
    for _ in range(7):
        session.ask(session.bank.clock)
    # The token was the eighth.
    with pytest.raises(BudgetSpent):
        session.ask(session.bank.clock)
    book(simulator, clock, ("Completed", 0))
    acts.check(parts, "cli:alice", "bcb", "FT1")
    assert state(parts)["status"] == "completed"


def test_when_and_why_the_bank_is_asked_next_is_said(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 60), ("Completed", 0))
    tell_deposit(parts)
    assert (state(parts)["next_check_at"], state(parts)["next_check_why"]) == (
        "2026-03-04T12:00:00.000000Z",
        "a callback names it, and the bank was not asked since",
    )
    worker.run_once()
    assert state(parts)["next_check_why"] == "its state is not final"
    until = clock() + timedelta(hours=2)
    with parts.database.write() as connection:
        request_budget.block(connection, source.id, until)
    said = state(parts)
    assert said["next_check_at"] == "2026-03-04T14:00:00.000000Z"
    assert said["next_check_why"] == (
        "its state is not final; the bank of bcb has said to wait (429): no request before 2026-03-04 14:00:00 UTC"
    )
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=False)
    said = state(parts)
    assert (said["next_check_at"], said["next_check_why"]) == (
        None,
        "its state is not final; source bcb is not enabled",
    )
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=True)
    clock.forward(7200)
    worker.run_once()
    assert (state(parts)["next_check_at"], state(parts)["next_check_why"]) == (None, "its state is final")


def test_what_a_bank_that_may_not_be_asked_is_due_for_waits_unclaimed(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    record(parts, delivery(parts, source), event(parts, "FT1"))
    catch_up(parts.database)
    worker.run_once()
    with parts.database.write() as connection:
        request_budget.block(connection, source.id, clock() + HOUR)
    record(parts, delivery(parts, source), event(parts, "FT2"))
    asked = len(simulator.requests.entries())
    worker.run_once()
    assert len(simulator.requests.entries()) == asked
    found, checks, following = acts.with_checks(parts, "bcb", "FT2", SubjectKind.PAYMENT)
    assert (found.due_at, found.attempts, checks) == (clock(), 0, [])
    assert following.at == clock() + HOUR


def test_nothing_is_written_where_all_that_is_due_is_of_a_bank_that_may_not_be_asked(
    parts: Runtime, clock: StandingClock
) -> None:
    """Callbacks would wait for it: each writer on SQLite waits for all others."""
    source = add_source(parts)
    add_source(parts, "other")
    due_for(parts, source, Purpose.CLAIM, "FT1")
    with parts.database.write() as connection:
        request_budget.take(connection, source.id, now=clock(), limit=300, window=HOUR)
        request_budget.block(connection, source.id, clock() + HOUR)
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    listen(parts.database.engine, "before_cursor_execute", note)
    assert Reconciler(parts).check_due() == 0
    assert [statement for statement in sent if not statement.startswith("SELECT") and statement != "BEGIN"] == []
    assert any("subjects" in statement for statement in sent)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_due_of_one_source_costs_another_nothing(parts: Runtime, clock: StandingClock) -> None:
    source, other = add_source(parts), add_source(parts, "other")
    clock.forward(1)
    due_for(parts, other, Purpose.CLAIM, *(f"own {number}" for number in range(3)))
    lease = Lease(clock(), clock() + timedelta(minutes=2), "a")

    def steps(connection: Connection, act: Callable[[Connection], Sized]) -> int:
        """How many instructions SQLite takes."""
        taken = itertools.count()
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        driver.set_progress_handler(lambda: next(taken) < 0, 1)
        try:
            assert len(act(connection)) > 0
        finally:
            driver.set_progress_handler(None, 1)
        return next(taken)

    def take() -> list[int]:
        with parts.database.read() as connection:
            looks = [
                steps(connection, lambda on: due_subjects.sources_due(on, list(PLAN), lease, [other.id])),
                steps(connection, lambda on: due_subjects.due_payments(on, clock(), 10, [other.id])),
            ]
        with suppress(_NotKept), parts.database.write() as connection:
            order = {Purpose.CLAIM: [other.id]}
            looks.append(steps(connection, lambda on: leases.claim_planned(on, order, lease, limit=2)))
            raise _NotKept
        return looks

    alone = take()
    clock.now -= timedelta(hours=1)
    due_for(parts, source, Purpose.CLAIM, *(f"FT{number}" for number in range(500)))
    clock.now += timedelta(hours=1)
    assert take() == alone


class _NotKept(Exception):
    """What was claimed is rolled back."""
