"""Late deliveries: signed rightly, but too long ago or ahead. They wait until the bank, or a person, confirms them."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from signal import SIGKILL
from typing import Any

import pytest
from bank import BankSigner, Signed, deposit, job
from conftest import KEY, StandingClock, add_source, app_over, make_token
from reconcile.conftest import book
from servers import environment
from sqlalchemy import select
from store import made
from store.race import read
from web.rows import rows
from werkzeug.test import TestResponse

from receiver.admin import deliveries as acts
from receiver.model import NotPossible
from receiver.reconcile import findings
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import JobPlan, Payment
from receiver.simulator.faults import Fault
from receiver.simulator.scripts import Script
from receiver.store import late
from receiver.store.database import StoreUnavailable
from receiver.store.feed import Entry
from receiver.store.late import NewLate
from receiver.store.sources import SourceRecord
from receiver.store.tables import Check, Delivery, Event, HeldEvent, Subject, table_of
from receiver.web import create_app
from receiver.worker.loop import Worker

OLD = 3600

pytestmark = pytest.mark.usefixtures("source")
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where nothing depends on the kind of database."""


def post(parts: Runtime, signed: Signed, **more: Any) -> TestResponse:
    return app_over(parts).test_client().post(signed.path, data=signed.body, headers=signed.headers, **more)


def signed_late(parts: Runtime, body: bytes | dict[str, Any] | None = None, *, age: float = OLD, **how: Any) -> Signed:
    """A callback that was signed so many seconds ago, ahead where that is negative."""
    at = str(int(parts.clock().timestamp() - age))
    return BankSigner(parts.clock).sign(deposit(transactionId="FT1") if body is None else body, timestamp=at, **how)


def tell_late(parts: Runtime, body: dict[str, Any] | None = None, **how: Any) -> Signed:
    signed = signed_late(parts, body, **how)
    assert post(parts, signed).status_code == 401
    return signed


def verdicts(parts: Runtime) -> list[str]:
    return [str(row.verdict) for row in sorted(rows(parts, Delivery), key=lambda row: row.id)]


def told(parts: Runtime) -> list[str]:
    return [entry.type for entry in about_payments(parts)]


def about_payments(parts: Runtime) -> list[Entry]:
    """What the feed says, but for what a person has to look at: that has tests of its own."""
    return [entry for entry in read(parts) if not entry.type.startswith("exception.")]


def outcome(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, (answer.get_json(force=True) or {}).get("status", "")


@SQLITE
@pytest.mark.parametrize("age", [301, -301, 10**8])
def test_it_is_answered_401_and_stored_whole_and_the_bank_is_asked_at_once(
    parts: Runtime, simulator: Simulator, age: int
) -> None:
    body = deposit(transactionId="FT1", transactionDetails="x" * 100_000)
    signed = tell_late(parts, body, age=age)
    (row,) = rows(parts, Delivery)
    assert (row.verdict, row.reason, bytes(row.body)) == ("late", "timestamp_stale", signed.body)
    assert row.detail == f"{abs(age)} s {'old' if age > 0 else 'ahead'}, 300 s allowed"
    assert (rows(parts, Event), told(parts)) == ([], [])
    Worker(parts).run_once()
    assert [seen.path for seen in simulator.requests.entries() if "payments" in seen.path] == [
        "/v1/payments/FT1/status"
    ]


def test_the_bank_s_confirmation_makes_it_an_event_that_is_marked_late(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    signed = tell_late(parts)
    clock.forward(1)
    worker.run_once()
    (event,) = rows(parts, Event)
    assert (event.type, event.subject, event.late, event.proof) == ("bcb.deposit", "FT1", True, "signature")
    assert event.received_at == clock()
    assert [(entry.type, entry.event_id) for entry in about_payments(parts)] == [
        ("bcb.deposit", event.id),
        ("payment.status_changed", event.id),
    ]
    assert about_payments(parts)[0].data["late"] is True
    (payment,) = rows(parts, Subject)
    assert (payment.status, payment.agreement, payment.claimed_status) == ("completed", "confirmed", "completed")
    assert (payment.amount, payment.currency, payment.due_at) == ("1000.00", "USD", None)
    (row,) = rows(parts, Delivery)
    assert (row.verdict, row.received_at) == ("accepted", clock() - timedelta(seconds=1))
    assert rows(parts, HeldEvent) == []
    clock.forward(7200)
    assert outcome(post(parts, signed)) == (200, "duplicate")
    assert verdicts(parts) == ["accepted"]


@SQLITE
def test_a_job_is_confirmed_by_its_own_call(parts: Runtime, simulator: Simulator, worker: Worker) -> None:
    simulator.bank.job_plan = JobPlan(Script.of(("Completed", 0)))
    made_job = simulator.bank.create_job(3, None, {})
    tell_late(parts, job(made_job.job_id))
    worker.run_once()
    assert [(row.type, row.late) for row in rows(parts, Event)] == [("bcb.job.completed", True)]
    assert any(seen.path == f"/v1/jobs/{made_job.job_id}" for seen in simulator.requests.entries())


@SQLITE
@pytest.mark.parametrize("said", ["Pending", "Reversed", "unknown"])
def test_it_waits_for_as_long_as_the_bank_does_not_confirm_it(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, said: str
) -> None:
    book(simulator, clock, (said, 0))
    tell_late(parts)
    for _ in range(3):
        worker.run_once()
        clock.forward(3600)
    assert rows(parts, Check) != []
    assert (verdicts(parts), rows(parts, Event)) == (["late"], [])
    assert "bcb.deposit" not in told(parts)


@SQLITE
def test_it_is_confirmed_once_the_bank_is_done_with_it(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 25), ("Completed", 0))
    simulator.faults.add(Fault("500", path="/v1/payments/*"))
    tell_late(parts)
    for _ in range(6):
        worker.run_once()
        clock.forward(30)
    assert [row.late for row in rows(parts, Event)] == [True]


@SQLITE
def test_a_payment_that_is_settled_already_is_asked_for_once_more(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    post(parts, BankSigner(clock).sign(deposit(transactionId="FT1")))
    worker.run_once()
    fee = deposit(transactionId="FT1", value={"amount": "2.50", "currency": "USD"})
    tell_late(parts, fee)
    worker.run_once()
    assert sorted((row.amount, row.late) for row in rows(parts, Event)) == [("1000.00", False), ("2.50", True)]


@SQLITE
def test_a_retry_while_it_waits_is_401_and_stored_once(parts: Runtime, clock: StandingClock) -> None:
    signed = tell_late(parts)
    for _ in range(3):
        clock.forward(60)
        assert post(parts, signed).status_code == 401
    assert verdicts(parts) == ["late"]
    assert len(rows(parts, HeldEvent)) == 1


def test_retries_in_two_processes_at_once_are_stored_once(parts: Runtime) -> None:
    signed = signed_late(parts)
    apps = [create_app(parts), create_app(parts)]
    ready = threading.Barrier(8)

    def send(number: int) -> int:
        ready.wait()
        client = apps[number % 2].test_client()
        return client.post(signed.path, data=signed.body, headers=signed.headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(8))) == {401}
    assert verdicts(parts) == ["late"]
    assert len(rows(parts, HeldEvent)) == 1


def test_its_nonce_with_another_body_is_plainly_refused(parts: Runtime) -> None:
    tell_late(parts, nonce="n-1")
    tell_late(parts, deposit(transactionId="FT2"), nonce="n-1")
    fresh = BankSigner(parts.clock).sign(deposit(transactionId="FT3"), nonce="n-1")
    assert post(parts, fresh).status_code == 401
    assert sorted(row.reason for row in rows(parts, Delivery)) == ["nonce_reused", "nonce_reused", "timestamp_stale"]


def test_one_that_was_signed_ahead_is_accepted_once_its_time_has_come(parts: Runtime, clock: StandingClock) -> None:
    signed = tell_late(parts, age=-400)
    clock.forward(200)
    assert outcome(post(parts, signed)) == (200, "accepted")
    assert [row.late for row in rows(parts, Event)] == [False]
    assert (verdicts(parts), rows(parts, HeldEvent)) == (["accepted"], [])
    assert outcome(post(parts, signed)) == (200, "duplicate")


@SQLITE
def test_what_the_bank_tells_anew_meanwhile_is_told_once(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_late(parts)
    clock.forward(1)
    assert outcome(post(parts, BankSigner(clock).sign(deposit(transactionId="FT1")))) == (200, "accepted")
    worker.run_once()
    assert [row.late for row in rows(parts, Event)] == [False]
    assert (verdicts(parts), told(parts).count("bcb.deposit")) == (["duplicate", "accepted"], 1)


@SQLITE
def test_an_old_callback_that_was_accepted_once_is_no_way_in(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    captured = BankSigner(clock).sign(deposit(transactionId="FT1"))
    post(parts, captured)
    clock.forward(90 * 86400)
    assert outcome(post(parts, captured)) == (200, "duplicate")
    with parts.database.write() as connection:
        # As if its nonce had been forgotten.
        connection.execute(table_of(Delivery).update().values(nonce=None))
    assert post(parts, captured).status_code == 401
    worker.run_once()
    assert len(rows(parts, Event)) == 1


@SQLITE
def test_from_an_address_that_is_not_allowed_it_is_plainly_refused(parts: Runtime, simulator: Simulator) -> None:
    add_source(parts, "strict", base_url=simulator.url, allowed_addresses=["203.0.113.0/24"])
    signed = signed_late(parts, path="/webhooks/strict")
    assert post(parts, signed).status_code == 401
    assert post(parts, signed, environ_base={"REMOTE_ADDR": "203.0.113.9"}).status_code == 401
    assert sorted((row.verdict, row.reason) for row in rows(parts, Delivery)) == [
        ("late", "timestamp_stale"),
        ("rejected", "address_not_allowed"),
    ]


@SQLITE
def test_of_the_cuts_of_its_text_the_genuine_one_alone_waits(parts: Runtime) -> None:
    """Over the wire; `tests/banks` tries every one. No window of time narrows the timestamps of what is late."""
    client, path = create_app(parts).test_client(), "/webhooks/bcb/deposits"
    signed = signed_late(parts, path=path, nonce="1234567890POST")
    text = "{Bcb-Timestamp}{Bcb-Nonce}POST".format_map(signed.headers).encode() + path.encode() + signed.body
    begin = text.index(path.encode())
    for end_of_stamp in (9, 10, 11):
        for end_of_path in range(begin + len("/webhooks/"), begin + len(path) + 4):
            headers = {
                **signed.headers,
                "Bcb-Timestamp": text[:end_of_stamp].decode(),
                "Bcb-Nonce": text[end_of_stamp : begin - 4].decode(),
            }
            raw = {"RAW_URI": text[begin:end_of_path].decode()}
            answer = client.post(path, data=text[end_of_path:], headers=headers, environ_overrides=raw)
            assert answer.status_code in (401, 404)
    (row,) = rows(parts, Delivery, verdict="late")
    assert (row.nonce, row.path, bytes(row.body)) == ("1234567890POST", path, signed.body)


@SQLITE
@pytest.mark.parametrize("body", [b"", b"deposits{}", b"null"])
def test_a_body_that_could_be_the_rest_of_a_path_never_waits(parts: Runtime, clock: StandingClock, body: bytes) -> None:
    accepted = BankSigner(clock).sign(body)
    assert outcome(post(parts, accepted)) == (200, "accepted")
    assert post(parts, signed_late(parts, body)).status_code == 401
    clock.forward(OLD)
    assert outcome(post(parts, accepted)) == (200, "duplicate")
    assert sorted(verdicts(parts)) == ["accepted", "rejected"]


@SQLITE
def test_it_takes_no_place_of_the_rejected_and_is_never_dropped(parts: Runtime) -> None:
    settings = parts.settings.model_copy(update={"rejected_max": 10})
    few = Runtime(settings, parts.database, parts.encryption, parts.clock)
    for number in range(15):
        tell_late(few, deposit(transactionId=f"FT{number}"))
        forged = signed_late(few)
        assert post(few, Signed(forged.path, b"{}", forged.headers)).status_code == 401
    assert [verdicts(few).count(verdict) for verdict in ("late", "rejected")] == [15, 10]


@SQLITE
def test_a_person_accepts_what_no_bank_confirms(parts: Runtime, clock: StandingClock) -> None:
    add_source(parts, "alone")
    tell_late(parts, path="/webhooks/alone")
    Worker(parts).run_once()
    (row,) = rows(parts, Delivery)
    assert row.verdict == "late"
    (held,) = acts.tells(parts, row.id)
    assert (held.event["type"], held.subject, held.confirmed_at) == ("bcb.deposit", "FT1", None)
    recorded = acts.accept(parts, "cli:alice", row.id, "the payer has shown the transfer")
    (event,) = rows(parts, Event)
    assert (recorded.event_ids, event.late, event.received_at) == ((event.id,), True, clock())
    assert told(parts) == ["bcb.deposit"]
    with pytest.raises(NotPossible, match="is accepted, and only a late one"):
        acts.accept(parts, "cli:alice", row.id, "once more")
    assert acts.tells(parts, row.id) == []


def test_it_can_be_told_apart_in_the_list_of_events(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    for payment in ("FT1", "FT2"):
        book(simulator, clock, ("Completed", 0), payment_id=payment)
    tell_late(parts)
    post(parts, BankSigner(clock).sign(deposit(transactionId="FT2")))
    worker.run_once()
    client, token = create_app(parts).test_client(), make_token(parts)

    def listed(query: str) -> list[tuple[str, bool]]:
        found = client.get(f"/api/v1/events?{query}", headers=token).get_json()["data"]
        return [(event["payment_id"], event["late"]) for event in found]

    assert listed("late=true") == [("FT1", True)]
    assert listed("late=true&source=bcb&type=bcb.deposit") == [("FT1", True)]
    assert listed("late=false") == [("FT2", False)]
    assert sorted(listed("")) == [("FT1", True), ("FT2", False)]
    refused = client.get("/api/v1/events?late=yes", headers=token)
    assert (refused.status_code, refused.get_json()["detail"]) == (400, "`late` takes `true` or `false`.")


@SQLITE
def test_what_can_not_be_written_down_is_503(parts: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """So whatever is answered 401 as late is on disk."""

    def fail(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr("receiver.inbox.inbox.hold_all", fail)
    assert post(parts, signed_late(parts)).status_code == 503


# Several events in one delivery, several workers, and what a kill leaves


def hold_two(parts: Runtime, source: SourceRecord, *names: str) -> str:
    delivery = made.delivery(parts, source)
    events = [made.event(parts, name) for name in names]
    with parts.database.write() as connection:
        late.hold(connection, NewLate(delivery, [*events, without_subject(parts)], "timestamp_stale", ""))
    return delivery.id


def without_subject(parts: Runtime) -> Any:
    return made.event(parts, "about nothing", kind="none", subject=None, payment_id=None)


def confirm(parts: Runtime, source: SourceRecord, name: str) -> None:
    with parts.database.write() as connection:
        for claim in late.claims_about(connection, source.id, "payment", name):
            late.confirm(connection, claim, parts.clock())


def test_one_with_several_events_is_accepted_with_the_last_that_can_be_confirmed(
    parts: Runtime, source: SourceRecord
) -> None:
    hold_two(parts, source, "FT1", "FT2")
    confirm(parts, source, "FT1")
    assert (verdicts(parts), rows(parts, Event)) == (["late"], [])
    confirm(parts, source, "FT2")
    assert verdicts(parts) == ["accepted"]
    assert sorted(row.subject or "" for row in rows(parts, Event)) == ["", "FT1", "FT2"]
    assert all(row.late for row in rows(parts, Event))


@SQLITE
def test_one_that_nothing_can_be_asked_about_waits_for_a_person(parts: Runtime, source: SourceRecord) -> None:
    delivery_id = hold_two(parts, source)
    Worker(parts).run_once()
    assert (verdicts(parts), rows(parts, Subject)) == (["late"], [])
    acts.accept(parts, "cli:alice", delivery_id, "seen in the bank's portal")
    assert verdicts(parts) == ["accepted"]


def test_workers_and_a_person_at_once_accept_it_once(parts: Runtime, source: SourceRecord) -> None:
    delivery_id = hold_two(parts, source, "FT1", "FT2")
    ready = threading.Barrier(6)

    def accept() -> None:
        try:
            acts.accept(parts, "cli:alice", delivery_id, "at once")
        except NotPossible:
            return

    def at_once(act: Callable[[], None]) -> None:
        ready.wait()
        act()

    doing: list[Callable[[], None]] = [
        *(lambda name=name: confirm(parts, source, name) for name in ("FT1", "FT2", "FT1", "FT2")),
        accept,
        accept,
    ]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(at_once, doing))
    assert verdicts(parts) == ["accepted"]
    assert len(rows(parts, Event)) == 3
    assert told(parts) == ["bcb.deposit"] * 3


def test_a_late_one_that_comes_during_a_check_is_asked_for_once_more(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would ask again about a payment whose state is final."""
    book(simulator, clock, ("Completed", 0))
    post(parts, BankSigner(clock).sign(deposit(transactionId="FT1")))
    real, fee = findings._confirm_late, deposit(transactionId="FT1", type="Debit")

    def come_in_between(*given: Any) -> None:
        real(*given)
        monkeypatch.setattr(findings, "_confirm_late", real)
        clock.forward(0.001)
        tell_late(parts, fee)

    monkeypatch.setattr(findings, "_confirm_late", come_in_between)
    worker.run_once()
    assert sorted(row.late for row in rows(parts, Event)) == [False, True]


DIES = """
import os, signal
from receiver.{module} import {name} as module
real = module.{function}
def die(*given):
    real(*given)
    os.kill(os.getpid(), signal.SIGKILL)
module.{function} = die
from receiver.cli import main
main(["worker", "--once"])
"""


@pytest.mark.parametrize(
    ("module", "name", "function"), [("store", "late", "confirm"), ("reconcile", "findings", "_confirm_late")]
)
def test_a_worker_killed_anywhere_in_a_confirmation_doubles_and_loses_nothing(
    live: Runtime, database_url: str, module: str, name: str, function: str
) -> None:
    served = environment(database_url, KEY, RECEIVER_LEASE_SECONDS="1")
    with Simulator() as simulator:
        add_source(live, "real", base_url=simulator.url)
        simulator.bank.add_payment(Payment("FT1", "1", Decimal(1000), "USD", Script.of(("Completed", 0)), live.clock()))
        signed = tell_late(live, path="/webhooks/real")
        script = DIES.format(module=module, name=name, function=function)
        killed = subprocess.run([sys.executable, "-c", script], env=served, timeout=60, check=False)
        assert killed.returncode == -SIGKILL
        for _ in range(100):
            Worker(live).run_once()
            with live.database.read() as connection:
                due = connection.execute(select(table_of(Subject).c.due_at)).scalar_one()
            if due is None:
                break
            threading.Event().wait(0.1)
    assert [row.late for row in rows(live, Event)] == [True]
    assert told(live) == ["bcb.deposit", "payment.status_changed"]
    assert outcome(post(live, signed)) == (200, "duplicate")


def test_a_failure_within_the_acceptance_leaves_it_late(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_two(parts, source, "FT1")
    before = rows(parts, Subject)
    with monkeypatch.context() as patched:
        patched.setattr("receiver.store.intake._insert_repeated", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            confirm(parts, source, "FT1")
    assert (verdicts(parts), rows(parts, Event), told(parts)) == (["late"], [], [])
    assert rows(parts, Subject) == before
    assert [row.confirmed_at for row in rows(parts, HeldEvent)] == [None, None]
    confirm(parts, source, "FT1")
    assert verdicts(parts) == ["accepted"]
