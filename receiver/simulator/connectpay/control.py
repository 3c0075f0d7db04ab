"""Control endpoints of ConnectPay, under `/_simulator`. All bodies are JSON objects; every field is optional.

| call | does |
| --- | --- |
| `POST /_simulator/payments` | takes up a payment order, told by itself as its status changes: `{"amount":"100.00","currency":"EUR","direction":"Outgoing","externalReference":…,"script":[["RCVD",1],["PDNG",1],["RJCT"]],"tell":true}` |
| `PUT /_simulator/payments/<paymentOrderNo>` | the same with a number of your own, told only where `tell` is true; replaces the one with that number |
| `POST /_simulator/events` | sends an event now: `{"type":"Account.BalanceChanged","paymentOrderNo":…,"fields":{…}}`, any type; with `paymentOrderNo` it has that payment's ids; and the fields of a sending (see `callback_control`) |
| `POST /_simulator/user-tokens` | `{"token","seconds"}`: a user has signed in |
| `DELETE /_simulator/user-tokens` | makes every user's token worthless |

Variants: `genuine`, `again`, `forged` (another token), `no-token`, `no-timestamp`, `not-json`. A callback counts as
failed unless it is answered exactly 200 `OK`; after `failures_allowed` failed ones (99) the next switches the service
off. The token changes by `PATCH /_simulator/options` `{"token":"…"}`.
"""  # noqa: E501 - a table's row can't be broken

import secrets
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.callback_control import bank_blueprint, sending, sent
from receiver.simulator.connectpay.callbacks import VARIANTS
from receiver.simulator.connectpay.endpoints import bank
from receiver.simulator.connectpay.payments import DIRECTIONS, Payment, message
from receiver.simulator.fields import BadFieldError, Fields


def blueprint() -> Blueprint:
    """Return ConnectPay's control endpoints."""
    made = bank_blueprint("connectpay_control")
    made.add_url_rule("/payments", view_func=add_payment, methods=["POST"])
    made.add_url_rule("/payments/<order>", view_func=put_payment, methods=["PUT"])
    made.add_url_rule("/events", view_func=send_event, methods=["POST"])
    made.add_url_rule("/user-tokens", view_func=issue, methods=["POST"])
    made.add_url_rule("/user-tokens", view_func=expire, methods=["DELETE"])
    return made


def add_payment() -> Response:
    """`POST /_simulator/payments`."""
    return _taken_up(f"PO{secrets.randbelow(10**10):010d}", tell=True)


def put_payment(order: str) -> Response:
    """`PUT /_simulator/payments/<paymentOrderNo>`."""
    return _taken_up(order, tell=False)


def send_event() -> Response:
    """`POST /_simulator/events`."""
    fields = Fields(request.get_data())
    how, wait = sending(fields, VARIANTS)
    kind = fields.text("type", "OutgoingPayment.Completed")
    ids: dict[str, Any] = {}
    if "paymentOrderNo" in fields:
        payment = bank().payments.get(fields.text("paymentOrderNo"))
        if payment is None:
            raise BadFieldError("paymentOrderNo is not that of a payment; make it first")
        ids = payment.ids()
    ids |= fields.mapping("fields")
    fields.done()
    return sent(bank().outbox, [message(kind, ids, bank().options.now)], how, wait=wait)


def issue() -> Response:
    """`POST /_simulator/user-tokens`."""
    seconds = bank().options.now.user_token_seconds
    return json_answer({"token": bank().bearers.issue("user", seconds), "seconds": seconds})


def expire() -> Response:
    """`DELETE /_simulator/user-tokens`."""
    return json_answer({"expired": bank().bearers.expire_all()})


def _taken_up(order: str, *, tell: bool) -> Response:
    fields = Fields(request.get_data())
    payment = Payment(
        order,
        fields.amount("amount", "100.00"),
        fields.text("currency", "EUR"),
        fields.choice("direction", DIRECTIONS, "Outgoing"),
        fields.script("script") or bank().options.now.payment_script,
        bank().clock(),
        fields.text("externalReference", "") if "externalReference" in fields else None,
        fields.flag("tell", default=tell),
    )
    fields.done()
    bank().payments.put(order, payment)
    return json_answer({"paymentOrderNo": order, "status": payment.status(bank().clock())})
