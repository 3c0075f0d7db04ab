"""The bank's endpoints: partner calls with the API key, client calls with a user's token and address.

Of the many that the bank has, the ones here stand for them all: users of the partner, a user's sign-out, and the status
of a payment on both paths. Where a path holds `/client/` the call is a user's, else the partner's. How the bank answers
an error is not published.
"""

import base64
import binascii
import hmac
from ipaddress import ip_address

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import Refusal, json_answer
from receiver.simulator.connectpay.bank import bank

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
