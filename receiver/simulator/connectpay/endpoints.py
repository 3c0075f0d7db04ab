"""The bank's endpoints: partner calls with the API key, client calls with a user's token and address.

Of the many that the bank has, the ones here stand for them all: users of the partner, a user's sign-out, and the status
of a payment on both paths. Where a path holds `/client/` the call is a user's, else the partner's. How the bank answers
an error is not published.
"""

import base64
import binascii
import hmac
from ipaddress import ip_address
from typing import cast

from flask import Blueprint, current_app, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.application import STATE
from receiver.simulator.connectpay.bank import Bank
from receiver.simulator.refusals import Refusal, refuse

KEY_HEADER = "x-connectpay-api-key"


def blueprint() -> Blueprint:
    """Return the bank's endpoints, guarded."""
    made = Blueprint("connectpay", __name__)
    made.before_request(enter)
    made.register_error_handler(Refusal, refuse)
    made.add_url_rule("/baas-sca/user-management/partner/users", view_func=users)
    made.add_url_rule("/baas-sca/user-management/client/users/logout", view_func=sign_out, methods=["POST"])
    made.add_url_rule("/ob/payments/<path:order>/status", view_func=plain_status)
    made.add_url_rule("/<path:path>", view_func=sca_status)
    return made


def bank() -> Bank:
    """Return the bank that serves the current request."""
    return cast(Bank, current_app.extensions[STATE])


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


def users() -> Response:
    """`GET /baas-sca/user-management/partner/users`."""
    return json_answer({"users": [{"id": "1", "email": "user@example.com", "status": "ACTIVE"}]})


def sign_out() -> Response:
    """`POST /baas-sca/user-management/client/users/logout`; every user's token is good no more."""
    bank().bearers.expire_all()
    return json_answer({})


def plain_status(order: str) -> Response:
    """`GET /ob/payments/{paymentOrderNo}/status`: `{"transactionStatus"}`."""
    return json_answer({"transactionStatus": _status(order)})


def sca_status(path: str) -> Response:
    """The option `status_path`: `{"paymentOrderNo","paymentStatus"}`."""
    before, _, after = bank().options.now.status_path.removeprefix("/").partition("{paymentOrderNo}")
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
    if not bank().bearers.presented():
        raise Refusal(401, "Unauthorized", "The user's token is missing or has expired")
    try:
        ip_address(request.headers.get("PSU-IP-Address", ""))
    except ValueError as error:
        raise Refusal(400, "BadRequest", "PSU-IP-Address is missing or no address") from error


def _is_key(shown: str) -> bool:
    config = bank().options.now
    spelling = "basic" if shown.startswith("Basic ") else "bare"
    try:
        given = base64.b64decode(shown.removeprefix("Basic "), validate=True)
    except (binascii.Error, ValueError):
        return False
    wanted = f"{config.client_key}:{config.client_secret}".encode()
    return config.api_key in ("either", spelling) and hmac.compare_digest(given, wanted)
