"""Banking Circle's API: token, payments, accounts, and what its statuses mean."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from receiver.banks import http, json_values, urls
from receiver.banks.abilities import Account
from receiver.banks.banking_circle import facts
from receiver.banks.callback import known_facts
from receiver.banks.errors import ASKED_FOR_MORE, OF_ONE_QUESTION, AnswerUnreadable, NotKnown, RequestRefused
from receiver.banks.http import HttpClient
from receiver.banks.listing import Place
from receiver.banks.new_shapes import camel_case
from receiver.banks.protocol import FINAL_STATUSES, Answer, Money, status_in

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

AUTHORIZE = "/api/v1/authorizations/authorize"
PAYMENTS = "/api/v1/payments/singles"
ACCOUNTS = "/api/v1/accounts"

PAGE_SIZE = 200

LIFE_SECONDS_MAX = 24 * 3600
"""Of a token; an answer that says more is not believed."""

REFERENCES_TRIED = 5
"""A return names the payment that it returns in free text; each word that could be a reference costs a request."""

_REFERENCE = re.compile(r"[A-Za-z0-9-]{8,36}")


def new_token(client: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """Fetch an access token with Basic authentication (`GET …/authorize`); its end counts from before the request.

    Raises:
        BankError
    """
    asked_at = client.clock()
    answer = client.get(AUTHORIZE, basic=(credentials["username"], credentials["password"]))
    token = http.access_token(answer, "access_token", f"GET {AUTHORIZE}")
    seconds = json_values.amount(answer, "expires_in")
    if seconds is None or not 0 < seconds <= LIFE_SECONDS_MAX:
        return token, None
    return token, asked_at + timedelta(seconds=float(seconds))


def ask(client: HttpClient, kind: str, subject: str, _facts: Mapping[str, Any]) -> Answer:
    """Ask for the state of a payment, by its id or by the bank's transaction reference.

    Raises:
        BankError
    """
    return _payment_by_reference(client, subject) if kind == "reference" else _payment(client, subject)


def _payment(client: HttpClient, payment_id: str) -> Answer:
    """Ask for a payment's status, and once that is final for the payment itself and what else it tells."""
    path = f"{PAYMENTS}/{urls.segment(payment_id)}"
    bank_status = _status(camel_case(client.get_object(f"{path}/status")))
    status = status_in(PAYMENT_STATUSES, bank_status)
    if status not in FINAL_STATUSES:
        return Answer(bank_status, status)
    later = _recheck_after(bank_status)
    try:
        fields = camel_case(client.get_object(path))
        returned = _returned(client, fields, payment_id) if fields.get("return") is True else None
    except OF_ONE_QUESTION as error:
        # The state is known; the rest is an extra.
        return Answer(bank_status, status, {"payment": str(error)}, sorted({*ASKED_FOR_MORE, *later}))
    known = facts.movement(fields)
    return Answer(bank_status, status, _detail(fields), later, returns=returned, amounts=_amounts(fields), facts=known)


def _amounts(fields: Mapping[str, Any]) -> Sequence[Money]:
    found = json_values.amount(money(fields), "amount")
    return () if found is None else (Money(abs(found), json_values.text(money(fields), "currency")),)


def _recheck_after(bank_status: str) -> Sequence[timedelta]:
    return LATER if bank_status.strip().lower() in _MAY_CHANGE else ()


def _payment_by_reference(client: HttpClient, reference: str) -> Answer:
    """Return a payment's state and its own id (`GET …/singles/transactionreference/{reference}`)."""
    fields = camel_case(client.get_object(f"{PAYMENTS}/transactionreference/{urls.segment(reference)}"))
    payment_id = json_values.text(fields, "paymentId")
    if payment_id is None:
        raise AnswerUnreadable("the payment has no `paymentId`")
    bank_status = _status(fields)
    return Answer(bank_status, status_in(PAYMENT_STATUSES, bank_status), _detail(fields), payment_id=payment_id)


def paged(client: HttpClient, path: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what a list holds on all its pages (pagination); a bare object in place of a list is its one entry.

    A 404 behind the first page is the end.

    `filters` are the bank's own, such as `AccountId`.

    Raises:
        BankError
    """
    place: Place | None = Place()
    while place is not None:
        query = urlencode({**filters, "PageNumber": place.number, "PageSize": PAGE_SIZE})
        try:
            answer = client.get_object(f"{path}?{query}")
        except NotKnown:
            if place.number > 1:
                return
            raise
        by_name = {name.lower(): value for name, value in answer.items()}
        if "result" not in by_name:
            yield answer
            return
        listed = by_name["result"] if isinstance(by_name["result"], list) else []
        info = by_name.get("pageinfo")
        page_info = {name.lower(): value for name, value in info.items()} if isinstance(info, dict) else {}
        rows, size = (json_values.whole_number(page_info, name) for name in ("rowcount", "pagesize"))
        found, place = place.turn(listed, f"GET {path}", asked=PAGE_SIZE, total=rows, size=size or PAGE_SIZE)
        yield from json_values.objects(found)


def _returned(client: HttpClient, fields: Mapping[str, Any], payment_id: str) -> str | None:
    """Return the id of the payment that this one returns, found by what its text says and confirmed by the bank."""
    for word in _references(fields)[:REFERENCES_TRIED]:
        try:
            found = _payment_by_reference(client, word).payment_id
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
    bank_status = json_values.text(fields, "status")
    if bank_status is None:
        raise AnswerUnreadable("the payment's status has no `status`")
    return bank_status


def _detail(fields: Mapping[str, Any]) -> dict[str, Any]:
    names = ("transactionReference", "classification", "processedTimestamp", "paymentRail")
    detail = {name: json_values.text(fields, name) for name in names}
    detail["amount"] = json_values.money_text(money(fields))
    return known_facts(**detail)


def money(fields: Mapping[str, Any], *, is_incoming: bool = False) -> Mapping[str, Any]:
    """Return the object that holds a payment's `amount` and `currency`, in callbacks and answers alike, in camelCase.

    Once settled that is `transfer.amount`; before that, or where it was rejected, what is debited or credited on our
    side; where it is told as booked the payment itself, its amount signed; in a `PaymentStatus`
    `transactionReference.instructedAmount`.
    """
    is_incoming = is_incoming or (json_values.text(fields, "classification") or "").lower() == "incoming"
    sides = [("debtorInformation", "debitAmount"), ("creditorInformation", "creditAmount")]
    places = [("transfer", "amount"), *(reversed(sides) if is_incoming else sides)]
    for outer, name in (*places, ("transactionReference", "instructedAmount")):
        held = json_values.inner(json_values.inner(fields, outer), name)
        if json_values.amount(held, "amount") is not None:
            return held
    return fields


def accounts(client: HttpClient) -> Sequence[Account]:
    """Return all accounts, from every page of `GET /api/v1/accounts`. A 404 is the bank's word for none.

    Raises:
        BankError
    """
    try:
        return [_account(fields) for fields in paged(client, ACCOUNTS, {})]
    except NotKnown:
        return []


def _account(fields: Mapping[str, Any]) -> Account:
    account_id = json_values.text(fields, "accountId")
    if account_id is None:
        raise AnswerUnreadable(f"GET {ACCOUNTS}: an account without `accountId`")
    ibans = json_values.texts(fields.get("ibans"))
    entries = json_values.objects(fields.get("accountIdentifiers"))
    identifiers = [text for entry in entries if (text := json_values.text(entry, "account"))]
    balances = json_values.objects(fields.get("balances"))
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
