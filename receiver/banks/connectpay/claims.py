"""What ConnectPay's callbacks tell. Where type and ids stand in the body is not documented: they are looked for."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks import payload, times
from receiver.banks.bank import Claim, Proof
from receiver.banks.connectpay.proof import TIMESTAMP
from receiver.banks.connectpay.statuses import Kind, kind, payment_status
from receiver.banks.payload import NotUnderstood


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claim in a genuine body.

    Raises:
        NotUnderstood
    """
    fields = payload.parse_object(proof.content)
    named = payload.anywhere(fields, "eventType", "type", "event")
    known = next((found for text in named if (found := kind(text)) is not None), None)
    if known is None:
        raise NotUnderstood("no type of event that is known")
    told_at = times.read(proof.headers.get(TIMESTAMP, ""))
    content = payload.canonical(fields)
    order, transaction, reference = (
        payload.first(fields, name) for name in ("paymentOrderNo", "transactionId", "externalReference")
    )
    facts = {
        "payment_order_no": order,
        "transaction_id": transaction,
        "external_reference": reference,
        "told_at": told_at.isoformat() if told_at else None,
    }
    money = _money(fields)
    payment_id = (order or transaction or reference) if known.bank_status else None
    return [
        Claim(
            type=f"connectpay.{known.name}",
            identity=_identity(fields, known, payment_id, told_at, content),
            content=content,
            # The API knows payment orders alone: without the order's number there is nothing to ask for.
            kind="payment" if known.bank_status and order else "none",
            subject=payment_id,
            payment_id=payment_id,
            status=payment_status(known.bank_status) if known.bank_status else None,
            amount=payload.amount(money, "amount"),
            currency=payload.text(money, "currency"),
            facts={name: fact for name, fact in facts.items() if fact is not None},
            told_at=told_at,
        )
    ]


def _identity(
    fields: Mapping[str, Any], known: Kind, payment_id: str | None, told_at: datetime | None, content: str
) -> tuple[str, ...]:
    """A payment goes through each state once. Anything else may well happen again, in the same words: then only the
    time sets it apart, and to lose one would be worse than to tell a retry twice."""
    if payment_id is not None:
        status = payload.first(fields, "paymentStatus", "transactionStatus") or known.bank_status or ""
        return ("payment", known.name, payment_id, status.upper())
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return ("event", known.name, digest, told_at.isoformat() if told_at else "")


def _money(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that holds the amount: the body, or the first one within it that does."""
    level = [fields]
    for _ in range(payload.DEPTH_MAX):
        for here in level:
            if payload.amount(here, "amount") is not None:
                return here
        level = [value for here in level for value in here.values() if isinstance(value, dict)]
    return {}
