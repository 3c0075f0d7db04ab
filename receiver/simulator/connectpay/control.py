"""Control endpoints of ConnectPay, under `/_simulator`; docs/simulator.md lists them."""

import secrets
from decimal import Decimal

from pydantic import Field
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.connectpay.bank import Direction, Payment, Variant, bank, message
from receiver.simulator.control import SendingBody, control_blueprint, send
from receiver.simulator.validation import Amount, BadInput, Body, StatusScript, Text, read_body

blueprint = control_blueprint("connectpay_control")


class PaymentBody(Body):
    """A payment order; with `tell` its changes are announced."""

    amount: Amount = Decimal("100.00")
    currency: Text = "EUR"
    direction: Direction = "Outgoing"
    external_reference: Text | None = None
    script: StatusScript | None = None
    tell: bool | None = None


class EventBody(SendingBody):
    """An event of any type; `fields` stand beside a payment's ids, or replace them."""

    variant: Variant = "genuine"
    type: Text = "OutgoingPayment.Completed"
    payment_order_no: Text | None = None
    fields: dict[str, object] = Field(default={})


@blueprint.post("/payments")
def add_payment() -> Response:
    """Take up a payment order, whose changes are announced."""
    return _taken_up(f"PO{secrets.randbelow(10**10):010d}", announced=True)


@blueprint.put("/payments/<order>")
def put_payment(order: str) -> Response:
    """Take up a payment order with a number of one's own, quietly; it replaces the one with that number."""
    return _taken_up(order, announced=False)


@blueprint.post("/events")
def send_event() -> Response:
    """Send an event now; with `paymentOrderNo` it has that payment's ids."""
    body = read_body(EventBody)
    ids: dict[str, object] = {}
    if body.payment_order_no is not None:
        payment = bank().payments.get(body.payment_order_no)
        if payment is None:
            raise BadInput("paymentOrderNo is not that of a payment; make it first")
        ids = payment.ids()
    return send([message(body.type, ids | body.fields, bank().config)], body)


@blueprint.post("/user-tokens")
def issue() -> Response:
    """Let a user sign in."""
    seconds = bank().config.user_token_seconds
    return json_answer({"token": bank().tokens.issue("user", seconds), "seconds": seconds})


@blueprint.delete("/user-tokens")
def expire() -> Response:
    """Make every user's token worthless."""
    return json_answer({"expired": bank().tokens.expire_all()})


def _taken_up(order: str, *, announced: bool) -> Response:
    body, now = read_body(PaymentBody), bank().clock()
    payment = Payment(
        order,
        body.amount,
        body.currency,
        body.direction,
        body.script or bank().config.payment_script,
        now,
        body.external_reference,
        announced if body.tell is None else body.tell,
    )
    bank().payments.put(order, payment)
    return json_answer({"paymentOrderNo": order, "status": payment.status(now)})
