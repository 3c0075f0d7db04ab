"""BCB's API, as far as the truth about callbacks needs it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import jwt

from receiver.banks import payload
from receiver.banks.bank import FINAL_STATUSES, Answer
from receiver.banks.bcb.statuses import job_status, payment_status
from receiver.banks.connection import Connection
from receiver.banks.errors import AnswerUnreadable, BankError
from receiver.signing import rsa_pss
from receiver.signing.errors import Refusal

RESULTS_LISTED = 20
"""Failed items that a check keeps."""


def new_token(connection: Connection, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
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


def payment(connection: Connection, payment_id: str) -> Answer:
    """`GET /v1/payments/{id}/status`.

    Raises:
        BankError
    """
    fields = _object(connection, f"/v1/payments/{quote(payment_id, safe='')}/status")
    bank_status = payload.text(fields, "status", "Status")
    if bank_status is None:
        raise AnswerUnreadable("the payment's status has no `status`")
    detail = {name: payload.text(fields, name) for name in ("transactionId", "type", "externalReference", "valueDate")}
    for name in ("debitAmount", "creditAmount"):
        detail[name] = _amount(fields, name)
    return Answer(bank_status, payment_status(bank_status), {name: value for name, value in detail.items() if value})


def _amount(fields: Mapping[str, Any], name: str) -> str | None:
    """An amount stands alone or in an object with its currency: `1000.00`, `1000.00 USD`."""
    whole = payload.inner(fields, name)
    if not whole:
        return payload.decimal_text(payload.amount(fields, name))
    parts = (payload.decimal_text(payload.amount(whole, "amount")), payload.text(whole, "currency"))
    return " ".join(part for part in parts if part) or None


def job(connection: Connection, job_id: str) -> Answer:
    """`GET /v1/jobs/{id}`, and once it has ended `GET /v1/jobs/{id}/results`.

    Raises:
        BankError
    """
    path = f"/v1/jobs/{quote(job_id, safe='')}"
    fields = _object(connection, path)
    bank_status = payload.text(fields, "jobStatus", "JobStatus", "status", "Status")
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
    failed = [item for item in items if payload.whole_number(item, "httpStatus") not in (200, 201)]
    return {
        "items": len(items),
        "failed": len(failed),
        "failures": [_failure(item) for item in failed[:RESULTS_LISTED]],
    }


def _failure(item: Mapping[str, Any]) -> dict[str, Any]:
    error = item.get("error")
    words = payload.text(item, "error") or (payload.canonical(error)[: payload.TEXT_CHARACTERS_MAX] if error else None)
    return {"http_status": payload.whole_number(item, "httpStatus"), "error": words}


def public_keys(connection: Connection) -> str:
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


def clock(connection: Connection) -> datetime:
    """`GET /v1/system/time`.

    Raises:
        BankError
    """
    text = payload.text(_object(connection, "/v1/system/time"), "timestamp")
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError as error:
        raise AnswerUnreadable("the bank's time is not ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _object(connection: Connection, path: str) -> dict[str, Any]:
    found = connection.get(path)
    if not isinstance(found, dict):
        raise AnswerUnreadable(f"GET {path}: a JSON object is expected")
    return found
