"""What the feed tells of a payment besides its state, so that nobody needs a second call; on both databases."""

from typing import Any

import others
from answering import answering
from flask.testing import FlaskClient
from others import TOKEN
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
