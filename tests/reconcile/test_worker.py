"""From a claim to the truth."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bank import SECRET, BankSigner, deposit, job
from conftest import StandingClock, add_source
from reconcile.conftest import book, tell, tell_by_rsa, tell_deposit
from reconcile.ledger import Ledger
from sqlalchemy import select

from receiver.bank_client import shared_token
from receiver.bank_client.session import BankSession, TokenAwaited
from receiver.banks.errors import TokenRefused
from receiver.model import Status
from receiver.projection.projector import catch_up
from receiver.reconcile import checks, findings, plan
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import JobPlan
from receiver.simulator.faults import Fault
from receiver.simulator.scripts import Script
from receiver.store import bank_tokens, circuits, events, feed, payments, signing_secrets, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, Subject, table_of
from receiver.web import create_app
from receiver.web.schemas.payments import PaymentInFull
from receiver.worker.loop import Worker


def state(parts: Runtime, subject: str = "FT1", kind: str = "payment", source: str = "bcb") -> dict[str, Any]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        row = payments.find(connection, source, kind, subject)
        assert row is not None
        return PaymentInFull.made(row, payments.checks_of(connection, row.id), plan.NextChecks(parts).of(row)).shown()


def feed_types(parts: Runtime) -> list[str]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return [entry.type for entry in feed.read(connection, after=0, limit=100).entries]


def asked(simulator: Simulator, path: str) -> int:
    return sum(1 for seen in simulator.requests.entries() if seen.path == path)


def test_a_claim_that_the_bank_confirms_is_completed(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    found = state(parts)
    assert (found["status"], found["bank_status"], found["agreement"]) == ("completed", "Completed", "confirmed")
    assert [(check["outcome"], check["bank_status"]) for check in found["checks"]] == [("answered", "Completed")]
    assert found["next_check_at"] is None
    assert feed_types(parts) == ["bcb.deposit", "payment.status_changed"]


def test_a_payment_that_an_event_of_an_unknown_kind_names_is_asked_for_and_found(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    (event_id,) = tell(parts, deposit(topic="Withdrawals", transactionId="FT1"))["events"]
    tell(parts, {"topic": "Withdrawals", "transactionId": ["FT2"]})
    worker.run_once()
    found = state(parts)
    assert (found["status"], found["claimed_status"], found["agreement"]) == ("completed", None, "confirmed")
    assert (found["amount"], found["currency"]) == ("1000.00", "USD")
    with parts.database.read() as connection:
        listed = events.listing(connection, events.Filter(payment_ids=["FT1"]), below=None, limit=10)
    assert [(event.id, event.type, event.subject) for event in listed] == [(event_id, "bcb.unrecognised", "FT1")]
    assert feed_types(parts) == ["bcb.unrecognised", "bcb.unrecognised", "payment.status_changed"]


def test_a_payment_has_the_amount_of_the_first_event_that_tells_one(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    for body in (
        {"topic": "Withdrawals", "transactionId": "FT1", "value": {"currency": "EUR"}},
        deposit(transactionId="FT1"),
        deposit(transactionId="FT1", value={"amount": "2.50", "currency": "GBP"}),
    ):
        tell(parts, body)
    worker.run_once()
    assert (state(parts)["amount"], state(parts)["currency"]) == ("1000.00", "USD")


def test_a_pending_payment_is_asked_for_again_until_it_is_final(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 25), ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    assert (state(parts)["status"], state(parts)["agreement"]) == ("pending", "unconfirmed")
    for _ in range(3):
        clock.forward(12)
        worker.run_once()
    found = state(parts)
    assert (found["status"], found["agreement"]) == ("completed", "confirmed")
    assert feed_types(parts) == ["bcb.deposit", "payment.status_changed", "payment.status_changed"]


def test_a_payment_that_is_not_due_is_not_asked_for(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 0))
    tell_deposit(parts)
    worker.run_once()
    worker.run_once()
    assert asked(simulator, "/v1/payments/FT1/status") == 1


def test_a_final_payment_is_not_asked_for_again(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    clock.forward(86400)
    worker.run_once()
    assert asked(simulator, "/v1/payments/FT1/status") == 1


def test_a_claim_that_the_bank_contradicts_is_told(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Reversed", 0))
    tell_deposit(parts)
    worker.run_once()
    found = state(parts)
    assert (found["status"], found["agreement"]) == ("reversed", "contradicted")
    told = ["bcb.deposit", "payment.status_changed", "payment.contradicted", "exception.opened"]
    assert feed_types(parts) == told


@pytest.mark.parametrize("answers", [["completed", "returned"], ["completed", "pending", "reversed"]])
def test_a_claim_that_the_bank_has_confirmed_was_true_however_often_it_is_looked_at_since(
    parts: Runtime, source: SourceRecord, answers: list[str]
) -> None:
    ledger = Ledger(parts, source)
    ledger.event("FT1")
    for status in (*answers, *answers[-1:] * 2):
        ledger.checked("FT1", status)
    # Another event about it that claims nothing new is a reason to look, and no other one.
    ledger.event("FT1", claimed_status="pending")
    ledger.checked("FT1", answers[-1])
    assert (state(parts)["status"], state(parts)["agreement"]) == (answers[-1], "confirmed")
    assert {"payment.contradicted", "exception.opened"}.isdisjoint(feed_types(parts))
    # Gone from the bank's books, it is contradicted by that as little.
    ledger.unknown("FT1", times=4)
    assert (state(parts)["agreement"], state(parts)["next_check_at"]) == ("confirmed", None)


def test_another_claim_is_held_against_the_bank_s_answer_whatever_was_confirmed_before(
    parts: Runtime, source: SourceRecord
) -> None:
    ledger = Ledger(parts, source)
    ledger.event("FT1")
    for status in ("completed", "returned"):
        ledger.checked("FT1", status)
    ledger.event("FT1", claimed_status="rejected")
    for _ in range(2):
        ledger.checked("FT1", "returned")
        assert state(parts)["agreement"] == "contradicted"
    assert feed_types(parts).count("payment.contradicted") == 1
    ledger.event("FT1", claimed_status="returned")
    for _ in range(2):
        ledger.checked("FT1", "returned")
        assert state(parts)["agreement"] == "confirmed"


def test_a_payment_that_the_bank_does_not_know_yet_is_asked_for_again(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("unknown", 5), ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    found = state(parts)
    assert (found["status"], found["agreement"]) == ("unknown", "unknown_to_bank")
    assert [check["outcome"] for check in found["checks"]] == ["not_found"]
    clock.forward(12)
    worker.run_once()
    assert state(parts)["agreement"] == "confirmed"


def test_a_payment_with_a_strange_id_is_asked_for_by_it(parts: Runtime, simulator: Simulator, worker: Worker) -> None:
    tell_deposit(parts, "a b?c#d%é")
    worker.run_once()
    assert [check["outcome"] for check in state(parts, "a b?c#d%é")["checks"]] == ["not_found"]
    assert asked(simulator, "/v1/payments/a b?c#d%é/status") == 1


def test_a_job_is_asked_for_with_its_results(parts: Runtime, simulator: Simulator, worker: Worker) -> None:
    simulator.bank.job_plan = JobPlan(Script.of(("CompletedWithErrors", 0)), failed=1)
    made = simulator.bank.create_job(3, None, {})
    tell(parts, job(made.job_id, "CompletedWithErrors"))
    worker.run_once()
    found = state(parts, made.job_id, "job")
    assert (found["status"], found["bank_status"], found["agreement"]) == (
        "completed",
        "CompletedWithErrors",
        "confirmed",
    )
    assert (found["checks"][0]["detail"]["items"], found["checks"][0]["detail"]["failed"]) == (3, 1)
    assert feed_types(parts) == ["bcb.job.completed_with_errors", "job.status_changed"]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault("500"), "bank_failed"),
        (Fault("500", shape="string"), "bank_failed"),
        (Fault("503"), "bank_failed"),
        (Fault("hang-up"), "unreachable"),
        (Fault("not-json"), "answer_unreadable"),
        (Fault("huge"), "answer_unreadable"),
        (Fault("429"), "rate_limited"),
    ],
    ids=lambda value: f"{value.kind} {value.shape}" if isinstance(value, Fault) else None,
)
def test_a_fault_of_the_bank_is_recorded_and_asked_over_later(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, fault: Fault, outcome: str
) -> None:
    book(simulator, clock, ("Completed", 0))
    simulator.faults.add(Fault(**{**vars(fault), "path": "/v1/payments/*"}))
    tell_deposit(parts)
    worker.run_once()
    found = state(parts)
    assert [check["outcome"] for check in found["checks"]] == [outcome]
    assert (found["status"], found["agreement"]) == ("unknown", "unconfirmed")
    clock.forward(3 * 3600)
    worker.run_once()
    assert state(parts)["status"] == "completed"


def test_a_truncated_answer_is_no_answer(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    simulator.faults.add(Fault("truncated", path="/v1/payments/*"))
    tell_deposit(parts)
    worker.run_once()
    (check,) = state(parts)["checks"]
    assert check["outcome"] in ("unreachable", "answer_unreadable")
    assert state(parts)["status"] == "unknown"


def test_a_rate_limit_is_waited_out_by_all(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    for payment_id in ("FT1", "FT2"):
        book(simulator, clock, ("Completed", 0), payment_id=payment_id)
    simulator.faults.add(Fault("429", path="/v1/payments/*", seconds=600))
    tell_deposit(parts, "FT1")
    worker.run_once()
    tell_deposit(parts, "FT2")
    clock.forward(300)
    worker.run_once()
    assert asked(simulator, "/v1/payments/FT2/status") == 0
    clock.forward(301)
    worker.run_once()
    assert [state(parts, payment_id)["status"] for payment_id in ("FT1", "FT2")] == ["completed", "completed"]


def test_the_budget_of_requests_is_never_overdrawn(parts: Runtime, simulator: Simulator, clock: StandingClock) -> None:
    add_source(parts, "small", base_url=simulator.url, requests_per_window=5)
    for number in range(10):
        book(simulator, clock, ("Completed", 0), payment_id=f"FT{number}")
    with parts.database.write() as connection:
        for number in range(10):
            connection.execute(
                table_of(Subject)
                .insert()
                .values(
                    source_id=1,
                    kind="payment",
                    subject=f"FT{number}",
                    status="unknown",
                    agreement="unconfirmed",
                    claimed_status="completed",
                    created_at=clock(),
                    updated_at=clock(),
                    due_at=clock(),
                    attempts=0,
                )
            )
    Worker(parts).run_once()
    assert len(simulator.requests.entries()) == 5
    clock.forward(3601)
    Worker(parts).run_once()
    assert len(simulator.requests.entries()) == 10


def test_the_token_is_fetched_once_and_shared(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    for number in range(8):
        book(simulator, clock, ("Completed", 0), payment_id=f"FT{number}")
        tell_deposit(parts, f"FT{number}")
    worker.run_once()
    Worker(parts).run_once()
    assert asked(simulator, "/auth/token") == 1


def test_the_token_is_stored_encrypted(parts: Runtime, worker: Worker) -> None:
    tell_deposit(parts)
    worker.run_once()
    with parts.database.read() as connection:
        sealed = connection.execute(select(table_of(BankToken).c.sealed)).scalar_one()
    assert not bytes(sealed).startswith(b"ey")


def test_a_token_is_replaced_shortly_before_it_expires(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Pending", 0))
    tell_deposit(parts)
    worker.run_once()
    clock.forward(40 * 60 - 30)
    worker.run_once()
    assert asked(simulator, "/auth/token") == 2
    assert [check["outcome"] for check in state(parts)["checks"]] == ["answered", "answered"]


def test_a_refused_token_is_replaced_once_and_the_question_put_again(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    simulator.faults.add(Fault("expired-token", path="/v1/payments/*"))
    tell_deposit(parts)
    worker.run_once()
    assert [check["outcome"] for check in state(parts)["checks"]] == ["answered"]
    assert asked(simulator, "/auth/token") == 2


def test_a_bank_that_refuses_every_token_is_asked_twice_and_no_more(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    simulator.faults.add(Fault("expired-token", path="/v1/payments/*", count=None))
    tell_deposit(parts)
    worker.run_once()
    assert [check["outcome"] for check in state(parts)["checks"]] == ["unauthorised"]
    assert asked(simulator, "/v1/payments/FT1/status") == 2


def test_credentials_that_get_no_token_are_tried_once(
    parts: Runtime, simulator: Simulator, source: SourceRecord
) -> None:
    simulator.bank.replace_client(simulator.bank.client.rotated())
    with pytest.raises(TokenRefused, match="POST /auth/token: 401"):
        BankSession(parts, source).ask(lambda client: client.get("/v1/system/time"))
    assert asked(simulator, "/auth/token") == 1


def test_a_token_that_another_process_never_fetches_is_waited_for_once(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, claims = parts.clock(), []

    def claim(*given: Any, **how: Any) -> bool:
        claims.append(how["now"])
        return claim_fetching(*given, **how)

    claim_fetching = bank_tokens.claim_fetching
    with parts.database.write() as connection:
        assert claim_fetching(connection, source.id, now=now, until=now + shared_token.FETCHING)
    monkeypatch.setattr(bank_tokens, "claim_fetching", claim)
    monkeypatch.setattr(shared_token, "FETCHING", timedelta(0))
    with pytest.raises(TokenAwaited) as awaited:
        BankSession(parts, source).ask(lambda client: client.get("/v1/system/time"))
    assert awaited.value.until > now
    with pytest.raises(TokenAwaited):
        BankSession(parts, source).authorize()
    assert len(claims) == 2


def test_a_check_that_waited_for_a_token_in_vain_is_put_off_and_says_nothing_of_the_bank(
    parts: Runtime, simulator: Simulator, source: SourceRecord, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = (timedelta(0), timedelta(0))
    tell_deposit(parts)
    with parts.database.write() as connection:
        circuits.fail(connection, source.id, now=parts.clock(), most=5, pauses=pauses, error="no answer came")
        bank_tokens.claim_fetching(
            connection, source.id, now=parts.clock(), until=parts.clock() + shared_token.FETCHING
        )
    monkeypatch.setattr(shared_token, "FETCHING", timedelta(0))
    worker.run_once()
    found = state(parts)
    assert (found["checks"], found["agreement"], simulator.requests.entries()) == ([], "unconfirmed", [])
    assert found["next_check_at"] == "2026-03-04T12:00:45.000000Z"
    with parts.database.read() as connection:
        assert circuits.find(connection, source.id).failures == 1


def test_a_missing_permission_is_said(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    simulator.bank.replace_client(replace(simulator.bank.client, permissions=frozenset()))
    tell_deposit(parts)
    worker.run_once()
    assert [check["outcome"] for check in state(parts)["checks"]] == ["forbidden"]


def test_what_is_due_of_a_source_without_credentials_is_asked_for_once_it_has_them(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        source = sources.add(
            connection,
            name="bcb",
            bank="bcb",
            environment="sandbox",
            base_url=simulator.url,
            options={},
            now=clock(),
        )
        signing_secrets.put(connection, parts.encryption, source.id, SECRET, now=clock(), grace_seconds=None)
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker = Worker(parts)
    worker.run_once()
    found = state(parts)
    assert (found["checks"], found["next_check_at"]) == ([], None)
    assert found["next_check_why"].endswith("source bcb has no API credentials to ask with")
    assert simulator.requests.entries() == []
    commits = parts.database.commits
    clock.forward(1)
    assert worker.run_once() == 0
    assert parts.database.commits == commits
    with parts.database.write() as connection:
        credentials = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
        sources.set_credentials(connection, parts.encryption, source, credentials)
    worker.run_once()
    assert state(parts)["agreement"] == "confirmed"


def test_a_late_claim_never_takes_a_payment_back(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Reversed", 0))
    tell_deposit(parts)
    worker.run_once()
    clock.forward(10)
    tell(parts, deposit(transactionId="FT1", value={"amount": "3", "currency": "USD"}))
    assert state(parts)["status"] == "reversed"
    worker.run_once()
    assert state(parts)["status"] == "reversed"


def test_a_worker_that_dies_between_the_answer_and_the_commit_doubles_nothing(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    with monkeypatch.context() as patched:

        def die(*_: object) -> None:
            raise SystemExit

        patched.setattr(checks, "record", die)
        with pytest.raises(SystemExit):
            worker.run_once()
    assert state(parts)["checks"] == []
    worker.run_once()
    assert state(parts)["checks"] == [], "the lease of the dead one still holds"
    clock.forward(parts.settings.lease_seconds + 1)
    worker.run_once()
    assert [check["outcome"] for check in state(parts)["checks"]] == ["answered"]
    assert feed_types(parts) == ["bcb.deposit", "payment.status_changed"]
    assert asked(simulator, "/v1/payments/FT1/status") == 2


def test_an_answer_that_comes_after_the_lease_was_lost_changes_nothing(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    ask = checks.ask

    def ask_slowly(*given: Any) -> findings.Finding:
        found = ask(*given)
        clock.forward(parts.settings.lease_seconds + 1)
        monkeypatch.setattr(checks, "ask", ask)
        worker.run_once()
        return found

    monkeypatch.setattr(checks, "ask", ask_slowly)
    worker.run_once()
    assert len(state(parts)["checks"]) == 1
    assert feed_types(parts) == ["bcb.deposit", "payment.status_changed"]


def test_a_claim_that_comes_during_a_check_is_checked_too(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    ask = checks.ask

    def ask_while_another_comes(*given: Any) -> findings.Finding:
        found = ask(*given)
        monkeypatch.setattr(checks, "ask", ask)
        tell(parts, deposit(transactionId="FT1", value={"amount": "3", "currency": "USD"}))
        return found

    monkeypatch.setattr(checks, "ask", ask_while_another_comes)
    worker.run_once()
    worker.run_once()
    assert len(state(parts)["checks"]) == 2


def test_public_keys_are_fetched_ahead(simulator: Simulator, worker: Worker) -> None:
    worker.run_once()
    assert asked(simulator, "/v1/.well-known/jwks.json") == 1
    worker.run_once()
    assert asked(simulator, "/v1/.well-known/jwks.json") == 1


def test_a_callback_signed_with_the_banks_key_is_accepted_once_the_worker_has_fetched_it(
    parts: Runtime, simulator: Simulator, worker: Worker
) -> None:
    assert tell_by_rsa(parts, simulator, "FT1") == 503
    worker.run_once()
    assert tell_by_rsa(parts, simulator, "FT1") == 200


def test_a_callback_signed_with_a_new_key_of_the_bank_is_accepted_after_one_refresh(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    worker.run_once()
    simulator.bank.keys.rotate()
    clock.forward(400)
    assert tell_by_rsa(parts, simulator, "FT1") == 503
    worker.run_once()
    assert tell_by_rsa(parts, simulator, "FT1") == 200


def test_a_forged_rsa_signature_is_refused_once_the_keys_are_fresh(parts: Runtime, worker: Worker) -> None:
    client = create_app(parts).test_client()
    worker.run_once()
    signed = BankSigner(parts.clock).sign(deposit())
    headers = {**signed.headers, "Bcb-Signature-Version": "rsa-v1"}
    assert client.post(signed.path, data=signed.body, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("claimed", "status", "is_confirmed"),
    [
        ("completed", "completed", True),
        ("completed", "reversed", False),
        ("completed", "pending", False),
        ("completed", "unknown", False),
        ("pending", "pending", True),
        ("pending", "completed", True),
        ("unknown", "unknown", False),
        ("unknown", "completed", True),
        (None, "pending", False),
        (None, "rejected", True),
    ],
)
def test_what_confirms_a_late_claim(claimed: str | None, status: str, is_confirmed: bool) -> None:
    assert findings.is_confirmed(Status(claimed) if claimed else None, Status(status)) is is_confirmed
