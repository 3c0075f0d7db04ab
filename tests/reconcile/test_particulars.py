"""What the feed tells of a payment besides its state, so that nobody needs a second call; on both databases."""

from typing import Any

import others
import pytest
from answering import answering
from bank import deposit
from conftest import add_source
from flask.testing import FlaskClient
from others import TOKEN
from reconcile.conftest import tell
from reconcile.test_on_demand import entries
from web.connectpay import assert_ok
from web.connectpay import send as send_connectpay
from web.reading import Headers, got

from receiver.runtime import Runtime
from receiver.worker.loop import Worker

NAMES = ("amount", "currency", "account", "direction", "reference")


def told(parts: Runtime) -> dict[str, Any]:
    """The particulars in the newest entry about a payment's state."""
    data = next(entry.data for entry in reversed(entries(parts)) if entry.type == "payment.status_changed")
    return {name: data[name] for name in NAMES if name in data}


def test_connectpay_s_payment_is_told_and_found_with_its_account_and_direction(
    parts: Runtime, client: FlaskClient, token: Headers
) -> None:
    body = {"eventType": "IncomingPayment.Completed", "paymentOrderNo": "P1", "amount": "5.00", "currency": "EUR"}
    with answering() as api:
        api.answer = {"paymentStatus": "ACSC"}
        others.add(parts, "connectpay", TOKEN, base_url=api.url)
        assert_ok(send_connectpay(client, {**body, "iban": "LT121000011101001000", "externalReference": "rent"}))
        Worker(parts).run_once()
    assert told(parts) == {
        "amount": "5.00",
        "currency": "EUR",
        "account": "LT121000011101001000",
        "direction": "incoming",
        "reference": "rent",
    }
    for query in ({"account": "LT12 1000 0111 0100 1000"}, {"q": "LT121000011101001000"}):
        assert [event["payment_id"] for event in got(client, "/api/v1/events", token, **query)["data"]] == ["P1"], query


ANSWER = {"token": "t", "status": "Completed", "externalReference": "INV-1"}
FIVE = {"amount": "5", "currency": "USD"}
CHECK = "/api/v1/payments/bcb/FT9/check"


@pytest.mark.parametrize(
    ("answer", "worth"),
    [
        ({"creditAmount": FIVE}, {"amount": "5", "currency": "USD"}),
        (
            {"creditAmount": FIVE, "debitAmount": {"amount": -5, "currency": "USD"}},
            {"amount": "5", "currency": "USD"},
        ),
        ({"debitAmount": "5.00"}, {"amount": "5.00"}),
        ({"creditAmount": FIVE, "debitAmount": {"amount": "4", "currency": "EUR"}}, {}),
        ({"creditAmount": {"amount": [], "currency": "USD"}}, {}),
    ],
)
def test_of_a_payment_that_nobody_named_the_feed_tells_what_the_bank_answers(
    parts: Runtime, client: FlaskClient, token: Headers, answer: dict[str, Any], worth: dict[str, str]
) -> None:
    with answering() as api:
        api.answer = {**ANSWER, **answer}
        add_source(parts, base_url=api.url)
        shown = client.post(CHECK, headers=token).get_json()
    assert told(parts) == {**worth, "reference": "INV-1"}
    # The payment's own amount is what was claimed.
    assert (shown["status"], shown["amount"], shown["currency"]) == ("completed", None, None)


def test_what_the_bank_answers_stands_behind_what_a_callback_claims_and_is_no_claim(
    parts: Runtime, client: FlaskClient, token: Headers
) -> None:
    with answering() as api:
        api.answer = {**ANSWER, "creditAmount": FIVE}
        add_source(parts, base_url=api.url)
        client.post(CHECK, headers=token)
        assert got(client, "/api/v1/exceptions", token)["data"] == []
        tell(parts, deposit(transactionId="FT9", value={"amount": "7.00", "currency": "USD"}))
        api.answer["status"] = "Reversed"
        Worker(parts).run_once()
    assert told(parts) == {
        "amount": "7.00",
        "currency": "USD",
        "account": "1046406142",
        "direction": "incoming",
        "reference": "INV-1",
    }
    payment = got(client, "/api/v1/payments/bcb/FT9", token)
    assert (payment["amount"], payment["currency"]) == ("7.00", "USD")
    kinds = [found["kind"] for found in got(client, "/api/v1/exceptions", token)["data"]]
    assert "amount_differs" in kinds


def test_an_amount_of_the_bank_s_is_not_joined_to_a_currency_that_a_callback_claims(
    parts: Runtime, client: FlaskClient, token: Headers
) -> None:
    with answering() as api:
        api.answer = {**ANSWER, "creditAmount": FIVE}
        add_source(parts, base_url=api.url)
        tell(parts, deposit(transactionId="FT9", value={"amount": "?", "currency": "EUR"}))
        client.post(CHECK, headers=token)
    found = told(parts)
    assert (found.get("amount"), found["currency"]) == (None, "EUR")
