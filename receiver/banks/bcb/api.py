"""BCB's API: token, payments, jobs, public keys, accounts, and what its statuses mean."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from receiver.banks import http, json_values, urls
from receiver.banks.abilities import Account
from receiver.banks.callback import known_facts
from receiver.banks.errors import ASKED_FOR_MORE, OF_ONE_QUESTION, AnswerUnreadable
from receiver.banks.http import HttpClient
from receiver.banks.listing import Place
from receiver.banks.new_shapes import camel_case
from receiver.banks.protocol import FINAL_STATUSES, Answer, Money, status_in
from receiver.signing import rsa_pss
from receiver.signing.errors import Refusal

PAYMENT_STATUSES = {
    "pending": "pending",
    "inprogress": "pending",
    "processing": "pending",
    "completed": "completed",
    "reversed": "reversed",
    "rejected": "rejected",
    "failed": "rejected",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "returned": "returned",
}
"""`Pending`, `Completed` and `Reversed` are documented, as examples; the others are plain words for the rest."""

JOB_STATUSES = {
    "pending": "pending",
    "inprogress": "pending",
    "completed": "completed",
    "completedwitherrors": "completed",
    "cancelled": "cancelled",
}
"""All that is documented. `CompletedWithErrors` has come to its end; its results say which items failed."""

_HTTP_STATUS = re.compile(r"[1-5][0-9]{2}")

RESULTS_LISTED = 20
"""Failed items that a check shows."""

RESULT_CHARACTERS_MAX = 1000
"""Of an item's result as JSON; a job has up to 1,000 items."""

ACCOUNTS = "/v1/accounts"
PAGE_SIZE = 1000


def new_token(client: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """Fetch an access token: `POST /auth/token` (without `/v1`). Its end is its claim `exp`, where it has one.

    Raises:
        BankError
    """
    answer = client.post(
        "/auth/token", {"clientId": credentials["client_id"], "clientSecret": credentials["client_secret"]}
    )
    token = http.access_token(answer, "token", "POST /auth/token")
    return token, http.jwt_expiry(token)


def ask(client: HttpClient, kind: str, subject: str, _facts: Mapping[str, Any]) -> Answer:
    """Ask for the state of a payment or of a background job, by its id.

    Raises:
        BankError
    """
    return _job(client, subject) if kind == "job" else _payment(client, subject)


def _payment(client: HttpClient, payment_id: str) -> Answer:
    found = answer(client.get_object(f"/v1/payments/{urls.segment(payment_id)}/status"))
    if found is None:
        raise AnswerUnreadable("the payment's status has no `status`")
    return found


def answer(fields: Mapping[str, Any]) -> Answer | None:
    """Return what the bank says of a payment, alone or in a list; none where there is no status in it."""
    fields = camel_case(fields)
    bank_status = json_values.text(fields, "status")
    if bank_status is None:
        return None
    names = ("transactionId", "type", "externalReference", "valueDate")
    detail = {name: json_values.text(fields, name) for name in names}
    detail |= {name: _amount(fields, name) for name in ("debitAmount", "creditAmount")}
    amounts = [money for name in ("debitAmount", "creditAmount") if (money := _money(fields, name)) is not None]
    # With an exchange between two currencies that are not told, no amount can be compared.
    is_exchanged = json_values.amount(fields, "exchangeRate") is not None and any(not each.currency for each in amounts)
    status = status_in(PAYMENT_STATUSES, bank_status)
    facts = known_facts(external_reference=detail["externalReference"])
    return Answer(bank_status, status, known_facts(**detail), amounts=() if is_exchanged else amounts, facts=facts)


def _money(fields: Mapping[str, Any], name: str) -> Money | None:
    """Return an amount, with its currency where it stands in an object with one."""
    whole = json_values.inner(fields, name)
    found = json_values.amount(whole, "amount") if whole else json_values.amount(fields, name)
    return None if found is None else Money(abs(found), json_values.text(whole, "currency"))


def _amount(fields: Mapping[str, Any], name: str) -> str | None:
    """Return an amount as text, with its currency where it stands in an object with one: `1000.00`, `1000.00 USD`."""
    if whole := json_values.inner(fields, name):
        return json_values.money_text(whole)
    return json_values.decimal_text(json_values.amount(fields, name))


def _job(client: HttpClient, job_id: str) -> Answer:
    """Ask for a job, and once it has ended for its results."""
    path = f"/v1/jobs/{urls.segment(job_id)}"
    bank_status = json_values.text(camel_case(client.get_object(path)), "jobStatus", "status")
    if bank_status is None:
        raise AnswerUnreadable("the job has no status")
    status = status_in(JOB_STATUSES, bank_status)
    if status not in FINAL_STATUSES:
        return Answer(bank_status, status)
    try:
        return Answer(bank_status, status, _results(entries(client, f"{path}/results")))
    except OF_ONE_QUESTION as error:
        # The state is known; the items are an extra that may be gone or not ready.
        return Answer(bank_status, status, {"results": str(error)}, ASKED_FOR_MORE)


def _results(listed: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    items = [_item(index, fields) for index, fields in enumerate(listed)]
    failed = [item for item in items if item["status"] == "failed"]
    failures = [{name: item[name] for name in ("index", "http_status", "error")} for item in failed[:RESULTS_LISTED]]
    return {"items": len(items), "failed": len(failed), "failures": failures, "each_item": items}


def _item(index: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what became of one item; it has no id, so its place in the job is its name.

    One that tells neither an HTTP status nor an error is not known to have failed.
    """
    fields = {name.lower(): value for name, value in given.items()}
    error, http_status = fields.get("error"), _http_status(fields)
    words = json_values.text(fields, "error") or (
        json_values.canonical(error)[: json_values.TEXT_CHARACTERS_MAX] if error else None
    )
    is_completed = http_status in (200, 201)
    is_failed = http_status is not None or words is not None
    return {
        "index": index,
        "status": "completed" if is_completed else "failed" if is_failed else "unknown",
        "http_status": http_status,
        "error": words,
        "result": _result(fields.get("resultjson")),
    }


def _http_status(fields: Mapping[str, Any]) -> int | None:
    """Return an HTTP status, which comes as a number or as its digits."""
    digits = json_values.text(fields, "httpstatus") or ""
    return int(digits) if _HTTP_STATUS.fullmatch(digits) else None


def _result(given: Any) -> Any:
    """Return an item's result, which comes as an object or as JSON text; one that is too long is left out."""
    if isinstance(given, str):
        try:
            given = json_values.parse(given.encode("utf-8", "replace"))
        except json_values.NotUnderstood:
            return given[:RESULT_CHARACTERS_MAX]
    if given is None or len(text := json_values.canonical(given)) > RESULT_CHARACTERS_MAX:
        return None
    return json.loads(text)


def fetch_public_keys(client: HttpClient) -> str:
    """Return the bank's JWKS as text (`GET /v1/.well-known/jwks.json`), once it is known to hold a usable key.

    Raises:
        BankError
    """
    jwks = json.dumps(client.get_object("/v1/.well-known/jwks.json"), default=str)
    try:
        found = rsa_pss.public_keys(jwks)
    except Refusal as refusal:
        raise AnswerUnreadable(f"the JWKS is none: {refusal.detail}") from refusal
    if not found:
        raise AnswerUnreadable("the JWKS holds no RSA signature key")
    return jwks


def clock(client: HttpClient) -> datetime:
    """Return the bank's time (`GET /v1/system/time`), as UTC where it names no zone.

    Raises:
        BankError
    """
    text = json_values.text(client.get_object("/v1/system/time"), "timestamp")
    try:
        found = datetime.fromisoformat((text or "").upper())
    except ValueError as error:
        raise AnswerUnreadable("the bank's time is not ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def accounts(client: HttpClient) -> Sequence[Account]:
    """Return all accounts, from every page of `GET /v1/accounts`.

    The names of an account's fields are not documented; the likely ones are read.

    Raises:
        BankError
    """
    return [_account(fields) for fields in entries(client, ACCOUNTS)]


def entries(client: HttpClient, path: str) -> Iterator[dict[str, Any]]:
    """Yield the objects on all pages of a list.

    Raises:
        BankError
    """
    place: Place | None = Place()
    while place is not None:
        listed, place = page(client, path, {}, place)
        yield from json_values.objects(listed)


def page(client: HttpClient, path: str, filters: Mapping[str, str], place: Place) -> tuple[Sequence[Any], Place | None]:
    """Return what is on a page of a list, objects or not, and where the next one begins; none after the last one.

    The next one is asked for by page token where the bank gives one, else by its number.

    Raises:
        BankError
    """
    # With a token, the size of the page must not be sent again.
    asked = {"pageToken": place.token} if place.token else {"pageSize": PAGE_SIZE}
    number = {"pageStart": place.number} if place.number > 1 else {}
    found = client.get(f"{path}?{urlencode({**filters, **number, **asked})}")
    by_name = {name.lower(): value for name, value in found.items()} if isinstance(found, dict) else {}
    listed = by_name.get("data", by_name.get("results")) if by_name else found
    if not isinstance(listed, list):
        raise AnswerUnreadable(f"GET {path}: a list is expected")
    meta = json_values.inner(json_values.inner(by_name, "meta"), "pagination")
    total, size = (json_values.whole_number(meta, name) for name in ("total_size", "page_size"))
    token = json_values.text(meta, "page_token")
    return place.turn(listed, f"GET {path}", asked=PAGE_SIZE, total=total, size=size, token=token)


def _account(fields: Mapping[str, Any]) -> Account:
    number = json_values.text(fields, "number", "accountNumber")
    account_id = json_values.text(fields, "id", "accountId") or number
    if account_id is None:
        raise AnswerUnreadable(f"GET {ACCOUNTS}: an account without an id or number")
    balance = json_values.inner(fields, "balance")
    return Account(
        id=account_id,
        number=number,
        name=json_values.text(fields, "label", "name"),
        currency=json_values.text(balance, "currency") or json_values.text(fields, "currency"),
        status=json_values.text(fields, "status") or _attribute(fields, "STATUS"),
        balance=json_values.amount(balance, "amount") if balance else json_values.amount(fields, "balance"),
        detail={"type": json_values.text(fields, "type")},
    )


def _attribute(fields: Mapping[str, Any], name: str) -> str | None:
    listed = json_values.objects(fields.get("accountAttributes"))
    return next((json_values.text(entry, "value") for entry in listed if entry.get("name") == name), None)
