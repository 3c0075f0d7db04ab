"""Control endpoints of Banqup, under `/_simulator`; docs/simulator.md lists them."""

import uuid
from decimal import Decimal

from pydantic import Field
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.banqup.bank import Category, Payment, Variant, bank, message
from receiver.simulator.control import SendingBody, control_blueprint, send
from receiver.simulator.outbox import Message
from receiver.simulator.validation import Amount, BadInput, Body, StatusScript, Text, Texts, read_body

blueprint = control_blueprint("banqup_control")


class PaymentBody(Body):
    """A payment; with `tell` its changes are announced."""

    amount: Amount = Decimal("100.00")
    currency: Text = "EUR"
    space: Text | None = None
    reasons: Texts = Field(default=["BANK_PROCESSING_ERROR"])
    script: StatusScript | None = None
    tell: bool | None = None


class MessageBody(SendingBody):
    """A message about a payment or any other resource; `fields` stand in the envelope, or replace its own."""

    variant: Variant = "genuine"
    category: Category = "document"
    resource_id: Text | None = None
    payment_id: Text | None = None
    status: Text | None = None
    fields: dict[str, object] = Field(default={})


@blueprint.post("/payments")
def add_payment() -> Response:
    """Take up a payment, whose changes are announced."""
    return _taken_up(str(uuid.uuid4()), announced=True)


@blueprint.put("/payments/<payment_id>")
def put_payment(payment_id: str) -> Response:
    """Take up a payment with an id of one's own, quietly; it replaces the payment with that id."""
    return _taken_up(payment_id, announced=False)


@blueprint.post("/messages")
def send_message() -> Response:
    """Send a message now; about a payment it has its own status where none is given."""
    body = read_body(MessageBody)
    return send([_message(body)], body)


@blueprint.get("/extensions")
def extensions() -> Response:
    """Show the listener and all that was registered."""
    return json_answer({"listener": bank().listener, "extensions": bank().extensions})


@blueprint.delete("/extensions")
def forget_extensions() -> Response:
    """Forget them."""
    bank().extensions.clear()
    bank().listener = None
    return extensions()


def _message(body: MessageBody) -> Message:
    config = bank().config
    if body.payment_id is None:
        return message(body.category, body.resource_id or str(uuid.uuid4()), config, body.fields, {})
    payment = bank().payments.get(body.payment_id)
    if payment is None:
        raise BadInput("paymentId is not that of a payment; make it first")
    status = body.status or payment.status(bank().clock()) or "RECEIVED"
    return message("payment", payment.payment_id, config, body.fields, payment.state(status))


def _taken_up(payment_id: str, *, announced: bool) -> Response:
    body, config, now = read_body(PaymentBody), bank().config, bank().clock()
    payment = Payment(
        payment_id,
        body.space or config.space,
        body.amount,
        body.currency,
        tuple(body.reasons),
        body.script or config.payment_script,
        now,
        announced if body.tell is None else body.tell,
    )
    bank().payments.put(payment_id, payment)
    return json_answer({"paymentId": payment_id, "spaceId": payment.space, "status": payment.status(now)})
