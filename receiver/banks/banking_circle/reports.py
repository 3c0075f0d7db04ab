"""What Banking Circle knows of a window of time: the intraday reconciliation report, and the rejection report.

No name of a field is written here as the bank spells it: they are compared without regard to case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from receiver.banks import business_days, json_values, listing
from receiver.banks.abilities import Listed, ListPage
from receiver.banks.banking_circle import options
from receiver.banks.banking_circle.api import PAYMENT_STATUSES
from receiver.banks.business_days import BusinessDays, Window
from receiver.banks.callback import known_facts
from receiver.banks.errors import AnswerUnreadable, Forbidden, NotKnown
from receiver.banks.http import HttpClient
from receiver.banks.listing import DAY_CHARACTERS, Moment, Place, moment
from receiver.banks.protocol import status_in
from receiver.model import Status

INTRADAY, REJECTIONS = "intraday-reconciliation", "rejections"

PATHS = {
    INTRADAY: "/api/v1/reports/intraday-reconciliation-paged-report",
    REJECTIONS: "/api/v1/reports/rejection-report",
}

PROPERTIES = (
    "PTxnDate",
    "ReportDate",
    "CreatedAt",
    "Account",
    "AccountCurrency",
    "DebitAmount",
    "CreditAmount",
    "TransactionAmount",
    "TransactionAmountCurrency",
    "InstructedAmount",
    "InstructedAmountCurrency",
    "CreditDebitIndicator",
    "PaymentReferenceNumber",
    "UserReferenceNumber",
    "PaymentDetails1",
    "PaymentDetails2",
    "PaymentDetails3",
    "PaymentDetails4",
    "PaymentId",
    "ProcessedTimestamp",
    "LatestStatusChangedTimestamp",
    "Return",
)
"""What is asked for of a row. To name any replaces the default ones, of which the last four are none."""

PAGE_SIZE = 2000
"""The bank takes up to 5,000; an answer of that many rows could be more than is read of one."""

CREATED_BEFORE = timedelta(days=31)
"""How long before its transaction date a payment may have been made: one for a later day, or one that is reversed."""

REJECTED_AFTER = 2
"""Business days: a payment without funds is rejected that much later, in the report of the day that it was made for."""

TYPE = "banking_circle."
UNRECOGNISED = f"{TYPE}unrecognised"
WORDS = {"incoming": "incoming_payment", "outgoing": "outgoing_payment"}
DIRECTIONS = {"crdt": "incoming", "dbit": "outgoing"}

REJECTION_TYPES = {
    Status.REJECTED: "outgoing_payment_rejected",
    Status.PENDING: "missing_funding",
    Status.REVERSED: "reversed",
}
REJECTION_WORDS = {"insufficient funds": "pending", "received": "pending", "reversal": "reversed"}
"""The rejection report's own for `MissingFunding`, `PendingProcessing` and `Reversed`."""

RECEIVED = frozenset({"received", "pendingprocessing"})


def lists(_client: HttpClient) -> Sequence[str]:
    """Return the names of the two reports. No request is made."""
    return (INTRADAY, REJECTIONS)


def list_page(client: HttpClient, name: str, window: Window, place: str | None) -> ListPage:
    """Return a page of a report.

    A row belongs to the bank's own transaction date, which may be another business day than that on which it was made:
    such a row is listed in every window that may be meant. Rejected payments are listed with those of the two business
    days before the window, too.

    Raises:
        BankError: `Forbidden` where the user was not granted the reports.
    """
    days = business_days.read(str(client.options.get("business_days", options.BUSINESS_DAYS)))
    if name not in PATHS:
        raise NotKnown(f"the bank has no list {name!r}")
    report = Report(client, days, window)
    try:
        return (report.intraday if name == INTRADAY else report.rejections)(place)
    except Forbidden as error:
        raise Forbidden(f"the user was not granted the reports of reconciliation ({error})") from error


@dataclass(frozen=True)
class Report:
    """The reports on one window."""

    client: HttpClient
    days: BusinessDays
    window: Window

    def intraday(self, place: str | None) -> ListPage:
        """Return a page of what was booked or processed."""
        here = Place() if place is None else Place.read(place)
        first, last = self._first_and_last()
        filters = {
            "FromTransactionDate": self.days.before(first).isoformat(),
            # After the end of the bank's day, which is at 19:00, this is the next business day.
            "ToTransactionDate": last.isoformat(),
            "FromCreatedAt": _precise(self.window.begin - CREATED_BEFORE),
            "ToCreatedAt": _precise(self.window.end),
            "PropertiesIncluded": ",".join(PROPERTIES),
            "PageNumber": str(here.number),
            "PageSize": str(PAGE_SIZE),
        }
        entries, page_info = self._get(INTRADAY, filters)
        entries, following = _turn(here, entries, page_info or {}, INTRADAY, PAGE_SIZE)
        read = [line for entry in entries if (line := self._row(entry)) is not None]
        return ListPage(read, None if following is None else following.written())

    def rejections(self, place: str | None) -> ListPage:
        """Return what was rejected of one day, or has no funds yet; the next page is the next day's."""
        first, last = self._first_and_last()
        for _ in range(REJECTED_AFTER):
            first = self.days.before(first)
        here = Place(first) if place is None else Place.read(place)
        day = here.first or first
        filters = {
            "TransactionDate": day.isoformat(),
            "IncludeReceived": "false",
            "IncludeMissingFunds": "true",
            "IncludeReversals": "true",
            "ExcludeBooked": "false",
            **({"PageNumber": str(here.number)} if here.number > 1 else {}),
        }
        entries, page_info = self._get(REJECTIONS, filters)
        # It is not documented to come in pages.
        following = None
        if page_info is not None:
            entries, following = _turn(here, entries, page_info, REJECTIONS)
        if following is None and day < last:
            following = Place(self.days.after(day))
        read = [self._rejection(entry, day) for entry in entries]
        return ListPage(read, None if following is None else following.written())

    def _first_and_last(self) -> tuple[date, date]:
        return self.days.day_of(self.window.begin), self.days.day_of(self.window.end - timedelta(microseconds=1))

    def _get(self, name: str, filters: Mapping[str, str]) -> tuple[Sequence[Any], Mapping[str, Any] | None]:
        """Return the rows of an answer, and what it says of pages; none where it says nothing."""
        found = self.client.get(f"{PATHS[name]}?{urlencode(filters)}")
        by_name = _by_name(found) if isinstance(found, dict) else {"result": found}
        rows = by_name.get("result")
        if not isinstance(rows, list):
            raise AnswerUnreadable(f"GET {PATHS[name]}: a list is expected")
        page_info = by_name.get("pageinfo")
        return rows, _by_name(page_info) if isinstance(page_info, dict) else None

    def _row(self, entry: Any) -> Listed | None:
        """Read a row of the reconciliation report; none where it is known to belong to another window."""
        if not isinstance(entry, dict):
            return listing.unreadable(UNRECOGNISED, entry)
        fields = _by_name(entry)
        at, named_day, belongs = self._when(fields)
        if not belongs:
            return None
        line = _booked(fields, at, named_day)
        return listing.with_rest(line, entry) if line.payment_id is None or line.amount is None else line

    def _when(self, fields: Mapping[str, Any]) -> tuple[datetime | None, date | None, bool]:
        """Return a time on the transaction date that the bank gives a row, and whether it may belong to the window.

        That is when it was made, where that is on this date; else when it was processed or changed, where that is; else
        the beginning of this date's business day, with the date in between. It belongs to the window by any of these
        times: one that is booked hours after it was made is not in the report before.
        """
        made, named = moment(json_values.text(fields, "createdat")), _named_day(fields)
        texts = (json_values.text(fields, f"{name}timestamp") for name in ("processed", "lateststatuschanged"))
        later = [time for text in texts if (time := moment(text)) is not None]
        belongs = any(time.is_in(self.window) for time in (made, *later) if time is not None)
        if named is None:
            return (made.begin, made.named_day, belongs) if made is not None else (None, None, True)
        span = self.days.window(self.days.on_or_after(named))
        if made is not None and made.end is None and made.begin in span:
            return made.begin, None, belongs
        belongs = belongs or Moment(span.begin, span.end).is_in(self.window)
        at = next((time.begin for time in later if time.end is None and time.begin in span), None)
        return (span.begin, named, belongs) if at is None else (at, None, belongs)

    def _rejection(self, entry: Any, asked: date) -> Listed:
        """Read a row of the rejection report: a payment by the bank's reference, for there is no id in it."""
        if not isinstance(entry, dict):
            return listing.unreadable(UNRECOGNISED, entry)
        fields = _by_name(entry)
        direction = _direction(fields) or "outgoing"
        amount, currency, _ = _money(fields, direction)
        word = json_values.text(fields, "status")
        status = Status(status_in({**PAYMENT_STATUSES, **REJECTION_WORDS}, word or "received"))
        # No time is in the report.
        day = _named_day(fields) or asked
        line = Listed(
            type=TYPE + _rejection_word(word, status),
            reference=json_values.text(fields, "paymentreferencenumber"),
            account=_account(fields),
            direction=direction,
            amount=None if amount is None else abs(amount),
            currency=currency,
            bank_status=word,
            status=status,
            at=self.days.window(self.days.on_or_after(day)).begin,
            named_day=day,
            detail=_detail(fields, reason=json_values.line(fields, "statusreason")),
        )
        return listing.with_rest(line, entry) if line.reference is None else line


def _rejection_word(word: str | None, status: Status) -> str:
    if word is None or word.strip().lower() in RECEIVED:
        return "payment_status"
    return REJECTION_TYPES.get(status, "payment_status")


def _turn(
    here: Place, entries: Sequence[Any], page_info: Mapping[str, Any], name: str, asked: int | None = None
) -> tuple[Sequence[Any], Place | None]:
    total, size = (json_values.whole_number(page_info, field) for field in ("rowcount", "pagesize"))
    return here.turn(entries, f"GET {PATHS[name]}", asked=asked, total=total, size=size)


def _named_day(fields: Mapping[str, Any]) -> date | None:
    """Return a row's transaction date, which may be no business day."""
    found = moment((json_values.text(fields, "ptxndate", "transactiondate", "reportdate") or "")[:DAY_CHARACTERS])
    return None if found is None else found.begin.date()


def _booked(fields: Mapping[str, Any], at: datetime | None, named_day: date | None) -> Listed:
    """Return a row as a line: that it is listed does not mean that it was processed; a time of that does."""
    direction = _direction(fields)
    amount, currency, is_negative = _money(fields, direction)
    is_processed = moment(json_values.text(fields, "processedtimestamp")) is not None
    kind = f"{WORDS[direction]}_{'processed' if is_processed else 'booked'}" if direction else "unrecognised"
    line = Listed(
        type=TYPE + kind,
        payment_id=json_values.text(fields, "paymentid"),
        reference=json_values.text(fields, "paymentreferencenumber"),
        account=_account(fields),
        direction=direction,
        amount=None if amount is None else abs(amount),
        currency=currency,
        status=Status.COMPLETED if is_processed else Status.PENDING,
        at=at,
        named_day=named_day,
        detail=_detail(fields, is_reversal=is_negative or None, is_return=fields.get("return") is True or None),
    )
    return replace(line, type=f"{TYPE}reversed", status=Status.REVERSED) if is_negative else line


def _direction(fields: Mapping[str, Any]) -> str | None:
    found = DIRECTIONS.get((json_values.text(fields, "creditdebitindicator") or "").lower())
    if found is not None:
        return found
    sides = [name for name in ("creditamount", "debitamount") if json_values.amount(fields, name)]
    return None if len(sides) != 1 else "incoming" if sides == ["creditamount"] else "outgoing"


def _money(fields: Mapping[str, Any], direction: str | None) -> tuple[Decimal | None, str | None, bool]:
    """Return amount and currency as callbacks tell them, and whether a row is negative: a reversal.

    That is what was transferred, else what was debited or credited, else what was instructed (deduced).
    """
    own = "creditamount" if direction == "incoming" else "debitamount"
    names = (("transactionamount", "transactionamountcurrency"), (own, "accountcurrency"))
    is_negative = any((json_values.amount(fields, name) or 0) < 0 for name, _ in names)
    for name, currency in (*names, ("instructedamount", "instructedamountcurrency")):
        if (found := json_values.amount(fields, name)) is not None:
            return found, json_values.text(fields, currency), is_negative
    return None, None, is_negative


def _account(fields: Mapping[str, Any]) -> str | None:
    return json_values.text(fields, "account") or json_values.text(json_values.inner(fields, "account"), "account")


def _detail(fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return what else there is, by the names that the facts of events have."""
    lines = [line for number in range(1, 5) if (line := json_values.line(fields, f"paymentdetails{number}"))]
    return known_facts(
        user_reference=json_values.text(fields, "userreferencenumber"),
        transaction_date=json_values.text(fields, "ptxndate", "transactiondate", "reportdate"),
        created_at=json_values.text(fields, "createdat"),
        processed_at=json_values.text(fields, "processedtimestamp"),
        status_changed_at=json_values.text(fields, "lateststatuschangedtimestamp"),
        remittance="\n".join(lines) or None,
        **more,
    )


def _by_name(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in fields.items()}


def _precise(at: datetime) -> str:
    """Write a time as the bank does, with seven digits of a second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
