"""Banking Circle's API: token, payments, accounts, and what its statuses mean."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from receiver.banks import json_values
from receiver.banks.abilities import Account
from receiver.banks.errors import AnswerUnreadable, Forbidden, NotKnown, RequestRefused, ServerFailed
from receiver.banks.http import HttpClient
from receiver.banks.protocol import FINAL_STATUSES, Answer

PAYMENT_STATUSES = {
    "pendingprocessing": "pending",
    "pendingapproval": "pending",
    "approved": "pending",
    "scapending": "pending",
    "missingfunding": "pending",
    "hold": "pending",
    "pendingcancellation": "pending",
    "pendingcancellationapproval": "pending",
    "processed": "completed",
    "rejected": "rejected",
    "cancelled": "cancelled",
    "reversed": "reversed",
    "declinedbyapprover": "rejected",
    "scaexpired": "rejected",
    "scafailed": "rejected",
    "scadeclined": "rejected",
}

_MAY_CHANGE = frozenset({"processed", "declinedbyapprover", "scaexpired", "scafailed", "scadeclined"})
"""`Processed` can still become `Reversed`; whether the others are final is not stated."""

LATER = tuple(timedelta(days=days) for days in (1, 3, 7, 14, 30))
"""A reversal is rare and comes late, so a look costs more than it finds: dense at first, ended after a month."""


def payment_status(bank_status: str) -> str:
    """Return our word for a payment's state."""
    return PAYMENT_STATUSES.get(bank_status.strip().lower(), "unknown")


def recheck_after(bank_status: str) -> Sequence[timedelta]:
    """Return when to look again at a final state that may change all the same."""
    return LATER if bank_status.strip().lower() in _MAY_CHANGE else ()


AUTHORIZE = "/api/v1/authorizations/authorize"
PAYMENTS = "/api/v1/payments/singles"

PAGE_SIZE = 200
PAGES_MAX = 1000
"""More than any list that is asked for here; a bank that never ends one must not keep us for ever."""

LIFE_SECONDS_MAX = 24 * 3600

REFERENCES_TRIED = 5
"""A return names the payment that it returns in free text; each word that could be a reference costs a request."""

_REFERENCE = re.compile(r"[A-Za-z0-9-]{8,36}")


def new_token(connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """`GET …/authorize` with Basic authentication: return the token and its end, counted from before the request.

    Raises:
        BankError
    """
    asked_at = connection.clock()
    answer = connection.get(AUTHORIZE, basic=(credentials["username"], credentials["password"]))
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise AnswerUnreadable(f"GET {AUTHORIZE}: no access_token in the answer")
    seconds = json_values.amount(answer, "expires_in")
    usable = seconds is not None and 0 < seconds <= LIFE_SECONDS_MAX
    return token, asked_at + timedelta(seconds=float(seconds)) if usable and seconds is not None else None


def payment(connection: HttpClient, payment_id: str) -> Answer:
    """`GET …/singles/{id}/status`; once that is final, the payment itself for what else it tells.

    Raises:
        BankError
    """
    path = f"{PAYMENTS}/{quote(payment_id, safe='')}"
    bank_status = _status(_object(connection, f"{path}/status"))
    status = payment_status(bank_status)
    if status not in FINAL_STATUSES:
        return Answer(bank_status, status)
    again = recheck_after(bank_status)
    try:
        fields = _object(connection, path)
        returned = _returned(connection, fields, payment_id) if fields.get("return") is True else None
    except (AnswerUnreadable, Forbidden, NotKnown, RequestRefused, ServerFailed) as error:
        # The state is known; the rest is an extra.
        return Answer(bank_status, status, {"payment": str(error)}, again)
    return Answer(bank_status, status, _detail(fields), again, returns=returned)


def payment_by_reference(connection: HttpClient, reference: str) -> Answer:
    """`GET …/singles/transactionreference/{reference}`: return the payment's state and its own id.

    Raises:
        BankError
    """
    fields = _object(connection, f"{PAYMENTS}/transactionreference/{quote(reference, safe='')}")
    payment_id = json_values.text(fields, "paymentId", "PaymentId")
    if payment_id is None:
        raise AnswerUnreadable("the payment has no `paymentId`")
    bank_status = _status(fields)
    return Answer(bank_status, payment_status(bank_status), _detail(fields), payment_id=payment_id)


def payments(connection: HttpClient, **filters: str) -> Iterator[dict[str, Any]]:
    """`GET …/singles`: yield payments from every page. Filters are the bank's own: `AccountId`, `Status`, ….

    Raises:
        BankError
    """
    return paged(connection, PAYMENTS, filters)


def paged(connection: HttpClient, path: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what a list holds on all its pages; a bare object in place of a list is its one entry.

    Raises:
        BankError
    """
    seen = 0
    for number in range(1, PAGES_MAX + 1):
        query = urlencode({**filters, "PageNumber": number, "PageSize": PAGE_SIZE})
        answer = _object(connection, f"{path}?{query}")
        by_name = {name.lower(): value for name, value in answer.items()}
        if "result" not in by_name:
            yield answer
            return
        listed = by_name["result"] if isinstance(by_name["result"], list) else []
        yield from (entry for entry in listed if isinstance(entry, dict))
        seen += len(listed)
        if not listed or _is_last(by_name.get("pageinfo"), len(listed), seen):
            return
    raise AnswerUnreadable(f"GET {path}: more than {PAGES_MAX} pages")


def _is_last(page_info: Any, here: int, seen: int) -> bool:
    """Tell whether no page follows: by the number of rows, where the bank tells it, else by a page that is not full."""
    told = {name.lower(): value for name, value in page_info.items()} if isinstance(page_info, dict) else {}
    rows = json_values.whole_number(told, "rowcount")
    size = json_values.whole_number(told, "pagesize")
    return seen >= rows if rows is not None else here < (size or PAGE_SIZE)


def _returned(connection: HttpClient, fields: Mapping[str, Any], payment_id: str) -> str | None:
    """Return the id of the payment that this one returns, found by what its text says and confirmed by the bank."""
    for word in _references(fields)[:REFERENCES_TRIED]:
        try:
            found = payment_by_reference(connection, word).payment_id
        except (NotKnown, RequestRefused, AnswerUnreadable):
            continue
        if found is not None and found != payment_id:
            return found
    return None


def _references(fields: Mapping[str, Any]) -> list[str]:
    """Return the words of a return's remittance information that could be a transaction reference.

    The bank's own returns say `RETURN OF PAYMENT`, then the reference, such as `010F2422510258PF`.
    """
    transfer = json_values.inner(fields, "transfer")
    texts = [
        text
        for name in ("remittanceInformation", "additionalRemittanceInformation")
        for source in (transfer, fields)
        for text in json_values.inner(source, name).values()
        if isinstance(text, str)
    ]
    own = json_values.text(fields, "transactionReference")
    words = [word for text in texts for word in _REFERENCE.findall(text)]
    return [word for word in dict.fromkeys(words) if word != own and any(letter.isdigit() for letter in word)]


def _status(fields: Mapping[str, Any]) -> str:
    bank_status = json_values.text(fields, "status", "Status")
    if bank_status is None:
        raise AnswerUnreadable("the payment's status has no `status`")
    return bank_status


def _detail(fields: Mapping[str, Any]) -> dict[str, Any]:
    amount = json_values.inner(json_values.inner(fields, "transfer"), "amount")
    parts = (json_values.decimal_text(json_values.amount(amount, "amount")), json_values.text(amount, "currency"))
    names = ("transactionReference", "classification", "processedTimestamp", "paymentRail")
    detail = {name: json_values.text(fields, name) for name in names}
    detail["amount"] = " ".join(part for part in parts if part)
    return {name: value for name, value in detail.items() if value}


def _object(connection: HttpClient, path: str) -> dict[str, Any]:
    found = connection.get(path)
    if not isinstance(found, dict):
        raise AnswerUnreadable(f"GET {path.partition('?')[0]}: a JSON object is expected")
    return found


PATH = "/api/v1/accounts"


def accounts(connection: HttpClient) -> Sequence[Account]:
    """`GET /api/v1/accounts`, every page. A 404 is the bank's word for none.

    Raises:
        BankError
    """
    try:
        return [_account(fields) for fields in paged(connection, PATH, {})]
    except NotKnown:
        return []


def _account(fields: Mapping[str, Any]) -> Account:
    account_id = json_values.text(fields, "accountId")
    if account_id is None:
        raise AnswerUnreadable(f"GET {PATH}: an account without `accountId`")
    ibans = _texts(fields.get("ibans"))
    identifiers = [
        text for entry in _objects(fields.get("accountIdentifiers")) if (text := json_values.text(entry, "account"))
    ]
    balances = _objects(fields.get("balances"))
    return Account(
        id=account_id,
        number=next(iter([*ibans, *identifiers]), None),
        name=json_values.text(fields, "accountDescription"),
        currency=json_values.text(fields, "currency"),
        status=json_values.text(fields, "status"),
        balance=_balance(balances, json_values.text(fields, "currency")),
        detail={
            "ibans": ibans,
            "identifiers": identifiers,
            "owner": json_values.text(fields, "ownedByCompanyName"),
            "opened": json_values.text(fields, "openingDate"),
            "closed": json_values.text(fields, "closingDate"),
            "balances": [_shown(balance) for balance in balances],
        },
    )


def _balance(balances: Sequence[Mapping[str, Any]], currency: str | None) -> Decimal | None:
    """Return the first balance in the account's own currency, as it stands within the day."""
    own = [balance for balance in balances if currency in (None, json_values.text(balance, "currency"))]
    return json_values.amount(own[0], "intraDayAmount") if own else None


def _shown(balance: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": json_values.text(balance, "type"),
        "currency": json_values.text(balance, "currency"),
        "begin_of_day": json_values.decimal_text(json_values.amount(balance, "beginOfDayAmount")),
        "intra_day": json_values.decimal_text(json_values.amount(balance, "intraDayAmount")),
        "date": json_values.text(balance, "financialDate"),
    }


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    found = [json_values.text({"text": entry}, "text") for entry in value] if isinstance(value, list) else []
    return [text for text in found if text]
