"""What each of the bank's states means, and when it is asked for again."""

from datetime import timedelta

import pytest
from banking_circle import control, state, tell
from conftest import StandingClock
from encrypting_bank import KEY as AES_KEY
from encrypting_bank import notification, payment

from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.abilities import NewSubscription, SubscriptionIncomplete
from receiver.banks.banking_circle import api, subscriptions
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Simulator
from receiver.web.schemas.times import rfc3339
from receiver.worker.loop import Worker

DAY = 86400

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


@pytest.mark.parametrize(
    ("amount", "status", "bank_status"),
    [("19.00", "rejected", "Rejected"), ("53.00", "cancelled", "Cancelled"), ("100.00", "completed", "Processed")],
)
def test_the_amounts_of_the_sandbox_end_in_their_states(
    parts: Runtime,
    simulator: Simulator,
    clock: StandingClock,
    amount: str,
    status: str,
    bank_status: str,
) -> None:
    control(simulator, "/payments/p1", {"amount": amount}, "PUT")
    tell(parts, notification("PaymentRouting", payment=payment("p1")))
    clock.forward(60)
    Worker(parts).run_once()
    assert (state(parts, "p1")["status"], state(parts, "p1")["bank_status"]) == (status, bank_status)


def test_processed_is_looked_at_for_a_month_and_no_longer(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    control(simulator, "/payments/p1", {"script": [["Processed"]]}, "PUT")
    tell(parts, notification("OutgoingPaymentProcessed", payment=payment("p1")))
    worker = Worker(parts)
    for _ in range(40):
        worker.run_once()
        clock.forward(DAY)
    assert len(state(parts, "p1")["checks"]) == 6
    assert state(parts, "p1")["next_check_at"] is None


@pytest.mark.parametrize("bank_status", ["DeclinedByApprover", "ScaExpired", "ScaFailed", "ScaDeclined"])
def test_what_was_not_sent_is_rejected_and_looked_at_again(
    parts: Runtime, simulator: Simulator, bank_status: str
) -> None:
    control(simulator, "/payments/p1", {"script": [[bank_status]]}, "PUT")
    tell(parts, notification("PaymentRouting", payment=payment("p1")))
    Worker(parts).run_once()
    assert state(parts, "p1")["status"] == "rejected"
    assert state(parts, "p1")["next_check_at"] is not None


@pytest.mark.parametrize("bank_status", ["Rejected", "Cancelled", "Reversed"])
def test_what_is_final_is_not_looked_at_again(parts: Runtime, simulator: Simulator, bank_status: str) -> None:
    control(simulator, "/payments/p1", {"script": [[bank_status]]}, "PUT")
    tell(parts, notification("PaymentRouting", payment=payment("p1")))
    Worker(parts).run_once()
    assert state(parts, "p1")["next_check_at"] is None


@pytest.mark.parametrize(
    "bank_status",
    ["PendingApproval", "Approved", "ScaPending", "MissingFunding", "Hold", "PendingCancellation", "Unknown", "New"],
)
def test_any_other_state_is_asked_for_again_soon(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bank_status: str
) -> None:
    control(simulator, "/payments/p1", {"script": [[bank_status]]}, "PUT")
    tell(parts, notification("PaymentRouting", payment=payment("p1")))
    Worker(parts).run_once()
    found = state(parts, "p1")
    assert found["status"] in ("pending", "unknown")
    assert found["next_check_at"] < rfc3339(clock() + timedelta(minutes=1))


def test_a_return_that_names_nothing_known_is_linked_to_nothing(parts: Runtime, simulator: Simulator) -> None:
    back = {"classification": "Incoming", "return": True, "remittance": ["RETURN OF PAYMENT", "see letter of 20260304"]}
    control(simulator, "/payments/back", back, "PUT")
    tell(parts, notification(payment=payment("back", **{"return": True})))
    Worker(parts).run_once()
    assert (state(parts, "back")["status"], state(parts, "back")["returns"]) == ("completed", None)


@pytest.mark.parametrize("shape", ["errors", "validation", "properties", "problem", "code", "empty"])
def test_every_shape_of_error_leaves_the_payment_to_be_asked_for_again(
    parts: Runtime, simulator: Simulator, shape: str
) -> None:
    control(simulator, "/options", {"error_shape": shape}, "PATCH")
    tell(parts, notification(payment=payment("nobody")))
    Worker(parts).run_once()
    found = state(parts, "nobody")
    assert ([check["outcome"] for check in found["checks"]], found["agreement"]) == (["not_found"], "unknown_to_bank")
    assert found["next_check_at"] is not None


@pytest.mark.parametrize("bank_status", ["Rejected", "Processed"])
def test_a_payment_that_is_not_shown_with_its_final_state_is_asked_for_after_short_pauses(
    parts: Runtime, simulator: Simulator, clock: StandingClock, bank_status: str
) -> None:
    control(simulator, "/payments/p1", {"script": [[bank_status]], "amount": "12.00"}, "PUT")
    control(simulator, "/faults", {"kind": "500", "path": "/api/v1/payments/singles/p1"})
    tell(parts, notification("PaymentRouting", payment=payment("p1")))
    Worker(parts).run_once()
    assert list(state(parts, "p1")["checks"][0]["detail"]) == ["payment"]
    clock.forward(61)
    Worker(parts).run_once()
    found = state(parts, "p1")
    assert [check["outcome"] for check in found["checks"]] == ["answered", "answered"]
    assert found["checks"][1]["detail"]["amount"].startswith("12.00")
    assert (found["next_check_at"] is None) == (bank_status == "Rejected")


def test_a_bank_that_names_a_time_amid_a_subscription_is_left_alone_until_then(
    simulator: Simulator, session: BankSession
) -> None:
    control(simulator, "/faults", {"kind": "429", "path": subscriptions.EVENT, "seconds": 600})
    wanted = NewSubscription("https://callbacks.example.com/webhooks/bc", list(subscriptions.EVENTS)[:1], AES_KEY)
    with pytest.raises(SubscriptionIncomplete):
        session.ask(lambda client: subscriptions.subscribe(client, wanted))
    with pytest.raises(BudgetSpent):
        session.ask(lambda client: client.get(api.ACCOUNTS))
