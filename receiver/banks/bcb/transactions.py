"""What BCB knows of a window of time: the transactions of each account; and the payment statuses of a whole account."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from receiver.banks import json_values, listing, urls
from receiver.banks.abilities import AnswerPage, Listed, ListPage
from receiver.banks.bcb import api
from receiver.banks.business_days import Window
from receiver.banks.callback import known_facts
from receiver.banks.errors import Forbidden
from receiver.banks.http import HttpClient
from receiver.banks.listing import Moment, Place, moment
from receiver.banks.new_shapes import camel_case
from receiver.banks.protocol import Answer

DEPOSIT, DEBIT, UNRECOGNISED = "bcb.deposit", "bcb.debit", "bcb.unrecognised"

TYPES = {"incoming": DEPOSIT, "outgoing": DEBIT}
DIRECTIONS = {"credit": "incoming", "debit": "outgoing"}

RANGE_MAX = timedelta(days=365)
"""Between the first and the last day of a question; "at most one year" is documented."""

_DAY = timedelta(days=1)

Found = TypeVar("Found")


def lists(client: HttpClient) -> Sequence[str]:
    """Return the number of every account; each has a list of transactions.

    Raises:
        BankError: `Forbidden` where a permission is missing.
    """
    found = _permitted("get-all-accounts", lambda: api.accounts(client))
    return list(dict.fromkeys(account.number or account.id for account in found))


def list_page(client: HttpClient, number: str, window: Window, place: str | None) -> ListPage:
    """Return a page of an account's transactions (`GET /v1/accounts/{number}/transactions`), those in the window.

    Dates are asked for a day wider at both ends, because it is not documented in which time zone the bank counts them.
    A window of more than a year is asked for in parts.

    Raises:
        BankError: `Forbidden` where a permission is missing.
    """
    first, last = _dates(client, window)
    here = Place(first) if place is None else Place.read(place)
    begin = here.first or first
    end = min(begin + RANGE_MAX, last)
    path = f"{api.ACCOUNTS}/{urls.segment(number)}/transactions"
    dates = {"fromDate": begin.isoformat(), "toDate": end.isoformat()}
    entries, following = _permitted("get-transactions", lambda: api.page(client, path, dates, here))
    if following is None and end < last:
        following = Place(end + _DAY)
    read = [line for entry in entries if (line := _line(entry, number, window)) is not None]
    return ListPage(read, None if following is None else following.written())


def answer_page(client: HttpClient, number: str, place: str | None) -> AnswerPage:
    """Return a page of an account's payments with their statuses (`GET /v1/accounts/{number}/payments`).

    Raises:
        BankError: `Forbidden` where a permission is missing.
    """
    path = f"{api.ACCOUNTS}/{urls.segment(number)}/payments"
    here = Place() if place is None else Place.read(place)
    entries, following = _permitted("get-payment-status", lambda: api.page(client, path, {}, here))
    return AnswerPage(_answers(json_values.objects(entries)), None if following is None else following.written())


def _answers(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, Answer]]:
    spelt = map(camel_case, entries)
    read = [(json_values.text(fields, "transactionId", "paymentId", "id"), api.answer(fields)) for fields in spelt]
    return [(payment_id, found) for payment_id, found in read if payment_id is not None and found is not None]


def _dates(client: HttpClient, window: Window) -> tuple[date, date]:
    """Return the first and the last day to ask for: never one that has not come yet, unless the window has neither."""
    first, last = _day(window.begin) - _DAY, _day(window.end - timedelta(microseconds=1))
    return first, max(first, min(last + _DAY, max(last, client.clock().date())))


def _day(at: datetime) -> date:
    """Return the day of a moment (UTC), within what a date can be counted from and to."""
    return min(max(at, listing.EARLIEST), listing.LATEST).astimezone(UTC).date()


def _permitted(permission: str, question: Callable[[], Found]) -> Found:
    try:
        return question()
    except Forbidden as error:
        hint = f"the API client lacks the permission {permission}, or this machine's address is not on its list"
        raise Forbidden(f"{hint} ({error})") from error


def _line(entry: Any, number: str, window: Window) -> Listed | None:
    """Read an entry; none where it is known to have been posted outside of the window."""
    if not isinstance(entry, dict):
        return listing.unreadable(UNRECOGNISED, entry, number)
    fields = camel_case(entry)
    details = json_values.inner(fields, "details")
    posted = json_values.text(details, "posted") or json_values.text(fields, "posted")
    when = moment(posted)
    if when is not None and not when.is_in(window):
        return None
    line = _listed(fields, details, number, when)
    return listing.with_rest(line, entry) if line.payment_id is None or line.amount is None else line


def _listed(entry: Mapping[str, Any], details: Mapping[str, Any], number: str, when: Moment | None) -> Listed:
    value = json_values.money_parts(details.get("value"))
    signed, word = json_values.amount(value, "amount"), json_values.text(details, "type")
    direction = DIRECTIONS.get((word or "").lower())
    if direction is None and signed:
        direction = "incoming" if signed > 0 else "outgoing"
    return Listed(
        type=TYPES.get(direction or "", UNRECOGNISED),
        payment_id=json_values.text(entry, "id", "transactionId"),
        account=json_values.text(json_values.inner(entry, "thisAccount"), "number") or number,
        direction=direction,
        amount=None if signed is None else abs(signed),
        currency=json_values.text(value, "currency"),
        at=None if when is None else when.begin,
        named_day=None if when is None else when.named_day,
        detail=known_facts(
            direction=word,
            other_account=json_values.text(json_values.inner(entry, "otherAccount"), "number"),
            remittance=json_values.line(details, "description"),
            posted=json_values.text(details, "posted"),
            signed_amount=json_values.decimal_text(signed),
        ),
    )
