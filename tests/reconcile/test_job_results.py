"""The results of a job that has ended: fetched in the end, whatever the bank answers at first."""

import pytest
from bank import job
from conftest import StandingClock
from reconcile.conftest import tell

from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import JobPlan
from receiver.simulator.faults import Fault, Kind
from receiver.simulator.scripts import Script
from receiver.store import payments
from receiver.store.payments import CheckRecord, SubjectRecord
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker

RESULTS = "/v1/jobs/*/results"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is looked at holds no SQL of its own."""
    return sqlite_url


def told_of_a_job(parts: Runtime, simulator: Simulator) -> str:
    simulator.bank.job_plan = JobPlan(Script.of(("CompletedWithErrors", 0)), failed=1)
    made = simulator.bank.create_job(3, None, {})
    tell(parts, job(made.job_id, "CompletedWithErrors"))
    return made.job_id


def known(parts: Runtime, job_id: str) -> tuple[SubjectRecord, list[CheckRecord]]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        row = payments.find(connection, "bcb", "job", job_id)
        assert row is not None
        return row, list(payments.checks_of(connection, row.id))


@pytest.mark.parametrize(
    ("fault", "outcome", "wait"),
    [("429", "rate_limited", 601), ("hang-up", "unreachable", 3 * 3600)],
)
def test_where_the_bank_takes_no_questions_the_job_is_asked_for_anew_with_its_results(
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    worker: Worker,
    fault: Kind,
    outcome: str,
    wait: float,
) -> None:
    job_id = told_of_a_job(parts, simulator)
    simulator.faults.add(Fault(fault, path=RESULTS, seconds=600))
    worker.run_once()
    row, checks = known(parts, job_id)
    assert (row.status, [check.outcome for check in checks]) == ("unknown", [outcome])
    clock.forward(wait)
    worker.run_once()
    row, checks = known(parts, job_id)
    assert (row.status, row.agreement, len(payments.items_of(checks))) == ("completed", "confirmed", 3)


def test_a_token_that_the_results_refuse_is_replaced_at_once(
    parts: Runtime, simulator: Simulator, worker: Worker
) -> None:
    job_id = told_of_a_job(parts, simulator)
    simulator.faults.add(Fault("expired-token", path=RESULTS))
    worker.run_once()
    row, checks = known(parts, job_id)
    assert (row.status, len(payments.items_of(checks)), len(checks)) == ("completed", 3, 1)


def test_a_bank_that_names_a_time_at_the_results_is_left_alone_until_then(
    parts: Runtime, simulator: Simulator, clock: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    told_of_a_job(parts, simulator)
    simulator.faults.add(Fault("429", path=RESULTS, seconds=600))
    worker.run_once()
    clock.forward(590)
    with pytest.raises(BudgetSpent):
        BankSession(parts, source).ask(lambda client: client.get("/v1/system/time"))


@pytest.mark.parametrize("fault", [Fault("500"), Fault("not-json"), Fault("error", status=404)], ids=lambda f: f.kind)
def test_results_that_are_not_to_be_had_yet_are_asked_for_after_short_pauses(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, fault: Fault
) -> None:
    job_id = told_of_a_job(parts, simulator)
    simulator.faults.add(Fault(**{**vars(fault), "path": RESULTS, "count": 2}))
    worker.run_once()
    row, checks = known(parts, job_id)
    assert (row.status, row.agreement, payments.items_of(checks)) == ("completed", "confirmed", [])
    for seconds in (61, 600):
        assert row.due_at is not None
        clock.forward(seconds)
        worker.run_once()
        row, checks = known(parts, job_id)
    assert (len(payments.items_of(checks)), len(checks), row.due_at) == (3, 3, None)


def test_results_that_never_come_are_asked_for_four_times_more(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    job_id = told_of_a_job(parts, simulator)
    simulator.faults.add(Fault("error", status=403, path=RESULTS, count=None))
    worker.run_once()
    while (row := known(parts, job_id)[0]).due_at is not None:
        clock.forward((row.due_at - clock()).total_seconds())
        worker.run_once()
    assert len(known(parts, job_id)[1]) == 5
