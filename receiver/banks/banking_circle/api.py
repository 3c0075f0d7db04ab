"""Banking Circle Connect's API, as far as the truth about callbacks needs it."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from receiver.banks import payload
from receiver.banks.bank import FINAL_STATUSES, Answer
from receiver.banks.banking_circle.statuses import looked_at_again, payment_status
from receiver.banks.connection import Connection
from receiver.banks.errors import AnswerUnreadable, Forbidden, NotKnown, RequestRefused, ServerFailed

AUTHORIZE = "/api/v1/authorizations/authorize"
PAYMENTS = "/api/v1/payments/singles"

PAGE_SIZE = 200
PAGES_MAX = 1000
"""More than any list that is asked for here; a bank that never ends one must not keep us for ever."""

LIFE_SECONDS_MAX = 24 * 3600

REFERENCES_TRIED = 5
"""A return names the payment that it returns in free text; each word that could be a reference costs a request."""

_REFERENCE = re.compile(r"[A-Za-z0-9-]{8,36}")


def new_token(connection: Connection, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """`GET …/authorize` with Basic authentication: return the token and its end, counted from before the request.

    Raises:
        BankError
    """
    asked_at = connection.clock()
    answer = connection.get(AUTHORIZE, basic=(credentials["username"], credentials["password"]))
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise AnswerUnreadable(f"GET {AUTHORIZE}: no access_token in the answer")
    seconds = payload.amount(answer, "expires_in")
    usable = seconds is not None and 0 < seconds <= LIFE_SECONDS_MAX
    return token, asked_at + timedelta(seconds=float(seconds)) if usable and seconds is not None else None


def payment(connection: Connection, payment_id: str) -> Answer:
    """`GET …/singles/{id}/status`; once that is final, the payment itself for what else it tells.

    Raises:
        BankError
    """
    path = f"{PAYMENTS}/{quote(payment_id, safe='')}"
    bank_status = _status(_object(connection, f"{path}/status"))
    status = payment_status(bank_status)
    if status not in FINAL_STATUSES:
        return Answer(bank_status, status)
    again = looked_at_again(bank_status)
    try:
        fields = _object(connection, path)
        returned = _returned(connection, fields, payment_id) if fields.get("return") is True else None
    except (AnswerUnreadable, Forbidden, NotKnown, RequestRefused, ServerFailed) as error:
        # The state is known; the rest is an extra.
        return Answer(bank_status, status, {"payment": str(error)}, again)
    return Answer(bank_status, status, _detail(fields), again, returns=returned)


def payment_by_reference(connection: Connection, reference: str) -> Answer:
    """`GET …/singles/transactionreference/{reference}`: return the payment's state and its own id.

    Raises:
        BankError
    """
    fields = _object(connection, f"{PAYMENTS}/transactionreference/{quote(reference, safe='')}")
    payment_id = payload.text(fields, "paymentId", "PaymentId")
    if payment_id is None:
        raise AnswerUnreadable("the payment has no `paymentId`")
    bank_status = _status(fields)
    return Answer(bank_status, payment_status(bank_status), _detail(fields), payment_id=payment_id)


def payments(connection: Connection, **filters: str) -> Iterator[dict[str, Any]]:
    """`GET …/singles`: yield payments from every page. Filters are the bank's own: `AccountId`, `Status`, ….

    Raises:
        BankError
    """
    return paged(connection, PAYMENTS, filters)


def paged(connection: Connection, path: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
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
    rows = payload.whole_number(told, "rowcount")
    size = payload.whole_number(told, "pagesize")
    return seen >= rows if rows is not None else here < (size or PAGE_SIZE)


def _returned(connection: Connection, fields: Mapping[str, Any], payment_id: str) -> str | None:
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
    transfer = payload.inner(fields, "transfer")
    texts = [
        text
        for name in ("remittanceInformation", "additionalRemittanceInformation")
        for source in (transfer, fields)
        for text in payload.inner(source, name).values()
        if isinstance(text, str)
    ]
    own = payload.text(fields, "transactionReference")
    words = [word for text in texts for word in _REFERENCE.findall(text)]
    return [word for word in dict.fromkeys(words) if word != own and any(letter.isdigit() for letter in word)]


def _status(fields: Mapping[str, Any]) -> str:
    bank_status = payload.text(fields, "status", "Status")
    if bank_status is None:
        raise AnswerUnreadable("the payment's status has no `status`")
    return bank_status


def _detail(fields: Mapping[str, Any]) -> dict[str, Any]:
    amount = payload.inner(payload.inner(fields, "transfer"), "amount")
    parts = (payload.decimal_text(payload.amount(amount, "amount")), payload.text(amount, "currency"))
    names = ("transactionReference", "classification", "processedTimestamp", "paymentRail")
    detail = {name: payload.text(fields, name) for name in names}
    detail["amount"] = " ".join(part for part in parts if part)
    return {name: value for name, value in detail.items() if value}


def _object(connection: Connection, path: str) -> dict[str, Any]:
    found = connection.get(path)
    if not isinstance(found, dict):
        raise AnswerUnreadable(f"GET {path.partition('?')[0]}: a JSON object is expected")
    return found
