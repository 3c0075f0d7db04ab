"""Asking the bank on demand: about what no callback named; and what the feed says where the bank does not know."""

from typing import Any

import pytest
from admin.looking import noted
from bank import job
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from reconcile.conftest import book, tell, tell_deposit
from web.reading import Headers, assert_problem, got

from receiver.admin import payments as acts
from receiver.model import NotPossible, SubjectKind
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import JobPlan
from receiver.simulator.scripts import Script
from receiver.store import feed, sources
from receiver.store.feed import Entry
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CHECK = "/api/v1/payments/bcb/FT1/check"


def entries(parts: Runtime) -> list[Entry]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return list(feed.read(connection, after=0, limit=100).entries)


def types(parts: Runtime) -> list[str]:
    return [entry.type for entry in entries(parts)]


@pytest.mark.usefixtures("source")
def test_a_payment_that_no_callback_named_is_found(
    client: FlaskClient, token: Headers, simulator: Simulator, clock: StandingClock, parts: Runtime
) -> None:
    book(simulator, clock, ("Completed", 0))
    answer = client.post(CHECK, headers=token)
    assert answer.status_code == 200, answer.text
    shown = answer.get_json()
    assert (shown["status"], [check["outcome"] for check in shown["checks"]]) == ("completed", ["answered"])
    assert got(client, "/api/v1/payments/bcb/FT1", token) == shown
    assert noted(parts) == [("token:app", "payment.checked", {"source": "bcb", "payment": "FT1"})]


@pytest.mark.usefixtures("simulator")
def test_what_nobody_named_and_the_bank_does_not_know_is_asked_for_once(
    client: FlaskClient, token: Headers, worker: Worker, clock: StandingClock, parts: Runtime
) -> None:
    shown = client.post(CHECK, headers=token).get_json()
    assert (shown["agreement"], shown["next_check_at"]) == ("unknown_to_bank", None)
    clock.forward(7200)
    worker.run_once()
    assert len(got(client, "/api/v1/payments/bcb/FT1", token)["checks"]) == 1
    assert types(parts) == []


@pytest.mark.usefixtures("source")
def test_who_may_not_ask_is_refused(client: FlaskClient, parts: Runtime, token: Headers) -> None:
    assert_problem(client.post(CHECK, headers=make_token(parts, "payments:read", name="reads")), 403, "payments:check")
    assert_problem(client.post(CHECK, headers=make_token(parts, sources=("other",), name="limited")), 404)
    assert_problem(client.post("/api/v1/payments/none/FT1/check", headers=token), 404)
    assert_problem(client.post(f"/api/v1/payments/bcb/{'x' * 201}/check", headers=token), 409, "characters")
    assert noted(parts) == []


def test_a_source_that_is_disabled_is_not_asked(
    client: FlaskClient, parts: Runtime, token: Headers, source: SourceRecord
) -> None:
    from receiver.admin import sources

    sources.disable(parts, "cli:test", source.name)
    assert_problem(client.post(CHECK, headers=token), 409, "not asked")


NOBODY = [
    ("standard_webhooks", "payment", "standard_webhooks has no API"),
    ("bcb", "payment", "no API credentials"),
    ("bcb", "job", "no API credentials"),
    ("banqup", "payment", "space is not known"),
    ("banking_circle", "job", "tells of payments alone"),
]


@pytest.mark.parametrize(("bank", "kind", "why"), NOBODY)
def test_where_there_is_nobody_to_ask_nothing_is_written_down(parts: Runtime, bank: str, kind: str, why: str) -> None:
    with parts.database.write() as connection:
        sources.add(
            connection, name="mute", bank=bank, environment="sandbox", base_url=None, options={}, now=parts.clock()
        )
    with pytest.raises(NotPossible, match=f"the bank was not asked: .*{why}"):
        acts.check(parts, "cli:test", "mute", "FT1", SubjectKind(kind))
    assert acts.listing(parts, SubjectKind(kind), limit=1) == []
    assert noted(parts) == []


def test_a_known_payment_of_a_source_without_credentials_is_409_and_gets_no_check(
    client: FlaskClient, parts: Runtime, token: Headers
) -> None:
    add_source(parts)
    tell_deposit(parts)
    assert_problem(client.post(CHECK, headers=token), 409, "no API credentials")
    assert got(client, "/api/v1/payments/bcb/FT1", token)["checks"] == []
    assert noted(parts) == []


@pytest.mark.usefixtures("source")
def test_an_id_that_leads_elsewhere_in_a_path_is_not_asked_about(parts: Runtime) -> None:
    with pytest.raises(NotPossible, match="can't stand in the path"):
        acts.check(parts, "cli:test", "bcb", "..")
    assert acts.listing(parts, SubjectKind.PAYMENT, limit=1) == []


@pytest.mark.usefixtures("simulator")
def test_the_feed_says_that_the_bank_does_not_know_after_three_answers_over_an_hour_and_the_end_of_it(
    client: FlaskClient,
    token: Headers,
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    worker: Worker,
) -> None:
    tell_deposit(parts)
    for seconds in (0, 10, 10, 3570):
        clock.forward(seconds)
        assert client.post(CHECK, headers=token).status_code == 200
    assert types(parts) == ["bcb.deposit"]
    for _ in range(2):
        clock.forward(30)
        client.post(CHECK, headers=token)
    assert types(parts) == ["bcb.deposit", "payment.unknown_to_bank", "exception.opened"]
    book(simulator, clock, ("Completed", 0))
    client.post(CHECK, headers=token)
    worker.run_once()
    assert types(parts)[3:] == ["payment.status_changed", "payment.known_to_bank", "exception.resolved"]


def test_what_was_confirmed_and_the_bank_stores_no_longer_stays_as_it_is_and_is_not_asked_for_without_end(
    client: FlaskClient,
    token: Headers,
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    worker: Worker,
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    before = types(parts)
    clock.forward(90 * 86400)
    simulator.bank.payments.clear()
    shown = client.post(CHECK, headers=token).get_json()
    # It may be a mistake of the bank's: it is asked again, for an hour.
    assert shown["next_check_at"] is not None
    for _ in range(30):
        clock.forward(600)
        worker.run_once()
    found = got(client, "/api/v1/payments/bcb/FT1", token)
    assert (found["status"], found["agreement"], found["next_check_at"]) == ("completed", "confirmed", None)
    assert len(found["checks"]) < 12
    assert types(parts) == before


def test_what_the_feed_says_of_a_payment_needs_no_second_call(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    data = entries(parts)[-1].data
    known = {name: data.get(name) for name in ("amount", "currency", "account", "direction")}
    assert known == {"amount": "1000.00", "currency": "USD", "account": "1046406142", "direction": "incoming"}


def made_job(simulator: Simulator, items: int = 3, failed: int = 1) -> str:
    simulator.bank.job_plan = JobPlan(Script.of(("CompletedWithErrors", 0)), failed=failed)
    return simulator.bank.create_job(items, None, {}).job_id


def test_a_job_is_shown_with_every_item(
    client: FlaskClient, token: Headers, parts: Runtime, simulator: Simulator, worker: Worker
) -> None:
    job_id = made_job(simulator)
    event_id = tell(parts, job(job_id, "CompletedWithErrors"))["events"][0]
    worker.run_once()
    shown = got(client, f"/api/v1/jobs/bcb/{job_id}", token)
    assert (shown["job_id"], shown["status"], shown["failed"], len(shown["items"])) == (job_id, "completed", 1, 3)
    first, second = shown["items"][:2]
    assert first == {
        "index": 0,
        "status": "failed",
        "http_status": 400,
        "error": "Currency not provisioned for this client",
        "result": None,
    }
    assert (second["status"], second["result"]) == ("completed", {"accountNumber": "2000000001"})
    last: Any = entries(parts)[-1]
    assert (last.type, last.data["items"], last.data["failed"]) == ("job.status_changed", 3, 1)
    for step in got(client, f"/api/v1/events/{event_id}", token)["timeline"]:
        assert "each_item" not in step.get("detail", {})


@pytest.mark.usefixtures("source")
def test_a_job_that_is_not_known_is_404(client: FlaskClient, token: Headers) -> None:
    assert_problem(client.get("/api/v1/jobs/bcb/none", headers=token), 404, "no such job")
