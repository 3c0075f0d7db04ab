"""The bank's reports: what was booked and processed in a span of time, in pages; and what was rejected on a day.

As far as is known: the business day is CET, ends at 19:00, and a week-end counts to Monday; a reversal is a second row,
the amount negated, on the day of the reversal; a property that is not asked for is null. Where the documentation is
silent: the rejection report is one list without pages; `createdAt` of a reversal is when it was reversed.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.banking_circle.bank import bank
from receiver.simulator.banking_circle.endpoints import check_token, page
from receiver.simulator.banking_circle.payments import Payment, precise
from receiver.simulator.json_bodies import Refusal, json_answer

ZONE = ZoneInfo("Europe/Copenhagen")
DAY_ENDS = 19

BY_NAME_ALONE = frozenset({"paymentid", "processedtimestamp", "lateststatuschangedtimestamp", "return"})
"""Properties that a row has where they are asked for, and not by default."""

BOOKED = ("PendingProcessing", "Processed", "Reversed")
REJECTION_WORDS = {"Rejected": "Rejected", "MissingFunding": "Insufficient Funds", "PendingProcessing": "Received"}

blueprint = Blueprint("banking_circle_reports", __name__, url_prefix="/api/v1/reports")


@blueprint.before_request
def enter() -> None:
    """Check the bearer token, and that the user was granted the reports.

    Raises:
        Refusal: 401 or 403.
    """
    check_token()
    if bank().config.reports == "refused":
        raise Refusal(403, "Forbidden", "The user has no access to reports")


@blueprint.get("/intraday-reconciliation-paged-report")
def reconciliation() -> Response:
    """Answer with a page of what was booked or processed: transaction dates and times of making, all four required."""
    first, last = (_day(f"{end}TransactionDate") for end in ("From", "To"))
    begin, end = (_time(f"{end}CreatedAt") for end in ("From", "To"))
    now = bank().clock()
    asked = {name.strip().lower() for name in request.args.get("PropertiesIncluded", "").split(",") if name.strip()}
    rows = [
        _selected(row, asked)
        for payment, status in bank().payments.known(now)
        for made, row in _rows(payment, status, now)
        if first <= transaction_day(made) <= last and begin <= made <= end
    ]
    return page(bank().as_it_moves("reconciliation", [*rows, *bank().rows], bank().config.moving_rows))


@blueprint.get("/rejection-report")
def rejections() -> Response:
    """Answer with the payments of a transaction date that were rejected, or have no funds, or are received."""
    day, now = _day("TransactionDate"), bank().clock()
    leaves_out = {
        "MissingFunding": request.args.get("IncludeMissingFunds", "true") == "false",
        "PendingProcessing": request.args.get("IncludeReceived", "true") == "false",
    }
    return json_answer(
        [
            _rejection(payment, status)
            for payment, status in bank().payments.known(now)
            if status in REJECTION_WORDS
            and payment.classification != "Incoming"
            and not leaves_out.get(status, False)
            and transaction_day(payment.started) == day
        ]
    )


def transaction_day(at: datetime) -> date:
    """Return the bank's business day that a moment belongs to."""
    there = at.astimezone(ZONE)
    day = there.date() + timedelta(days=there.hour >= DAY_ENDS)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return day


def _rows(payment: Payment, status: str, now: datetime) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yield a payment's rows, each with the time at which it was made."""
    if status not in BOOKED:
        return
    since = payment.started + timedelta(seconds=payment.script.since(payment.age(now)))
    processed = _processed(payment, now)
    yield payment.started, _row(payment, payment.amount, payment.started, processed, since)
    if status == "Reversed":
        yield since, _row(payment, -payment.amount, since, processed, since)


def _processed(payment: Payment, now: datetime) -> datetime | None:
    begins = payment.started
    for step in payment.script.steps:
        if begins > now:
            return None
        if step.status == "Processed":
            return begins
        begins += timedelta(seconds=step.seconds)
    return None


def _row(
    payment: Payment, amount: Decimal, made: datetime, processed: datetime | None, changed: datetime
) -> dict[str, object]:
    incoming = payment.classification == "Incoming"
    day = transaction_day(made).isoformat()
    details = dict(zip((f"paymentDetails{number}" for number in range(1, 5)), payment.remittance, strict=False))
    return {
        "pTxnDate": day,
        "reportDate": day,
        "valueDate": day,
        "createdAt": precise(made),
        "account": payment.account,
        "accountCurrency": payment.currency,
        "debitAmount": None if incoming else amount,
        "creditAmount": amount if incoming else None,
        "transactionAmount": amount,
        "transactionAmountCurrency": payment.currency,
        "instructedAmount": abs(amount),
        "instructedAmountCurrency": payment.currency,
        "creditDebitIndicator": "CRDT" if incoming else "DBIT",
        "paymentReferenceNumber": payment.transaction_reference,
        "userReferenceNumber": "",
        "paymentDetails1": None,
        **details,
        "paymentId": payment.payment_id,
        "processedTimestamp": precise(processed) if processed else None,
        "latestStatusChangedTimestamp": precise(changed),
        "return": True if payment.is_return else None,
    }


def _selected(row: dict[str, object], asked: set[str]) -> dict[str, object]:
    """Return a row with the properties that are asked for, or those that it has by default; the others are null."""
    chosen = asked or ({name.lower() for name in row} - BY_NAME_ALONE)
    return {name: value if name.lower() in chosen else None for name, value in row.items()}


def _rejection(payment: Payment, status: str) -> dict[str, object]:
    return {
        "pTxndate": transaction_day(payment.started).isoformat(),
        "account": payment.account,
        "accountCurrency": payment.currency,
        "debitAmount": payment.amount,
        "transactionAmount": payment.amount,
        "transactionAmountCurrency": payment.currency,
        "paymentReferenceNumber": payment.transaction_reference,
        "userReferenceNumber": "",
        "status": REJECTION_WORDS[status],
        "statusReason": "The payment was rejected" if status == "Rejected" else "",
        "sourceType": "Single payment",
    }


def _day(name: str) -> date:
    try:
        return date.fromisoformat(request.args.get(name, "")[:10])
    except ValueError as error:
        raise _missing(name) from error


def _time(name: str) -> datetime:
    try:
        found = datetime.fromisoformat(request.args.get(name, "").upper())
    except ValueError as error:
        raise _missing(name) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _missing(name: str) -> Refusal:
    return Refusal(400, "BadRequest", f"A value for the '{name}' parameter was not provided.", shape="validation")
