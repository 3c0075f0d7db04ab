"""Banking Circle's side of a callback, written from the bank's rules alone: nothing of `receiver` is imported here."""

import base64
import codecs
import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from typing import Any

from bank import Signed
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = "0123456789abcdef0123456789abcdeF"


def payment(payment_id: str = "9ffa7024-5536-4b0f-9578-d03171f75182", **changes: Any) -> dict[str, Any]:
    """The payment of the sheet's example, with other values where these are given."""
    return {
        "paymentId": payment_id,
        "transactionReference": "010F103220030044",
        "classification": "Incoming",
        "status": "Processed",
        "processedTimestamp": "2023-09-23T15:33:51.0133333+00:00",
        "return": False,
        "paymentRail": "Internal",
        "errors": None,
        "transfer": {
            "amount": {"currency": "GBP", "amount": 145.25},
            "remittanceInformation": {"line1": "Rechnung für Bücher", "line2": "請求書"},
        },
        **changes,
    }


def notification(kind: str = "IncomingPaymentProcessed", event_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """One notification, with an id of its own where none is given."""
    return {
        "subscriptionId": "5f0f1d5c-2f0a-4f3e-9a63-0d6a3c8d1b11",
        "subscriptionEventId": "0aa0b36e-5a5f-4b5c-8c61-0f6ad4b3a7f5",
        "eventId": event_id or str(uuid.uuid4()),
        "notificationType": kind,
        "timestamp": "2023-09-23T14:53:52.8581798Z",
        "payment": payment(),
        **changes,
    }


def batch(notifications: list[dict[str, Any]]) -> str:
    """The text of an envelope; amounts are JSON numbers."""
    return json.dumps({"notifications": notifications}, ensure_ascii=False)


@dataclass
class EncryptingBank:
    """Encrypts as the bank does."""

    key: bytes = KEY.encode()
    path: str = "/webhooks/bc"

    def sign(self, content: str | list[dict[str, Any]], *, mark: bool = False, nonce: bytes | None = None) -> Signed:
        """Encrypt a text, or a batch of notifications."""
        text = content if isinstance(content, str) else batch(content)
        nonce = nonce or os.urandom(12)
        plain = (codecs.BOM_UTF16_LE if mark else b"") + text.encode("utf-16-le")
        sealed = AESGCM(self.key).encrypt(nonce, plain, None)
        headers = {
            "Content-Type": "application/octet-stream",
            "Nonce": base64.b64encode(nonce).decode(),
            "AuthenticationTag": base64.b64encode(sealed[-16:]).decode(),
            "Checksum": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
            "SubscriptionVersion": "1",
        }
        return Signed(self.path, sealed[:-16], headers)
