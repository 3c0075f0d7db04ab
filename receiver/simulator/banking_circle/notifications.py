"""Notifications: one for each thing that happened to a payment, encrypted in batches.

A callback is AES-256-GCM (NIST SP 800-38D) over UTF-16LE, with the nonce, the tag and a checksum in headers.
"""

import base64
import hashlib
import secrets
import uuid
from datetime import datetime
from typing import Literal, get_args

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.payments import Payment, precise

SUBSCRIPTION_ID = "5f0f1d5c-2f0a-4f3e-9a63-0d6a3c8d1b11"

Kind = Literal[
    "IncomingPaymentProcessed",
    "OutgoingPaymentProcessed",
    "OutgoingPaymentRejected",
    "MissingFunding",
    "Reversed",
    "IncomingPaymentBooked",
    "OutgoingPaymentBooked",
    "PaymentRouting",
    "OutgoingDirectDebitPendingProcessing",
    "PaymentStatus",
    "AccountHolderVerification",
    "CaseEvents",
    "CasesEvents",
    "AgencyBankingWhitelistResult",
    "MandateStatus",
]

KINDS: tuple[Kind, ...] = get_args(Kind)

CLAIMED: dict[str, str] = {
    "IncomingPaymentProcessed": "Processed",
    "OutgoingPaymentProcessed": "Processed",
    "OutgoingPaymentRejected": "Rejected",
    "MissingFunding": "MissingFunding",
    "Reversed": "Reversed",
}
"""The status that each kind claims; the others show the payment as it is."""

_WITH_PAYLOAD = frozenset(KINDS[KINDS.index("PaymentStatus") :])
"""These carry a `payload` where the others have a `payment`."""

TAG_BYTES = 16

Variant = Literal[
    "genuine",
    "again",
    "again-encrypted",
    "forged",
    "altered-body",
    "altered-tag",
    "altered-nonce",
    "altered-checksum",
    "short-nonce",
    "short-tag",
    "no-headers",
    "utf8",
    "not-json",
]
"""`again` repeats the bytes of the last genuine callback, `again-encrypted` its text with a new nonce; `forged` has
another key; the altered ones differ in one bit after they were made; `utf8` and `not-json` are rightly encrypted."""


def kinds_of(payment: Payment, status: str, booked: str) -> list[Kind]:
    """Return what is sent when a payment comes to `status`, in order; for most statuses nothing is."""
    incoming = payment.classification == "Incoming"
    processed: Kind = "IncomingPaymentProcessed" if incoming else "OutgoingPaymentProcessed"
    short: Kind = "IncomingPaymentBooked" if incoming else "OutgoingPaymentBooked"
    match status:
        case "Processed" if booked == "before":
            return [short, processed]
        case "Processed" if booked == "after":
            return [processed, short]
        case "Processed":
            return [processed]
        case "Rejected":
            return ["OutgoingPaymentRejected"]
        case "MissingFunding":
            return ["MissingFunding"]
        case "Reversed":
            return ["Reversed"]
        case _:
            return []


def notification(payment: Payment, kind: Kind, config: Config, now: datetime) -> dict[str, object]:
    """Return one notification of any `kind` about a payment, with an `eventId` of its own."""
    made: dict[str, object] = {
        "subscriptionId": SUBSCRIPTION_ID,
        "subscriptionEventId": str(uuid.uuid5(uuid.UUID(SUBSCRIPTION_ID), kind)),
        "eventId": str(uuid.uuid4()),
        "notificationType": kind,
        "timestamp": precise(now),
    }
    status = CLAIMED.get(kind) or payment.status(now) or "PendingProcessing"
    if kind in _WITH_PAYLOAD:
        return made | {"payload": _payload(payment, kind, status)}
    if kind in ("IncomingPaymentBooked", "OutgoingPaymentBooked"):
        return made | {"payment": payment.booked()}
    return made | {"payment": payment.as_json(status, now, config.errors_form)}


def _payload(payment: Payment, kind: Kind, status: str) -> dict[str, object]:
    if kind == "PaymentStatus":
        return {
            "TransactionStatus": status,
            "AccountServicerReference": payment.transaction_reference,
            "TransactionReference": {"InstructedAmount": {"Currency": payment.currency, "Amount": payment.amount}},
        }
    return {"RequestId": str(uuid.uuid4()), "Status": "Succeeded"}


def subject_of(notification: dict[str, object]) -> str:
    """Return the id of the payment that a notification is about, else its own."""
    payment = notification.get("payment")
    found = payment.get("paymentId") if isinstance(payment, dict) else None
    return str(found or notification.get("eventId", ""))


def encrypt(text: str, config: Config, variant: str = "genuine") -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a callback that says `text`, spoilt as `variant` says."""
    key = secrets.token_bytes(32) if variant == "forged" else config.key()
    text = text[: len(text) // 2] if variant == "not-json" else text
    nonce = secrets.token_bytes(12)
    sealed = AESGCM(key).encrypt(nonce, _plain(text, config, variant), None)
    body, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    checksum = hashlib.sha256(text.encode()).digest()
    headers = {
        "Content-Type": "application/octet-stream",
        "Nonce": _base64(_spoilt(nonce, variant, "nonce")),
        "AuthenticationTag": _base64(_spoilt(tag, variant, "tag")),
        "Checksum": _base64(_spoilt(checksum, variant, "checksum")),
        "SubscriptionVersion": str(config.subscription_version),
    }
    if variant == "no-headers":
        headers = {"Content-Type": headers["Content-Type"]}
    return _spoilt(body, variant, "body"), headers


def _plain(text: str, config: Config, variant: str) -> bytes:
    mark = "\ufeff" if config.byte_order_mark else ""
    return text.encode() if variant == "utf8" else (mark + text).encode("utf-16-le")


def _spoilt(value: bytes, variant: str, part: str) -> bytes:
    if variant == f"altered-{part}":
        return bytes([value[0] ^ 1]) + value[1:]
    return value[:-4] if variant == f"short-{part}" else value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
