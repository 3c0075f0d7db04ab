"""From a claim to the truth, and from a return to what it returns, on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from banking_circle import asked, control, feed_types, state, tell
from conftest import StandingClock, add_encrypting_source, app_over, make_token
from encrypting_bank import notification, payment
from reconcile.test_on_demand import entries
from sqlalchemy import text
from store.made import delivery, event, record

from receiver.admin import exceptions, payments
from receiver.model import ExceptionKind
from receiver.projection.projector import index_all
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Simulator
from receiver.store import claims, events
from receiver.store.exceptions import Wanted
from receiver.web.schemas.times import rfc3339
from receiver.worker.loop import Worker

DAY = 86400

pytestmark = pytest.mark.usefixtures("source")


def test_a_payment_is_followed_to_its_end_with_a_token_that_is_fetched_once(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    control(simulator, "/payments/p1", {"script": [["PendingProcessing", 25], ["Processed"]]}, "PUT")
    tell(parts, notification("OutgoingPaymentProcessed", payment=payment("p1")))
    worker = Worker(parts)
    worker.run_once()
    assert (state(parts, "p1")["status"], state(parts, "p1")["agreement"]) == ("pending", "unconfirmed")
    for _ in range(3):
        clock.forward(12)
        worker.run_once()
    found = state(parts, "p1")
    assert (found["status"], found["bank_status"], found["agreement"]) == ("completed", "Processed", "confirmed")
    assert found["checks"][-1]["detail"]["amount"] == "100.00 EUR"
    assert asked(simulator, "/authorize") == 1


def test_a_payment_that_is_told_as_booked_alone_is_told_with_its_direction(
    parts: Runtime, simulator: Simulator
) -> None:
    control(simulator, "/payments/p1", {"script": [["Processed"]]}, "PUT")
    booked = {"paymentId": "p1", "amount": -100.0, "currency": "EUR", "transactionReference": "010F1"}
    tell(parts, notification("OutgoingPaymentBooked", payment=booked))
    Worker(parts).run_once()
    changed = next(entry for entry in entries(parts) if entry.type == "payment.status_changed")
    assert (changed.data["direction"], changed.data["reference"]) == ("outgoing", "010F1")


def test_of_a_payment_told_by_its_id_alone_the_feed_tells_what_the_bank_answers(
    parts: Runtime, simulator: Simulator
) -> None:
    known = {
        "classification": "Incoming",
        "reference": "010F1",
        "amount": "5",
        "currency": "GBP",
        "script": [["Processed"]],
    }
    control(simulator, "/payments/p1", known, "PUT")
    tell(parts, notification("SomethingNew", payment={"paymentId": "p1"}))
    Worker(parts).run_once()
    changed = next(entry for entry in entries(parts) if entry.type == "payment.status_changed")
    told = {name: changed.data[name] for name in ("amount", "currency", "direction", "reference")}
    assert told == {"amount": "5", "currency": "GBP", "direction": "incoming", "reference": "010F1"}
    assert changed.data["account"]
    assert (state(parts, "p1")["amount"], state(parts, "p1")["currency"]) == (None, None)


def test_processed_is_looked_at_again_and_a_reversal_found_that_no_callback_told(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    control(simulator, "/payments/p1", {"script": [["Processed", 2 * DAY], ["Reversed"]]}, "PUT")
    tell(parts, notification("OutgoingPaymentProcessed", payment=payment("p1")))
    worker = Worker(parts)
    worker.run_once()
    assert state(parts, "p1")["next_check_at"] == rfc3339(clock() + timedelta(days=1))
    clock.forward(DAY + 1)
    worker.run_once()
    assert state(parts, "p1")["status"] == "completed"
    clock.forward(2 * DAY)
    worker.run_once()
    found = state(parts, "p1")
    # What the callback claimed was true when it came.
    assert (found["status"], found["agreement"], found["next_check_at"]) == ("reversed", "confirmed", None)
    assert [kind for kind, _ in feed_types(parts)][1:] == ["payment.status_changed"] * 2


def test_a_return_is_linked_to_the_payment_that_it_returns(parts: Runtime, simulator: Simulator) -> None:
    control(simulator, "/payments/out", {"script": [["Processed"]], "reference": "010F2422510258PF"}, "PUT")
    lines = ["RETURN OF PAYMENT", "010F2422510258PF", "By order of beneficiary"]
    back = {"classification": "Incoming", "return": True, "remittance": lines}
    control(simulator, "/payments/back", back, "PUT")
    told = notification("OutgoingPaymentProcessed", payment=payment("out"))
    tell(parts, told, notification(payment=payment("back", **{"return": True})))
    Worker(parts).run_once()
    original, returned = state(parts, "out"), state(parts, "back")
    assert (original["status"], original["returned_by"], original["returns"]) == ("completed", "back", None)
    assert (returned["status"], returned["returns"], returned["returned_by"]) == ("completed", "out", None)
    assert feed_types(parts).count(("payment.returned", "out")) == 1


def test_a_return_of_a_payment_that_nobody_told_of_makes_it_known(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    control(simulator, "/payments/out", {"script": [["Processed"]], "reference": "010F2422510258PF"}, "PUT")
    back = {"classification": "Incoming", "return": True, "remittance": ["RETURN OF PAYMENT", "010F2422510258PF"]}
    control(simulator, "/payments/back", back, "PUT")
    tell(parts, notification(payment=payment("back", **{"return": True})))
    worker = Worker(parts)
    worker.run_once()
    clock.forward(DAY + 1)
    worker.run_once()
    assert (state(parts, "out")["status"], state(parts, "out")["returned_by"]) == ("completed", "back")
    # Looked at again, it is told no second time.
    assert feed_types(parts).count(("payment.returned", "out")) == 1


def test_a_payment_status_leads_to_its_payment_by_the_banks_reference(parts: Runtime, simulator: Simulator) -> None:
    control(simulator, "/payments/p1", {"script": [["Rejected"]], "reference": "010F103220030044"}, "PUT")
    instructed = {"InstructedAmount": {"Currency": "EUR", "Amount": 12.5}}
    told = {"TransactionStatus": "Rejected", "AccountServicerReference": "010F103220030044"}
    status = notification("PaymentStatus", payload={**told, "TransactionReference": instructed})
    del status["payment"]
    (event_id,) = tell(parts, status)
    Worker(parts).run_once()
    found = state(parts, "p1")
    assert (found["status"], found["claimed_status"], found["agreement"]) == ("rejected", "rejected", "confirmed")
    assert (found["amount"], found["currency"]) == ("12.5", "EUR")
    # A rejected payment has no transfer: its amount is the one that was to be debited.
    assert found["checks"][-1]["detail"]["amount"] == "100.00 EUR"
    with parts.database.read() as connection:
        event = events.find(connection, event_id)
    assert event is not None
    assert event.payment_id == "p1"
    assert feed_types(parts) == [
        ("banking_circle.payment_status", "010F103220030044"),
        ("payment.status_changed", "p1"),
        # Of the amount that the bank has: it is another one.
        ("exception.opened", "p1"),
    ]


def by_reference(status: str) -> dict[str, Any]:
    """A notification that names its payment by the bank's reference alone."""
    told = {"TransactionStatus": status, "AccountServicerReference": "010F103220030044"}
    made = notification("PaymentStatus", payload=told)
    del made["payment"]
    return made


def test_a_claim_by_reference_is_contradicted_at_its_payment_alone(parts: Runtime, simulator: Simulator) -> None:
    control(simulator, "/payments/p1", {"script": [["Rejected"]], "reference": "010F103220030044"}, "PUT")
    worker = Worker(parts)
    tell(parts, by_reference("Processed"))
    worker.run_once()
    kinds = [ExceptionKind.CONTRADICTED]
    (found,) = exceptions.listing(parts, Wanted(kinds=kinds), limit=9)
    assert (found.about, found.subject, found.state) == ("payment", "p1", "open")
    tell(parts, notification("OutgoingPaymentRejected", payment=payment("p1")))
    worker.run_once()
    (after,) = exceptions.listing(parts, Wanted(kinds=kinds), limit=9)
    assert (after.id, after.state) == (found.id, "resolved")


def test_all_events_about_a_reference_are_found_by_its_payment(
    parts: Runtime, simulator: Simulator, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "NAMED_AT_ONCE", 2)
    client, token, worker = app_over(parts).test_client(), make_token(parts), Worker(parts)

    def found(**query: str) -> list[str]:
        answer = client.get("/api/v1/events", query_string=query, headers=token)
        return sorted(each["id"] for each in (answer.json or {})["data"])

    # Another source's reference of the same letters is another payment's.
    other = add_encrypting_source(parts, "other")
    same = event(parts, "x", kind="reference", payment="010F103220030044", payment_id=None)
    record(parts, delivery(parts, other), same)
    told = tell(parts, *(by_reference("PendingProcessing") for _ in range(4)))
    told += tell(parts, by_reference("Rejected"))
    index_all(parts.database)
    given = [entry for entry in entries(parts) if entry.subject == "010F103220030044"]
    worker.run_once()
    assert found(payment_id="p1") == []
    control(simulator, "/payments/p1", {"script": [["Rejected"]], "reference": "010F103220030044"}, "PUT")
    clock.forward(2 * 3600)
    worker.run_once()
    ways = ({"payment_id": "p1"}, {"q": "p1"}, {"payment_id": "p1", "proof": "encryption"})
    assert [found(**way) for way in ways] == [sorted(told)] * 3
    # One that comes once the payment is known, and is not searched for yet when it is given its payment.
    told += tell(parts, by_reference("Rejected"))
    worker.run_once()
    assert [found(**way) for way in ways] == [sorted(told)] * 3
    row, *_ = payments.with_checks(parts, "bc", "p1")
    assert sorted(each.id for each in payments.around(parts, row).events) == sorted(told)
    # What the feed has said of them stays as it was.
    assert [entry for entry in entries(parts) if entry.subject == "010F103220030044"][: len(given)] == given


def test_a_claim_by_reference_never_takes_back_what_the_payment_itself_claims(
    parts: Runtime, simulator: Simulator
) -> None:
    control(simulator, "/payments/p1", {"script": [["Processed"]], "reference": "010F103220030044"}, "PUT")
    told = {"TransactionStatus": "PendingProcessing", "AccountServicerReference": "010F103220030044"}
    status = notification("PaymentStatus", payload=told)
    del status["payment"]
    tell(parts, notification("OutgoingPaymentProcessed", payment=payment("p1")), status)
    Worker(parts).run_once()
    assert (state(parts, "p1")["claimed_status"], state(parts, "p1")["agreement"]) == ("completed", "confirmed")


def test_a_claim_by_reference_that_is_answered_late_takes_back_no_later_one(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    reference = "010F103220030044"
    status = notification(
        "PaymentStatus", payload={"TransactionStatus": "Processed", "AccountServicerReference": reference}
    )
    del status["payment"]
    worker = Worker(parts)
    # The bank does not know the reference yet.
    tell(parts, status)
    worker.run_once()
    clock.forward(1)
    control(simulator, "/payments/p1", {"script": [["Reversed"]]}, "PUT")
    tell(parts, notification("Reversed", payment=payment("p1")))
    worker.run_once()
    assert (state(parts, "p1")["claimed_status"], state(parts, "p1")["agreement"]) == ("reversed", "confirmed")
    control(simulator, "/payments/p1", {"script": [["Reversed"]], "reference": reference}, "PUT")
    clock.forward(2 * 3600)
    worker.run_once()
    with parts.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM events WHERE payment_id IS NULL")).scalar_one() == 0
    assert (state(parts, "p1")["claimed_status"], state(parts, "p1")["agreement"]) == ("reversed", "confirmed")
    assert ("payment.contradicted", "p1") not in feed_types(parts)
