"""What Banking Circle's callbacks tell: batches of 1 to 1,000 notifications, each with an id of its own."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.banks import payload
from receiver.banks.bank import Claim
from receiver.banks.banking_circle.statuses import payment_status
from receiver.banks.elements import elements
from receiver.banks.payload import NotUnderstood

BANK = "banking_circle"

CLAIMED = {
    "IncomingPaymentProcessed": "completed",
    "OutgoingPaymentProcessed": "completed",
    "OutgoingPaymentRejected": "rejected",
    "MissingFunding": "pending",
    "Reversed": "reversed",
}
"""The status that a notification about a payment claims by its type."""

TYPES = {
    **dict.fromkeys(CLAIMED),
    "IncomingPaymentBooked": None,
    "OutgoingPaymentBooked": None,
    "PaymentRouting": None,
    "OutgoingDirectDebitPendingProcessing": None,
    "PaymentStatus": None,
    "AccountHolderVerification": None,
    "CaseEvents": None,
    "CasesEvents": "case_events",
    "AgencyBankingWhitelistResult": None,
    "MandateStatus": None,
}
"""Every documented type, with the event's name where it is not the type's own: `CaseEvents` is spelt in two ways."""

ERRORS_LISTED = 5


def read(content: bytes) -> Sequence[Claim]:
    """Return the claims in a genuine text, one for each notification.

    Raises:
        NotUnderstood: it is no JSON, no batch, or an empty one.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise NotUnderstood("not UTF-8") from error
    claims = [_claim(found) for found in elements(text, "notifications")]
    if not claims:
        raise NotUnderstood("a batch without notifications")
    return claims


def _claim(found: Any) -> Claim:
    fields = found if isinstance(found, dict) else {}
    # Renewed subscriptions tell the same event under another id of theirs.
    says = {name: value for name, value in fields.items() if not name.lower().startswith("subscription")}
    digest = hashlib.sha256(payload.canonical(says or found).encode("utf-8", "surrogatepass")).hexdigest()
    event_id, kind = payload.text(fields, "eventId", "EventId"), payload.text(fields, "notificationType")
    if event_id is None:
        return Claim(type=f"{BANK}.unrecognised", identity=("content", digest), content=digest)
    identity = ("event", event_id)
    payment = payload.inner(fields, "payment") or payload.inner(fields, "payload")
    facts = _facts(fields, payment)
    if kind == "PaymentStatus":
        return _by_reference(identity, digest, payment, facts)
    payment_id = payload.text(payment, "paymentId", "PaymentId")
    amount = payload.inner(payload.inner(payment, "transfer"), "amount")
    return Claim(
        type=f"{BANK}.{_word(kind)}",
        identity=identity,
        content=digest,
        kind="none" if payment_id is None else "payment",
        subject=payment_id,
        payment_id=payment_id,
        status=CLAIMED.get(kind or ""),
        amount=payload.amount(amount, "amount"),
        currency=payload.text(amount, "currency"),
        facts=facts,
    )


def _by_reference(identity: tuple[str, ...], digest: str, fields: Mapping[str, Any], facts: Mapping[str, Any]) -> Claim:
    """A `PaymentStatus` knows its payment by the bank's reference alone; the bank is asked which one that is."""
    reference = payload.text(fields, "AccountServicerReference", "accountServicerReference")
    bank_status = payload.text(fields, "TransactionStatus", "transactionStatus")
    status = payment_status(bank_status) if bank_status else "unknown"
    return Claim(
        type=f"{BANK}.payment_status",
        identity=identity,
        content=digest,
        kind="none" if reference is None else "reference",
        subject=reference,
        status=None if status == "unknown" else status,
        facts={**facts, **_present(transaction_reference=reference, bank_status=bank_status)},
    )


def _word(kind: str | None) -> str:
    """Write `OutgoingPaymentRejected` as `outgoing_payment_rejected`, a type not documented as `unrecognised`."""
    if kind not in TYPES:
        return "unrecognised"
    return TYPES[kind] or "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")


def _facts(fields: Mapping[str, Any], payment: Mapping[str, Any]) -> dict[str, Any]:
    return _present(
        notification_type=payload.text(fields, "notificationType"),
        told_at=payload.text(fields, "timestamp"),
        subscription_id=payload.text(fields, "subscriptionId"),
        transaction_reference=payload.text(payment, "transactionReference"),
        classification=payload.text(payment, "classification"),
        bank_status=payload.text(payment, "status"),
        payment_rail=payload.text(payment, "paymentRail"),
        processed_at=payload.text(payment, "processedTimestamp"),
        is_return=True if payment.get("return") is True else None,
        errors=_errors(payment.get("errors")),
    )


def _errors(value: Any) -> list[str] | None:
    """Reasons come as a list, as one text, or not at all; an entry is a text, or an object with a code and words."""
    listed = value if isinstance(value, list) else [value]
    texts = []
    for entry in listed[:ERRORS_LISTED]:
        fields = entry if isinstance(entry, dict) else {"text": entry}
        names = ("errorCode", "code", "propertyName", "errorMessage", "errorDescription", "message", "text")
        words = [word for name in names if (word := payload.text(fields, name))]
        texts += [": ".join(words)] if words else []
    return texts or None


def _present(**facts: Any) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}
