"""The bank's endpoints: keys, clock, payments, accounts, subscriptions, jobs; all of them in pages where they list.

Read as the documentation has them. Where it is silent: an account has `id, number, label, owners, type, balance,
accountAttributes`; `debitAmount` and `creditAmount` are `{"amount","currency"}` with the amount as a decimal string;
subscriptions have `subscriptionId, topic, callbackUrl, isActive`; `fromDate` and `toDate` are `yyyy-MM-dd` or
`yyyyMMdd` and default to the last year. Results of jobs come in pages, empty until the job has ended; jobs need no
permission beyond the token, because none is published for them.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.bcb.bank import bank
from receiver.simulator.bcb.credentials import caller, enter, need, not_found, read_object
from receiver.simulator.bcb.payments import ACTIVE, Account, Job
from receiver.simulator.json_bodies import Refusal, is_headers, is_url, json_answer

RANGE_MAX = timedelta(days=366)
"""The documentation: at most one year."""

ITEMS_MAX = 1000
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
_PAGES_MAX = 10**9

blueprint = Blueprint("bcb", __name__)
blueprint.before_request(enter)


@blueprint.get("/v1/.well-known/jwks.json")
def jwks() -> Response:
    """Answer with the public key that callbacks are checked with."""
    return json_answer(bank().keys.jwks())


@blueprint.get("/v1/system/time")
def system_time() -> Response:
    """Answer with the bank's time: `{timestamp: ISO 8601 with offset, timeZone}`."""
    return json_answer({"timestamp": bank().clock().isoformat(), "timeZone": "UTC"})


@blueprint.get("/v1/payments/<payment_id>/status")
def payment_status(payment_id: str) -> Response:
    """Answer with a payment's status; 404 while the bank does not know the payment."""
    need("get-payment-status")
    payment = bank().payments.get(payment_id)
    status = payment.status(bank().clock()) if payment else None
    if payment is None or status is None:
        raise not_found("Payment")
    return json_answer(payment.as_status(status))


@blueprint.get("/v1/accounts")
def accounts() -> Response:
    """List the accounts."""
    need("get-all-accounts")
    return _page([_shown(account) for account in bank().accounts()])


@blueprint.get("/v1/accounts/<number>")
def account(number: str) -> Response:
    """Answer with an account's details and balance."""
    need("get-account")
    return json_answer(_shown(_account(number)))


@blueprint.get("/v1/accounts/<number>/payments")
def account_payments(number: str) -> Response:
    """List the payment statuses of an account."""
    need("get-payment-status")
    return _page([payment.as_status(status) for payment, status in bank().payments_of(_account(number))])


@blueprint.get("/v1/accounts/<number>/transactions")
def account_transactions(number: str) -> Response:
    """List the entries of an account in at most one year, both days included."""
    need("get-transactions")
    first, last = _date_range(bank().clock())
    return _page(bank().transactions(_account(number), first, last))


@blueprint.post("/v1/notifications/subscriptions")
def subscribe() -> Response:
    """Take up a subscription `{"topic","callbackUrl"}`; its fields are a guess."""
    body = read_object()
    topic, url = body.get("topic"), body.get("callbackUrl")
    if not isinstance(topic, str) or not isinstance(url, str) or not is_url(url):
        raise Refusal(400, "Bad request", "topic and callbackUrl are required")
    return json_answer(bank().subscribe(topic, url).as_json(), 201)


@blueprint.get("/v1/notifications/subscriptions")
def subscriptions() -> Response:
    """List the subscriptions."""
    return _page([found.as_json() for found in bank().subscriptions()])


@blueprint.get("/v1/notifications/subscriptions/<subscription_id>")
def subscription(subscription_id: str) -> Response:
    """Answer with one subscription."""
    found = bank().subscription(subscription_id)
    if found is None:
        raise not_found("Subscription")
    return json_answer(found.as_json())


@blueprint.patch("/v1/notifications/subscriptions/<subscription_id>/deactivate")
def deactivate(subscription_id: str) -> Response:
    """Deactivate a subscription; the path is a guess."""
    found = bank().deactivate(subscription_id)
    if found is None:
        raise not_found("Subscription")
    return json_answer(found.as_json())


@blueprint.post("/v1/virtual-accounts")
def create_virtual_accounts() -> Response:
    """Take up `{"items","callbackUrl"?,"customHeaders"?}` as a job: 202; one request in 2 s."""
    body, gap = read_object(), bank().config.virtual_account_gap_seconds
    items, url, headers = body.get("items"), body.get("callbackUrl"), body.get("customHeaders")
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS_MAX:
        raise Refusal(400, "Bad request", f"items must be a list of 1 to {ITEMS_MAX}")
    if url is not None and not (isinstance(url, str) and is_url(url)):
        raise Refusal(400, "Bad request", "callbackUrl must be an absolute address")
    if headers is not None and not is_headers(headers):
        raise Refusal(400, "Bad request", "customHeaders: at most 10, keys up to 50, values up to 500 characters")
    wait = bank().creations_limit.take(caller(), 1 if gap else 0, gap)
    if wait is not None:
        raise Refusal(429, "Rate limit exceeded", "Too many requests", seconds=wait)
    made = bank().create_job(len(items), url, headers if isinstance(headers, dict) else {})
    address = f"{request.host_url}v1/jobs/{made.job_id}"
    shown = {"jobId": made.job_id, "status": "Pending", "statusUrl": address, "resultUrl": f"{address}/results"}
    return json_answer(shown, 202)


@blueprint.get("/v1/jobs")
def jobs() -> Response:
    """List the jobs that are Pending or InProgress, and no others."""
    now = bank().clock()
    return _page([found.as_json(now) for found, status in bank().jobs.known(now) if status in ACTIVE])


@blueprint.get("/v1/jobs/<job_id>")
def job(job_id: str) -> Response:
    """Answer with a job's status and summary."""
    return json_answer(_job(job_id).as_json(bank().clock()))


@blueprint.get("/v1/jobs/<job_id>/results")
def job_results(job_id: str) -> Response:
    """List what became of a job's items."""
    found = _job(job_id)
    return _page([item.as_json(as_text=found.result_as_text) for item in found.results_at(bank().clock())])


def _account(number: str) -> Account:
    found = bank().account(number)
    if found is None:
        raise not_found("Account")
    return found


def _shown(account: Account) -> dict[str, object]:
    return account.as_json(account.balance(bank().payments_of(account)))


def _job(job_id: str) -> Job:
    found = bank().jobs.get(job_id)
    if found is None or found.status(bank().clock()) is None:
        raise not_found("Job")
    return found


def _date_range(now: datetime) -> tuple[date, date]:
    last = _date("toDate", now.date())
    first = _date("fromDate", max(date.min + RANGE_MAX, last) - RANGE_MAX)
    if not timedelta(0) <= last - first <= RANGE_MAX:
        raise Refusal(400, "Bad request", "The date range must be at most one year, fromDate before toDate")
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
    raise Refusal(400, "Bad request", f"{name} must be yyyy-MM-dd or yyyyMMdd")


def _page(entries: Sequence[object]) -> Response:
    """Answer with the page that is asked for; with a token, `pageStart` may name another page than the next.

    A token holds a comma, as the bank's do, and stands for the size and the next page; the last page has none.

    Raises:
        Refusal: 400 for numbers out of range, a token that is not ours, or a `pageSize` beside a token.
    """
    number, size = _asked()
    first = (number - 1) * size
    more = first + size < len(entries)
    pagination = {
        "page_start": number,
        "page_size": size,
        "total_size": len(entries),
        "page_token": f"{size},{number + 1}" if more else None,
    }
    return json_answer({"meta": {"pagination": pagination}, "data": list(entries[first : first + size])})


def _asked() -> tuple[int, int]:
    token = request.args.get("pageToken")
    if token is None:
        return _whole("pageStart", 1, _PAGES_MAX), _whole("pageSize", PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
    if "pageSize" in request.args:
        raise Refusal(400, "Bad request", "pageSize must not be sent together with pageToken")
    size, comma, number = token.partition(",")
    if not (comma and _is_whole(size, PAGE_SIZE_MAX) and _is_whole(number, _PAGES_MAX)):
        raise Refusal(400, "Bad request", "Invalid pageToken")
    return _whole("pageStart", int(number), _PAGES_MAX), int(size)


def _whole(name: str, default: int, highest: int) -> int:
    text = request.args.get(name, str(default))
    if not _is_whole(text, highest):
        raise Refusal(400, "Bad request", f"{name} must be a whole number from 1 to {highest}")
    return int(text)


def _is_whole(text: str, highest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= highest
