"""Control endpoints of Banqup, under `/_simulator`. All bodies are JSON objects; every field is optional.

| call | does |
| --- | --- |
| `POST /_simulator/payments` | takes up a payment, told by itself as its status changes: `{"amount":"100.00","currency":"EUR","space":…,"reasons":["INSUFFICIENT_FUNDS"],"script":[["RECEIVED",1],["PAID INFORMATIONAL",1],["FAILED"]],"tell":true}` |
| `PUT /_simulator/payments/<id>` | the same with an id of your own, told only where `tell` is true; replaces the payment with that id |
| `POST /_simulator/messages` | sends a message now: `{"category":"document","resourceId":…,"fields":{…}}`; about a payment, `{"paymentId":…,"status":"PAID"}` (its own status where none is given); `fields` stand in the envelope, or replace its own; and the fields of a sending (see `callback_control`) |
| `GET`, `DELETE /_simulator/extensions` | `{"listener":"https://…","extensions":[{…},…]}`: the listeners that were registered; forgets them |
| `POST /_simulator/tokens/expire` | makes every token worthless at once |

Variants: `genuine`, `again`, `forged` (another token in the header), `no-token`, `not-json`. Messages go to
`{listener or callback_url or url}/messages`.
"""  # noqa: E501 - a table's row can't be broken

import uuid

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.banqup.callbacks import VARIANTS
from receiver.simulator.banqup.endpoints import bank
from receiver.simulator.banqup.payments import CATEGORIES, Payment, message
from receiver.simulator.callback_control import bank_blueprint, sending, sent
from receiver.simulator.fields import BadFieldError, Fields
from receiver.simulator.parcels import Message


def blueprint() -> Blueprint:
    """Return Banqup's control endpoints."""
    made = bank_blueprint("banqup_control")
    made.add_url_rule("/payments", view_func=add_payment, methods=["POST"])
    made.add_url_rule("/payments/<payment_id>", view_func=put_payment, methods=["PUT"])
    made.add_url_rule("/messages", view_func=send_message, methods=["POST"])
    made.add_url_rule("/extensions", view_func=extensions)
    made.add_url_rule("/extensions", view_func=forget_extensions, methods=["DELETE"])
    made.add_url_rule("/tokens/expire", view_func=expire_tokens, methods=["POST"])
    return made


def add_payment() -> Response:
    """`POST /_simulator/payments`."""
    return _taken_up(str(uuid.uuid4()), tell=True)


def put_payment(payment_id: str) -> Response:
    """`PUT /_simulator/payments/<id>`."""
    return _taken_up(payment_id, tell=False)


def send_message() -> Response:
    """`POST /_simulator/messages`."""
    fields = Fields(request.get_data())
    how, wait = sending(fields, VARIANTS)
    told = _message(fields)
    fields.done()
    return sent(bank().outbox, [told], how, wait=wait)


def extensions() -> Response:
    """`GET /_simulator/extensions`."""
    return json_answer({"listener": bank().listener, "extensions": bank().extensions})


def forget_extensions() -> Response:
    """`DELETE /_simulator/extensions`."""
    bank().extensions.clear()
    bank().listener = None
    return extensions()


def expire_tokens() -> Response:
    """`POST /_simulator/tokens/expire`."""
    return json_answer({"expired": bank().bearers.expire_all()})


def _message(fields: Fields) -> Message:
    config, given = bank().options.now, fields.mapping("fields")
    if "paymentId" not in fields:
        category = fields.choice("category", CATEGORIES, "document")
        return message(category, fields.text("resourceId", str(uuid.uuid4())), config, given, {})
    payment = bank().payments.get(fields.text("paymentId"))
    if payment is None:
        raise BadFieldError("paymentId is not that of a payment; make it first")
    status = fields.text("status", payment.status(bank().clock()) or "RECEIVED")
    return message("payment", payment.payment_id, config, given, payment.state(status))


def _taken_up(payment_id: str, *, tell: bool) -> Response:
    config = bank().options.now
    fields = Fields(request.get_data())
    payment = Payment(
        payment_id,
        fields.text("space", config.space),
        fields.amount("amount", "100.00"),
        fields.text("currency", "EUR"),
        tuple(fields.texts("reasons")) if "reasons" in fields else ("BANK_PROCESSING_ERROR",),
        fields.script("script") or config.payment_script,
        bank().clock(),
        fields.flag("tell", default=tell),
    )
    fields.done()
    bank().payments.put(payment_id, payment)
    return json_answer({"paymentId": payment_id, "spaceId": payment.space, "status": payment.status(bank().clock())})
