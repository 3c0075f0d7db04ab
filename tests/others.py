"""The banks whose callbacks show a token or follow Standard Webhooks: sources, and callbacks as they send them."""

import base64
import hashlib
import hmac
import json
from typing import Any

from receiver.runtime import Runtime
from receiver.store import signing_secrets, sources
from receiver.store.sources import SourceRecord

CONNECTPAY_ADDRESS = "52.31.71.221"
"""One of those published for the stage environment."""

TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OLD_TOKEN = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

CREDENTIALS = {
    "connectpay": {"client_key": "ConnectPay", "client_secret": "EasyBanking"},
    "banqup": {"client_id": "the-app", "client_secret": "the-app-secret"},
}


def add(
    parts: Runtime,
    bank: str,
    secret: str | None,
    *,
    name: str | None = None,
    base_url: str | None = None,
    environment: str = "sandbox",
    **options: Any,
) -> SourceRecord:
    """Add a source of any bank, named as its bank, with credentials where there is a place to use them at."""
    name = name or bank
    with parts.database.write() as connection:
        added = sources.add(
            connection,
            name=name,
            bank=bank,
            environment=environment,
            base_url=base_url,
            options=options,
            now=parts.clock(),
        )
        if base_url is not None:
            sources.set_credentials(connection, parts.encryption, added, CREDENTIALS[bank])
        found = sources.find(connection, name)
    assert found is not None
    if secret is not None:
        set_secret(parts, found, secret)
    return found


def set_secret(parts: Runtime, source: SourceRecord, secret: str) -> None:
    """Make a secret the current one, with an hour's grace for the one before it."""
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, secret, now=parts.clock(), grace_seconds=3600)


def outgoing(event: str = "Completed", order: str = "PO-1", **more: Any) -> dict[str, Any]:
    """A ConnectPay callback about a payment order."""
    body = {"eventType": f"OutgoingPayment.{event}", "paymentOrderNo": order, "amount": 12.5, "currency": "EUR"}
    return {**body, **more}


def message(payment: str = "PAID", message_id: str = "m-1", **more: Any) -> dict[str, Any]:
    """A Banqup message about a payment."""
    body = {
        "id": message_id,
        "category": "payment",
        "resourceId": "pay-1",
        "data": {"spaceId": "space-1", "status": {"payment": payment}},
    }
    return {**body, **more}


def webhook(
    body: dict[str, Any] | bytes,
    *,
    at: float,
    message_id: str = "msg_1",
    secret: str = WHSEC,
    prefix: str = "webhook",
) -> tuple[bytes, dict[str, str]]:
    """A message signed by the rules of Standard Webhooks, written down here from the specification alone."""
    raw = json.dumps(body).encode() if isinstance(body, dict) else body
    timestamp = str(int(at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{message_id}.{timestamp}.".encode() + raw, hashlib.sha256).digest()
    return raw, {
        f"{prefix}-id": message_id,
        f"{prefix}-timestamp": timestamp,
        f"{prefix}-signature": "v1," + base64.b64encode(made).decode(),
    }
