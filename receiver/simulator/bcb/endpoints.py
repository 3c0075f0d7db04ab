"""The bank's endpoints, as a Flask blueprint: token, keys, clock, payments, accounts, subscriptions, credentials.

Read as the sheet has them. Where it is silent: an account has `id, number, label, owners, type, balance,
accountAttributes`; `debitAmount` and `creditAmount` are `{"amount","currency"}` with the amount as a decimal string;
subscriptions have `subscriptionId, topic, callbackUrl, isActive`; `fromDate` and `toDate` are `yyyy-MM-dd` or
`yyyyMMdd` and default to the last year.
"""

import hmac
from datetime import date, datetime, timedelta

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.bcb import credential_endpoints, gate, job_endpoints, pages
from receiver.simulator.bcb.accounts import Account
from receiver.simulator.bcb.bodies import read_object
from receiver.simulator.bcb.refusals import BankRefusal, not_found, unauthorised
from receiver.simulator.fields import is_url
from receiver.simulator.parts import parts

RANGE_MAX = timedelta(days=366)
"""The sheet: at most one year."""


def blueprint() -> Blueprint:
    """Return the bank's endpoints, guarded."""
    made = Blueprint("bcb", __name__)
    made.before_request(gate.enter)
    made.register_error_handler(BankRefusal, gate.answer)
    made.add_url_rule("/auth/token", "token", token, methods=["POST"])
    made.add_url_rule("/v1/.well-known/jwks.json", view_func=jwks)
    made.add_url_rule("/v1/system/time", view_func=system_time)
    made.add_url_rule("/v1/payments/<payment_id>/status", view_func=payment_status)
    made.add_url_rule("/v1/accounts", view_func=accounts)
    made.add_url_rule("/v1/accounts/<number>", view_func=account)
    made.add_url_rule("/v1/accounts/<number>/payments", view_func=account_payments)
    made.add_url_rule("/v1/accounts/<number>/transactions", view_func=account_transactions)
    made.add_url_rule("/v1/notifications/subscriptions", view_func=subscribe, methods=["POST"])
    made.add_url_rule("/v1/notifications/subscriptions", view_func=subscriptions)
    made.add_url_rule("/v1/notifications/subscriptions/<subscription_id>", view_func=subscription)
    job_endpoints.add_to(made)
    credential_endpoints.add_to(made)
    return made


def token() -> Response:
    """`POST /auth/token`: `{"clientId","clientSecret"}` for `{"token"}`."""
    body = read_object()
    client_id, secret = body.get("clientId"), body.get("clientSecret")
    if not isinstance(client_id, str) or not isinstance(secret, str):
        raise BankRefusal(400, "Bad request", "clientId and clientSecret are required")
    bank = parts().bank
    client = bank.clients.get(client_id)
    if client is None or not client.is_active or not _same(client.client_secret, secret):
        raise unauthorised()
    if not client.admits(request.remote_addr or "127.0.0.1"):
        raise BankRefusal(403, "Forbidden", "IP address not allowed")
    return json_answer({"token": bank.tokens.issue(client)})


def jwks() -> Response:
    """`GET /v1/.well-known/jwks.json`."""
    return json_answer(parts().bank.keys.jwks())


def system_time() -> Response:
    """`GET /v1/system/time`: `{timestamp: ISO 8601 with offset, timeZone}`."""
    return json_answer({"timestamp": parts().bank.clock().isoformat(), "timeZone": "UTC"})


def payment_status(payment_id: str) -> Response:
    """`GET /v1/payments/{id}/status`; 404 while the bank does not know the payment."""
    gate.need("get-payment-status")
    bank = parts().bank
    payment = bank.payments.get(payment_id)
    status = payment.status(bank.clock()) if payment else None
    if payment is None or status is None:
        raise not_found("Payment")
    return json_answer(payment.as_status(status))


def accounts() -> Response:
    """`GET /v1/accounts`."""
    gate.need("get-all-accounts")
    bank = parts().bank
    entries = [account.as_json(bank.accounts.balance(account, bank.clock())) for account in bank.accounts.all()]
    return json_answer(pages.read(request.args).of(entries))


def account(number: str) -> Response:
    """`GET /v1/accounts/{n}`: details and balance."""
    gate.need("get-account")
    bank = parts().bank
    found = _account(number)
    return json_answer(found.as_json(bank.accounts.balance(found, bank.clock())))


def account_payments(number: str) -> Response:
    """`GET /v1/accounts/{n}/payments`: the payment statuses of an account."""
    gate.need("get-payment-status")
    bank = parts().bank
    known = bank.payments.known(_account(number).number, bank.clock())
    return json_answer(pages.read(request.args).of([payment.as_status(status) for payment, status in known]))


def account_transactions(number: str) -> Response:
    """`GET /v1/accounts/{n}/transactions`: entries of at most one year, both days included."""
    gate.need("get-transactions")
    bank = parts().bank
    now = bank.clock()
    first, last = _date_range(now)
    known = bank.payments.known(_account(number).number, now)
    entries = [payment.as_transaction() for payment, _ in known if first <= payment.started.date() <= last]
    return json_answer(pages.read(request.args).of(entries))


def subscribe() -> Response:
    """`POST /v1/notifications/subscriptions` `{"topic","callbackUrl"}`; its fields are a guess."""
    body = read_object()
    topic, url = body.get("topic"), body.get("callbackUrl")
    if not isinstance(topic, str) or not isinstance(url, str) or not is_url(url):
        raise BankRefusal(400, "Bad request", "topic and callbackUrl are required")
    return json_answer(parts().bank.subscribe(topic, url).as_json(), 201)


def subscriptions() -> Response:
    """`GET /v1/notifications/subscriptions`."""
    entries = [found.as_json() for found in parts().bank.subscriptions()]
    return json_answer(pages.read(request.args).of(entries))


def subscription(subscription_id: str) -> Response:
    """`GET /v1/notifications/subscriptions/{id}`."""
    found = parts().bank.subscription(subscription_id)
    if found is None:
        raise not_found("Subscription")
    return json_answer(found.as_json())


def _account(number: str) -> Account:
    found = parts().bank.accounts.get(number)
    if found is None:
        raise not_found("Account")
    return found


def _date_range(now: datetime) -> tuple[date, date]:
    last = _date("toDate", now.date())
    first = _date("fromDate", max(date.min + RANGE_MAX, last) - RANGE_MAX)
    if not timedelta(0) <= last - first <= RANGE_MAX:
        raise BankRefusal(400, "Bad request", "The date range must be at most one year, fromDate before toDate")
    return first, last


def _date(name: str, default: date) -> date:
    text = request.args.get(name)
    if text is None:
        return default
    # The lengths keep out ISO 8601's week dates, which the bank does not take.
    if len(text) in (8, 10) and text.replace("-", "").isdigit():
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise BankRefusal(400, "Bad request", f"{name} must be yyyy-MM-dd or yyyyMMdd")


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode("utf-8", "surrogatepass"))
