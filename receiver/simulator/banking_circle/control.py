"""Control endpoints of Banking Circle, under `/_simulator`; docs/simulator.md lists them."""

from dataclasses import asdict, replace
from decimal import Decimal
from typing import Annotated

from pydantic import Field
from werkzeug.wrappers import Response

from receiver.simulator.banking_circle.bank import BatchOrder, bank
from receiver.simulator.banking_circle.notifications import Kind, Variant, notification
from receiver.simulator.banking_circle.payments import Classification, Payment, made_up_accounts
from receiver.simulator.control import SendingBody, control_blueprint, send
from receiver.simulator.json_bodies import (
    Amount,
    BadInput,
    Body,
    Objects,
    StatusScript,
    Text,
    Texts,
    Time,
    json_answer,
    read_body,
)

blueprint = control_blueprint("banking_circle_control")


class PaymentBody(Body):
    """A payment, made up where nothing is said; with `tell` its changes are announced."""

    amount: Amount = Decimal("100.00")
    currency: Text = "EUR"
    classification: Classification = "Outgoing"
    reference: Text | None = None
    account_id: Text | None = None
    script: StatusScript | None = None
    remittance: Texts = Field(default=["Invoice 1"])
    is_return: bool = Field(default=False, alias="return")
    tell: bool | None = None
    at: Time | None = None


class NotificationsBody(SendingBody):
    """What to send: about one payment, about `count` new ones, or `notifications` as they are.

    They may claim another amount than the bank has; new payments may be denied: told, and not known to the bank.
    """

    variant: Variant = "genuine"
    payment_id: Text | None = None
    type: Kind = "OutgoingPaymentProcessed"
    count: Annotated[int, Field(ge=0, le=100_000)] = 1
    padding: Annotated[int, Field(ge=0, le=100_000)] = 0
    notifications: Objects | None = None
    claimed_amount: Amount | None = None
    deny: bool = False
    batch_size: Annotated[int, Field(ge=0, le=1000)] | None = None
    order: BatchOrder = "kept"


class RowBody(Body):
    """A row of the reconciliation report, in whatever form."""

    raw: object = None


class AccountsBody(Body):
    """How many accounts there are."""

    count: Annotated[int, Field(ge=0, le=20_000)]


@blueprint.get("/payments")
def payments() -> Response:
    """Show all payments, newest first."""
    known = reversed(bank().payments.known(bank().clock()))
    return json_answer({"payments": [_shown(payment, status) for payment, status in known]})


@blueprint.post("/payments")
def add_payment() -> Response:
    """Take up a payment, whose changes are announced."""
    return _taken_up(None, announced=True)


@blueprint.put("/payments/<payment_id>")
def put_payment(payment_id: str) -> Response:
    """Take up a payment with an id of one's own, quietly; it replaces the payment with that id."""
    return _taken_up(payment_id, announced=False)


@blueprint.post("/report-rows")
def add_row() -> Response:
    """Let the reconciliation report show anything at all, besides what it does, on every day."""
    row = read_body(RowBody).raw
    bank().rows.append(row)
    return json_answer({"row": row})


@blueprint.post("/notifications")
def notify() -> Response:
    """Send notifications now, in batches."""
    body = read_body(NotificationsBody)
    return send(bank().batches(_notifications(body), body.batch_size, body.order), body)


@blueprint.put("/accounts")
def set_accounts() -> Response:
    """Replace the accounts by so many others, made up."""
    count = read_body(AccountsBody).count
    bank().accounts = made_up_accounts(count)
    return json_answer({"count": count})


@blueprint.get("/certificates")
def certificates() -> Response:
    """Show where the run's certificates lie."""
    files = bank().certificates
    return json_answer({name: str(path) for name, path in asdict(files).items()} if files else {})


def _taken_up(payment_id: str | None, *, announced: bool) -> Response:
    body = read_body(PaymentBody)
    fields = {name: value for name, value in body if name != "tell"}
    payment = bank().add_payment(payment_id, announced=announced if body.tell is None else body.tell, **fields)
    return json_answer(_shown(payment, payment.status(bank().clock())))


def _shown(payment: Payment, status: str | None) -> dict[str, object]:
    return {
        "paymentId": payment.payment_id,
        "transactionReference": payment.transaction_reference,
        "status": status,
        "amount": f"{payment.amount:f}",
        "currency": payment.currency,
        "return": payment.is_return,
    }


def _notifications(body: NotificationsBody) -> list[dict[str, object]]:
    if body.notifications is not None:
        return body.notifications
    if body.payment_id is None:
        made = [_new_payment(body) for _ in range(body.count or 1)]
    else:
        payment = bank().payments.get(body.payment_id)
        if payment is None:
            raise BadInput("paymentId is not that of a payment; make it first")
        made = [payment]
    if body.claimed_amount is not None:
        made = [replace(payment, amount=body.claimed_amount) for payment in made]
    return [notification(payment, body.type, bank().config, bank().clock()) for payment in made]


def _new_payment(body: NotificationsBody) -> Payment:
    return bank().add_payment(
        classification="Incoming" if body.type.startswith("Incoming") else "Outgoing",
        remittance=["Größe " + "x" * body.padding] if body.padding else ["Invoice 1"],
        announced=False,
        is_known=not body.deny,
    )
