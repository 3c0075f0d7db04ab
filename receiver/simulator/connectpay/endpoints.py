"""ConnectPay's API as it documents it, and the control endpoints beside it."""

import base64
import binascii
import hmac
import secrets
from decimal import Decimal
from ipaddress import ip_address

from flask import Blueprint, request
from pydantic import Field
from werkzeug.wrappers import Response

from receiver.simulator.connectpay.bank import Direction, Payment, Variant, bank, message
from receiver.simulator.control import SendingBody, control_blueprint, send
from receiver.simulator.json_bodies import Amount, BadInput, Body, Refusal, StatusScript, Text, json_answer, read_body

KEY_HEADER = "x-connectpay-api-key"


blueprint = Blueprint("connectpay", __name__)


@blueprint.before_request
def enter() -> None:
    """Check who calls, and how often.

    Raises:
        Refusal: 400, 401 or 429.
    """
    client = "/client/" in request.path
    wait = bank().wait(request.headers.get("Authorization", "") if client else "partner")
    if wait is not None:
        raise Refusal(429, "TooManyRequests", "Too many requests", seconds=wait)
    if client:
        _check_user()
    elif not _is_key(request.headers.get(KEY_HEADER, "")):
        raise Refusal(401, "Unauthorized", "The API key is missing or wrong")


@blueprint.get("/baas-sca/user-management/partner/users")
def users() -> Response:
    """List the partner's users."""
    return json_answer({"users": [{"id": "1", "email": "user@example.com", "status": "ACTIVE"}]})


@blueprint.post("/baas-sca/user-management/client/users/logout")
def sign_out() -> Response:
    """Sign out: every user's token is good no more."""
    bank().tokens.expire_all()
    return json_answer({})


@blueprint.get("/ob/payments/<path:order>/status")
def plain_status(order: str) -> Response:
    """Answer with a payment's status, as plain BaaS does: `{"transactionStatus"}`."""
    return json_answer({"transactionStatus": _status(order)})


@blueprint.get("/<path:path>")
def sca_status(path: str) -> Response:
    """Answer with a payment's status at the option `status_path`: `{"paymentOrderNo","paymentStatus"}`."""
    before, _, after = bank().config.status_path.removeprefix("/").partition("{paymentOrderNo}")
    if not (path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after)):
        raise Refusal(404, "NotFound", "No such resource")
    order = path[len(before) : len(path) - len(after)]
    return json_answer({"paymentOrderNo": order, "paymentStatus": _status(order)})


def _status(order: str) -> str:
    found = bank().payments.get(order)
    status = found.status(bank().clock()) if found else None
    if status is None:
        raise Refusal(404, "NotFound", "Payment order not found")
    return status


def _check_user() -> None:
    if bank().tokens.presented() is None:
        raise Refusal(401, "Unauthorized", "The user's token is missing or has expired")
    try:
        ip_address(request.headers.get("PSU-IP-Address", ""))
    except ValueError as error:
        raise Refusal(400, "BadRequest", "PSU-IP-Address is missing or no address") from error


def _is_key(shown: str) -> bool:
    config = bank().config
    spelling = "basic" if shown.startswith("Basic ") else "bare"
    try:
        given = base64.b64decode(shown.removeprefix("Basic "), validate=True)
    except (binascii.Error, ValueError):
        return False
    wanted = f"{config.client_key}:{config.client_secret}".encode()
    return config.api_key in ("either", spelling) and hmac.compare_digest(given, wanted)


controls = control_blueprint("connectpay_control")


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


@controls.post("/payments")
def add_payment() -> Response:
    """Take up a payment order, whose changes are announced."""
    return _taken_up(f"PO{secrets.randbelow(10**10):010d}", announced=True)


@controls.put("/payments/<order>")
def put_payment(order: str) -> Response:
    """Take up a payment order with a number of one's own, quietly; it replaces the one with that number."""
    return _taken_up(order, announced=False)


@controls.post("/events")
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


@controls.post("/user-tokens")
def issue() -> Response:
    """Let a user sign in."""
    seconds = bank().config.user_token_seconds
    return json_answer({"token": bank().tokens.issue("user", seconds), "seconds": seconds})


@controls.delete("/user-tokens")
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
