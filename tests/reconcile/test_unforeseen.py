"""A worker goes on whatever happens: the web server ends where it does."""

import html
import threading

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_source, app_over
from reconcile.conftest import book, tell_deposit
from reconcile.test_worker import state
from sqlalchemy import update
from store.test_retention import DAY
from web.reading import assert_problem, get, got
from web.staff.signed_in import signed_in

from receiver.admin import health, standing, sweeps
from receiver.admin.diagnosis import examine
from receiver.model import Role
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store.database import StoreUnavailable
from receiver.store.tables import Source, table_of
from receiver.worker import loop
from receiver.worker.loop import Worker

STACK_BYTES = (1 << 47) - (1 << 20)
"""No thread can be started that wants so much."""

MISSING = "there is no bank 'moon' here (any more): it is not asked, and callbacks get 503"


def send(parts: Runtime, name: str) -> int:
    signed = BankSigner(parts.clock).sign(deposit(transactionId="FT2"), f"/webhooks/{name}")
    return app_over(parts).test_client().post(signed.path, data=signed.body, headers=signed.headers).status_code


def of_another_release(parts: Runtime, name: str) -> None:
    """Have a source, with a payment that is due, be of a bank that this release does not have."""
    add_source(parts, name, base_url="http://127.0.0.1:9")
    assert send(parts, name) == 200
    with parts.database.write() as connection:
        sources = table_of(Source)
        connection.execute(update(sources).where(sources.c.name == name).values(bank="moon"))


@pytest.mark.parametrize("name", ["a", "z"])
def test_a_source_whose_bank_there_is_not_stops_no_other(
    name: str,
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    worker: Worker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    of_another_release(parts, name)
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    for _ in range(3):
        worker.run_once()
        clock.forward(2 * DAY)
    assert state(parts)["status"] == "completed"
    assert [record.message for record in caplog.records if record.exc_info] == []
    assert [each.source.name for each in health.every(parts)] == ["bcb"]
    assert [each.source for each in standing.state(parts, None).sources] == ["bcb"]
    assert {each.source: each.hindrance for each in sweeps.status(parts)}[name] == MISSING
    assert state(parts, "FT2", source=name)["next_check_why"].endswith(MISSING)
    assert send(parts, name) == 503
    found = [each for each in examine(parts) if each.what.startswith(name)]
    assert [(each.state, each.what) for each in found] == [("fail", f"{name} bank")]


@pytest.mark.usefixtures("source")
def test_a_source_whose_bank_there_is_not_hides_no_other_from_whoever_looks(
    parts: Runtime, token: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    of_another_release(parts, "moon")
    catch_up(parts.database)
    client = app_over(parts).test_client()
    figures = client.get("/metrics").text
    assert "receiver_database_up 1" in figures
    assert 'receiver_bank_budget_remaining{source="bcb"}' in figures
    assert 'receiver_payments{agreement="unconfirmed",source="moon",status="unknown"} 1' in figures
    assert {each["source"] for each in got(client, "/api/v1/days", token)["data"]} == {"bcb"}
    assert got(client, "/api/v1/days", token, source="moon")["data"] == []
    (event,) = got(client, "/api/v1/events", token, source="moon")["data"]
    for path in ("/api/v1/days/moon/2026-03-03", f"/api/v1/events/{event['id']}/payload"):
        assert_problem(get(client, path, token), 409, MISSING[1:])
    viewer = signed_in(app_over(parts), parts, Role.VIEWER)
    assert MISSING[1:] in html.unescape(viewer.get("/staff/days").text)
    assert MISSING[1:] in html.unescape(viewer.get("/staff/sources/moon").text)
    assert [record.message for record in caplog.records if record.exc_info] == []


@pytest.mark.usefixtures("source")
def test_a_worker_that_can_start_no_threads_goes_on_once_it_can(
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(loop, "TROUBLE_SECONDS", 0)
    monkeypatch.setattr(loop, "IDLE_SECONDS", 0)
    # What was claimed when no thread could be started is claimed anew once its lease is over.
    lease = parts.settings.lease_seconds
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    stop = threading.Event()
    rounds = 0

    def watch() -> int:
        nonlocal rounds
        rounds += 1
        clock.forward(lease + 1)
        if "a round of the worker failed" in caplog.text:
            threading.stack_size(0)
        if rounds > 100 or state(parts)["status"] == "completed":
            stop.set()
        return 0

    threading.stack_size(STACK_BYTES)
    try:
        Worker(parts, [watch]).run(stop)
    finally:
        threading.stack_size(0)
    assert state(parts)["status"] == "completed"
    assert "can't start new thread" in caplog.text


def test_what_fails_first_in_a_round_keeps_nothing_else_from_it(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "TROUBLE_SECONDS", 0)
    stop = threading.Event()

    def fail(_: object) -> None:
        raise ZeroDivisionError

    def lacks_the_database() -> int:
        raise StoreUnavailable("a statement that takes too long")

    def chore() -> int:
        stop.set()
        return 0

    monkeypatch.setattr(loop, "catch_up", fail)
    Worker(parts, [lacks_the_database, chore]).run(stop)
    assert "ZeroDivisionError" in caplog.text
    assert "a statement that takes too long" in caplog.text
