"""BCB's side of a callback, written from the bank's rules alone: nothing of `receiver` is imported here."""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SECRET = "HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs="

DEPOSIT: dict[str, Any] = {
    "subscriptionId": "e2a55504-3924-4b48-9d7e-540efcd6fa30",
    "topic": "Deposits",
    "accountNumber": "1046406142",
    "transactionId": "FT2384654NXF6",
    "type": "Credit",
    "value": {"amount": "1000.00", "currency": "USD"},
    "transactionType": "Swift payment",
    "transactionDetails": "Payment details",
}


def deposit(**changes: Any) -> dict[str, Any]:
    """The example notification, with other values where these are given."""
    return {**DEPOSIT, **changes}


def job(job_id: str = "7f1b", status: str = "Completed", **changes: Any) -> dict[str, Any]:
    """A job webhook."""
    summary = {"total": 3, "completed": 3, "failed": 0}
    return {"jobId": job_id, "jobStatus": status, "eventType": "job.status", "summary": summary, **changes}


@dataclass
class Signed:
    """A callback ready to send."""

    path: str
    body: bytes
    headers: dict[str, str]


@dataclass
class BankSigner:
    """Signs as the bank does."""

    clock: Callable[[], datetime]
    secret: str = field(default=SECRET, repr=False)
    encoding: str = "base64"

    def sign(
        self,
        body: bytes | dict[str, Any],
        path: str = "/webhooks/bcb",
        *,
        nonce: str | None = None,
        timestamp: str | None = None,
    ) -> Signed:
        """Sign a body for a path."""
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        nonce = nonce if nonce is not None else str(uuid.uuid4())
        timestamp = timestamp if timestamp is not None else str(int(self.clock().timestamp()))
        key = base64.b64decode(self.secret) if self.encoding == "base64" else self.secret.encode()
        text = f"{timestamp}{nonce}POST{path}".encode() + raw
        signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        headers = {
            "Bcb-Signature": signature,
            "Bcb-Timestamp": timestamp,
            "Bcb-Nonce": nonce,
            "Content-Type": "application/json",
        }
        return Signed(path, raw, headers)
