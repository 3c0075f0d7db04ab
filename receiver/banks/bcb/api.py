"""BCB's API: token, payments, jobs, public keys, accounts, and what its statuses mean."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from receiver.banks import json_values
from receiver.banks.abilities import Account
from receiver.banks.errors import AnswerUnreadable, BankError
from receiver.banks.http import HttpClient
from receiver.banks.protocol import FINAL_STATUSES, Answer
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


def payment_status(bank_status: str) -> str:
    """Return our word for a payment's state."""
    return PAYMENT_STATUSES.get(bank_status.strip().lower(), "unknown")


def job_status(bank_status: str) -> str:
    """Return our word for a job's state."""
    return JOB_STATUSES.get(bank_status.strip().lower(), "unknown")


RESULTS_LISTED = 20
"""Failed items that a check keeps."""


def new_token(connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """`POST /auth/token` (without `/v1`): return the token, and its `exp` claim where it has one.

    Raises:
        BankError
    """
    answer = connection.post(
        "/auth/token", {"clientId": credentials["client_id"], "clientSecret": credentials["client_secret"]}
    )
    token = answer.get("token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise AnswerUnreadable("POST /auth/token: no token in the answer")
    return token, _expiry(token)


def _expiry(token: str) -> datetime | None:
    """Read `exp` (RFC 7519), unverified: the token is the bank's own and only its end is wanted."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def payment(connection: HttpClient, payment_id: str) -> Answer:
    """`GET /v1/payments/{id}/status`.

    Raises:
        BankError
    """
    fields = _object(connection, f"/v1/payments/{quote(payment_id, safe='')}/status")
    bank_status = json_values.text(fields, "status", "Status")
    if bank_status is None:
        raise AnswerUnreadable("the payment's status has no `status`")
    detail = {
        name: json_values.text(fields, name) for name in ("transactionId", "type", "externalReference", "valueDate")
    }
    for name in ("debitAmount", "creditAmount"):
        detail[name] = _amount(fields, name)
    return Answer(bank_status, payment_status(bank_status), {name: value for name, value in detail.items() if value})


def _amount(fields: Mapping[str, Any], name: str) -> str | None:
    """Return an amount as text, with its currency where it stands in an object with one: `1000.00`, `1000.00 USD`."""
    whole = json_values.inner(fields, name)
    if not whole:
        return json_values.decimal_text(json_values.amount(fields, name))
    parts = (json_values.decimal_text(json_values.amount(whole, "amount")), json_values.text(whole, "currency"))
    return " ".join(part for part in parts if part) or None


def job(connection: HttpClient, job_id: str) -> Answer:
    """`GET /v1/jobs/{id}`, and once it has ended `GET /v1/jobs/{id}/results`.

    Raises:
        BankError
    """
    path = f"/v1/jobs/{quote(job_id, safe='')}"
    fields = _object(connection, path)
    bank_status = json_values.text(fields, "jobStatus", "JobStatus", "status", "Status")
    if bank_status is None:
        raise AnswerUnreadable("the job has no status")
    status = job_status(bank_status)
    detail: dict[str, Any] = {}
    if status in FINAL_STATUSES:
        try:
            detail = _results(connection.get(f"{path}/results"))
        except BankError as error:
            # The state is known; the items are an extra that may be gone or not ready.
            detail = {"results": str(error)}
    return Answer(bank_status, status, detail)


def _results(answer: Any) -> dict[str, Any]:
    listed = answer.get("data", answer.get("results")) if isinstance(answer, dict) else answer
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    failed = [item for item in items if json_values.whole_number(item, "httpStatus") not in (200, 201)]
    return {
        "items": len(items),
        "failed": len(failed),
        "failures": [_failure(item) for item in failed[:RESULTS_LISTED]],
    }


def _failure(item: Mapping[str, Any]) -> dict[str, Any]:
    error = item.get("error")
    words = json_values.text(item, "error") or (
        json_values.canonical(error)[: json_values.TEXT_CHARACTERS_MAX] if error else None
    )
    return {"http_status": json_values.whole_number(item, "httpStatus"), "error": words}


def public_keys(connection: HttpClient) -> str:
    """`GET /v1/.well-known/jwks.json`: return the JWKS as text, once it is known to hold a usable key.

    Raises:
        BankError
    """
    jwks = json.dumps(_object(connection, "/v1/.well-known/jwks.json"), default=str)
    try:
        found = rsa_pss.public_keys(jwks)
    except Refusal as refusal:
        raise AnswerUnreadable(f"the JWKS is none: {refusal.detail}") from refusal
    if not found:
        raise AnswerUnreadable("the JWKS holds no RSA signature key")
    return jwks


def clock(connection: HttpClient) -> datetime:
    """`GET /v1/system/time`.

    Raises:
        BankError
    """
    text = json_values.text(_object(connection, "/v1/system/time"), "timestamp")
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError as error:
        raise AnswerUnreadable("the bank's time is not ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _object(connection: HttpClient, path: str) -> dict[str, Any]:
    found = connection.get(path)
    if not isinstance(found, dict):
        raise AnswerUnreadable(f"GET {path}: a JSON object is expected")
    return found


PATH = "/v1/accounts"

PAGE_SIZE = 1000
PAGES_MAX = 1000


def accounts(connection: HttpClient) -> Sequence[Account]:
    """`GET /v1/accounts`, every page. The names of an account's fields are not documented; the likely ones are read.

    Raises:
        BankError
    """
    return [_account(fields) for fields in _entries(connection)]


def _entries(connection: HttpClient) -> Iterator[dict[str, Any]]:
    query: dict[str, Any] = {"pageSize": PAGE_SIZE}
    seen = 0
    for number in range(1, PAGES_MAX + 1):
        answer = connection.get(f"{PATH}?{urlencode(query)}")
        listed = answer.get("data") if isinstance(answer, dict) else answer
        if not isinstance(listed, list):
            raise AnswerUnreadable(f"GET {PATH}: a list is expected")
        yield from (entry for entry in listed if isinstance(entry, dict))
        seen += len(listed)
        meta = json_values.inner(json_values.inner(answer, "meta"), "pagination") if isinstance(answer, dict) else {}
        total, token = json_values.whole_number(meta, "total_size"), json_values.text(meta, "page_token")
        if not listed or (seen >= total if total is not None else token is None):
            return
        # With a token, the size of the page must not be sent again.
        query = {"pageStart": number + 1} | ({"pageToken": token} if token else {"pageSize": PAGE_SIZE})
    raise AnswerUnreadable(f"GET {PATH}: more than {PAGES_MAX} pages")


def _account(fields: Mapping[str, Any]) -> Account:
    number = json_values.text(fields, "number", "accountNumber")
    account_id = json_values.text(fields, "id", "accountId") or number
    if account_id is None:
        raise AnswerUnreadable(f"GET {PATH}: an account without an id or number")
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
    listed = fields.get("accountAttributes")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return json_values.text(entry, "value")
    return None
