"""The bank's endpoints: authorization, payments and accounts. Every call shows a client certificate (see `tls`)."""

import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.banking_circle.bank import bank
from receiver.simulator.banking_circle.payments import Payment
from receiver.simulator.json_bodies import Refusal, json_answer

SIZE_DEFAULT = 50
SIZE_MAX = 5000


blueprint = Blueprint("banking_circle", __name__, url_prefix="/api/v1")


@blueprint.before_request
def enter() -> None:
    """Check the bearer token; the authorization alone needs none.

    Raises:
        Refusal: 401.
    """
    if request.endpoint != "banking_circle.authorize":
        check_token()


def check_token() -> None:
    """Check the bearer token.

    Raises:
        Refusal: 401.
    """
    if bank().tokens.presented() is None:
        raise Refusal(401, "Unauthorized", "The access token is missing or has expired")


@blueprint.get("/authorizations/authorize")
def authorize() -> Response:
    """Take Basic authentication (RFC 7617), for a token."""
    config = bank().config
    wait = bank().token_wait(request.remote_addr or "127.0.0.1")
    if wait is not None:
        raise Refusal(429, "TooManyRequests", "Too many requests", seconds=wait)
    if not hmac.compare_digest(_basic(), f"{config.username}:{config.password}".encode()):
        raise Refusal(401, "Unauthorized", "Wrong user name or password")
    seconds = config.token_lifetime_seconds
    whole = int(seconds)
    answer: dict[str, object] = {
        "access_token": bank().tokens.issue(config.username, seconds),
        "expires_in": str(whole) if config.expires_in == "text" else whole,
    }
    if _typed(config.token_type):
        answer |= {"token_type": "Bearer"}
    return json_answer(answer)


@blueprint.get("/payments/singles/<payment_id>")
def payment(payment_id: str) -> Response:
    """Answer with a payment."""
    return _shown(bank().payments.get(payment_id))


@blueprint.get("/payments/singles/transactionreference/<reference>")
def payment_by_reference(reference: str) -> Response:
    """Answer with a payment by its transaction reference."""
    return _shown(bank().payments.by_reference(reference))


@blueprint.get("/payments/singles/<payment_id>/status")
def payment_status(payment_id: str) -> Response:
    """Answer with a payment's status and nothing else."""
    found = bank().payments.get(payment_id)
    status = found.status(bank().clock()) if found else None
    if status is None:
        raise Refusal(404, "NotFound", "Payment was not found")
    return json_answer({"status": status})


@blueprint.get("/payments/singles")
def payments() -> Response:
    """Answer with a page of the payments, newest first; filters that are unknown are ignored."""
    now = bank().clock()
    form = bank().config.errors_form
    known = [
        (found, status)
        for found, status in reversed(bank().payments.known(now))
        if _wanted(found, status, request.args)
    ]
    return page([found.as_json(status, now, form) for found, status in known])


@blueprint.get("/accounts")
def accounts() -> Response:
    """Answer with a page of the accounts, or one bare account; 404 where the user was granted none."""
    shown = [account.as_json(bank().clock()) for account in bank().accounts]
    if not shown:
        raise Refusal(404, "NotFound", "No accounts were found")
    return json_answer(shown[0]) if bank().config.accounts_shape == "bare" else page(shown)


def _typed(when: str) -> bool:
    return when == "always" or (when == "sometimes" and next(bank().answers) % 2 == 0)


def _shown(found: Payment | None) -> Response:
    now = bank().clock()
    status = found.status(now) if found else None
    if found is None or status is None:
        raise Refusal(404, "NotFound", "Payment was not found")
    return json_answer(found.as_json(status, now, bank().config.errors_form))


def _wanted(found: Payment, status: str, query: Mapping[str, str]) -> bool:
    day = found.started.date().isoformat()
    fits = {
        "AccountId": found.account_id,
        "Status": status,
        "Classification": found.classification,
    }
    if any(query.get(name, value) != value for name, value in fits.items()):
        return False
    firsts = (query.get(name, day) for name in ("InstructedDateFrom", "ValueDateFrom"))
    lasts = (query.get(name, day) for name in ("InstructedDateTo", "ValueDateTo"))
    # A day may come with a time behind it; ISO 8601 days sort as text.
    return all(first[:10] <= day for first in firsts) and all(last[:10] >= day for last in lasts)


def page(entries: Sequence[object]) -> Response:
    """Answer with the page that is asked for.

    Raises:
        Refusal: 400 for numbers out of range.
    """
    config = bank().config
    number, size = _whole("PageNumber", 1, 10**9), _whole("PageSize", SIZE_DEFAULT, SIZE_MAX)
    first = (number - 1) * size
    upper = config.spelling == "upper" or (config.spelling == "alternate" and next(bank().answers) % 2 == 1)
    info = {"currentPage": number, "pageSize": size, "rowCount": len(entries) if config.row_count else None}
    cut = list(entries[first : first + size])
    if upper:
        return json_answer({"Result": cut, "PageInfo": {name[0].upper() + name[1:]: info[name] for name in info}})
    return json_answer({"result": cut, "pageInfo": info})


def _whole(name: str, default: int, highest: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= highest):
        raise Refusal(400, "BadRequest", f"{name} must be from 1 to {highest}", shape="validation")
    return int(text)


def _basic() -> bytes:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        return b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        return b""
