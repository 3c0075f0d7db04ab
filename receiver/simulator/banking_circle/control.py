"""Control endpoints of Banking Circle, under `/_simulator`. All bodies are JSON objects; every field is optional.

| call | does |
| --- | --- |
| `POST /_simulator/payments` | books a payment, made up where nothing is said; its statuses follow the sandbox amounts unless `script` is given, and each is told by itself: `{"amount":"19.00","currency":"EUR","classification":"Outgoing","reference":"010F…","accountId":…,"script":[["PendingProcessing",2],["Processed"]],"remittance":["…"],"return":false,"tell":true}` |
| `PUT /_simulator/payments/<id>` | the same with an id of your own, told only where `tell` is true; replaces the payment with that id |
| `GET /_simulator/payments` | `{"payments":[{"paymentId","transactionReference","status","amount","currency","return"},…]}`, newest first |
| `POST /_simulator/notifications` | sends now: about one payment `{"paymentId":…,"type":"MissingFunding"}`, or `{"count":1000,"type":…,"padding":0}` about new payments, each with so many characters of padding, or `{"notifications":[{…},…]}` as they are; with the fields of a sending |
| `PUT /_simulator/accounts` | `{"count":0}` (required): so many accounts, made up |
| `GET /_simulator/certificates` | where the run's certificates lie: `{"ca","client_pfx","client_pem","expired_pfx","wrong_ca_pfx"}` |
| `POST /_simulator/tokens/expire` | makes every token worthless at once |

A sending (see `callback_control`) also takes `{"batchSize":1000,"order":"kept"}`. Variants: `genuine`, `again`,
`again-encrypted` (the text of the last genuine callback with a new nonce), `forged` (another key), `altered-body`,
`altered-tag`, `altered-nonce`, `altered-checksum` (one bit), `short-nonce`, `short-tag`, `no-headers`, `utf8` and
`not-json` (rightly encrypted). Orders: `kept`, `reversed`, `shuffled`. One callback that is given up switches the
subscription off.
"""  # noqa: E501 - a table's row can't be broken

import uuid
from dataclasses import asdict, replace

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.banking_circle.accounts import made_up
from receiver.simulator.banking_circle.bank import Order
from receiver.simulator.banking_circle.encryption import VARIANTS
from receiver.simulator.banking_circle.notifications import KINDS, notification
from receiver.simulator.banking_circle.notifier import ORDERS
from receiver.simulator.banking_circle.parts import parts
from receiver.simulator.banking_circle.payments import CLASSIFICATIONS, Payment
from receiver.simulator.callback_control import bank_blueprint, sending, sent
from receiver.simulator.fields import BadFieldError, Fields

ACCOUNTS_MAX = 20_000
PADDING_MAX = 100_000
COUNT_MAX = 100_000


def blueprint() -> Blueprint:
    """Return Banking Circle's control endpoints."""
    made = bank_blueprint("banking_circle_control")
    made.add_url_rule("/payments", view_func=payments)
    made.add_url_rule("/payments", view_func=add_payment, methods=["POST"])
    made.add_url_rule("/payments/<payment_id>", view_func=put_payment, methods=["PUT"])
    made.add_url_rule("/notifications", view_func=notify, methods=["POST"])
    made.add_url_rule("/accounts", view_func=set_accounts, methods=["PUT"])
    made.add_url_rule("/certificates", view_func=certificates)
    made.add_url_rule("/tokens/expire", view_func=expire_tokens, methods=["POST"])
    return made


def payments() -> Response:
    """`GET /_simulator/payments`."""
    bank = parts().bank
    return json_answer({"payments": [_shown(payment, status) for payment, status in bank.payments.known(bank.clock())]})


def add_payment() -> Response:
    """`POST /_simulator/payments`."""
    return _booked(Fields(request.get_data()), Order())


def put_payment(payment_id: str) -> Response:
    """`PUT /_simulator/payments/<id>`."""
    return _booked(Fields(request.get_data()), Order(payment_id=payment_id, told=False))


def notify() -> Response:
    """`POST /_simulator/notifications`."""
    notifier = parts().notifier
    fields = Fields(request.get_data())
    how, wait = sending(fields, VARIANTS)
    size = fields.whole("batchSize", None, 1000)
    order = fields.choice("order", ORDERS, "kept")
    told = _told(fields)
    fields.done()
    return sent(notifier.outbox, notifier.batches(told, size, order), how, wait=wait)


def set_accounts() -> Response:
    """`PUT /_simulator/accounts`."""
    fields = Fields(request.get_data())
    if "count" not in fields:
        raise BadFieldError("count is missing")
    count = fields.whole("count", 0, ACCOUNTS_MAX) or 0
    fields.done()
    parts().bank.accounts = made_up(count)
    return json_answer({"count": count})


def certificates() -> Response:
    """`GET /_simulator/certificates`."""
    return json_answer({name: str(path) for name, path in asdict(parts().certificates).items()})


def expire_tokens() -> Response:
    """`POST /_simulator/tokens/expire`."""
    return json_answer({"expired": parts().bank.bearers.expire_all()})


def _booked(fields: Fields, usual: Order) -> Response:
    bank = parts().bank
    order = replace(
        usual,
        amount=fields.amount("amount", f"{usual.amount:f}"),
        currency=fields.text("currency", usual.currency),
        classification=fields.choice("classification", CLASSIFICATIONS, usual.classification),
        reference=fields.text("reference", "") if "reference" in fields else None,
        account_id=fields.text("accountId", "") if "accountId" in fields else None,
        script=fields.script("script"),
        remittance=tuple(fields.texts("remittance")) if "remittance" in fields else usual.remittance,
        is_return=fields.flag("return", default=usual.is_return),
        told=fields.flag("tell", default=usual.told),
    )
    fields.done()
    payment = bank.book(order)
    return json_answer(_shown(payment, payment.status(bank.clock())))


def _shown(payment: Payment, status: str | None) -> dict[str, object]:
    return {
        "paymentId": payment.payment_id,
        "transactionReference": payment.transaction_reference,
        "status": status,
        "amount": f"{payment.amount:f}",
        "currency": payment.currency,
        "return": payment.is_return,
    }


def _told(fields: Fields) -> list[dict[str, object]]:
    bank = parts().bank
    if "notifications" in fields:
        return fields.objects("notifications")
    kind = fields.choice("type", KINDS, "OutgoingPaymentProcessed")
    config, now = bank.options.now, bank.clock()
    if "paymentId" in fields:
        payment = bank.payments.get(fields.text("paymentId"))
        if payment is None:
            raise BadFieldError("paymentId is not that of a payment; book it first")
        return [notification(payment, kind, config, now)]
    padding = fields.whole("padding", 0, PADDING_MAX) or 0
    incoming = kind.startswith("Incoming")
    order = Order(
        classification="Incoming" if incoming else "Outgoing",
        remittance=("Größe " + "x" * padding,) if padding else ("Invoice 1",),
        told=False,
    )
    count = fields.whole("count", 1, COUNT_MAX) or 1
    made = [replace(order, payment_id=str(uuid.uuid4())) for _ in range(count)]
    return [notification(bank.book(each), kind, config, now) for each in made]
