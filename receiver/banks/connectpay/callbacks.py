"""ConnectPay's callbacks: proven by a static token and the sender's address."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks import json_values
from receiver.banks.connectpay import options
from receiver.banks.connectpay.api import Kind, kind, payment_status
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import Callback, Claim, Profile, Proof
from receiver.signing import addresses, static_token

TIMESTAMP = "x-connectpay-timestamp"


def prove(callback: Callback, profile: Profile) -> Proof:
    """Prove that the sender knows the token and sends from an address on the list.

    Raises:
        Refusal
    """
    shown = callback.headers.get(options.token_header(profile.options), b"")
    tokens = static_token.ids(profile.secrets)
    key_id = static_token.match(tokens, shown, hidden=callback.hidden)
    addresses.match(callback.peer, options.allowed_addresses(profile.options, profile.environment), proven=True)
    timestamp = callback.headers.get(TIMESTAMP, b"").decode("latin-1")
    return Proof(strength="token", key_id=key_id, content=callback.body, headers={TIMESTAMP: timestamp})


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claim in a genuine body.

    Raises:
        NotUnderstood
    """
    fields = json_values.parse_object(proof.content)
    named = json_values.anywhere(fields, "eventType", "type", "event")
    known = next((found for text in named if (found := kind(text)) is not None), None)
    if known is None:
        raise NotUnderstood("no type of event that is known")
    claimed_at = json_values.read_time(proof.headers.get(TIMESTAMP, ""))
    content = json_values.canonical(fields)
    order, transaction, reference = (
        json_values.first(fields, name) for name in ("paymentOrderNo", "transactionId", "externalReference")
    )
    facts = {
        "payment_order_no": order,
        "transaction_id": transaction,
        "external_reference": reference,
        "claimed_at": claimed_at.isoformat() if claimed_at else None,
    }
    money = _money(fields)
    payment_id = (order or transaction or reference) if known.bank_status else None
    return [
        Claim(
            type=f"connectpay.{known.name}",
            identity=_identity(fields, known, payment_id, claimed_at, content),
            content=content,
            # The API knows payment orders alone: without the order's number there is nothing to ask for.
            kind="payment" if known.bank_status and order else "none",
            subject=payment_id,
            payment_id=payment_id,
            status=payment_status(known.bank_status) if known.bank_status else None,
            amount=json_values.amount(money, "amount"),
            currency=json_values.text(money, "currency"),
            facts={name: fact for name, fact in facts.items() if fact is not None},
            claimed_at=claimed_at,
        )
    ]


def _identity(
    fields: Mapping[str, Any], known: Kind, payment_id: str | None, claimed_at: datetime | None, content: str
) -> tuple[str, ...]:
    """Return what makes an event this one and no other, by which it is deduplicated.

    A payment goes through each state once. Anything else may well happen again, in the same words: then only the time
    sets it apart, and to lose one would be worse than to tell a retry twice.
    """
    if payment_id is not None:
        status = json_values.first(fields, "paymentStatus", "transactionStatus") or known.bank_status or ""
        return ("payment", known.name, payment_id, status.upper())
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return ("event", known.name, digest, claimed_at.isoformat() if claimed_at else "")


def _money(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that holds the amount: the body, or the first one within it that does."""
    level = [fields]
    for _ in range(json_values.DEPTH_MAX):
        for here in level:
            if json_values.amount(here, "amount") is not None:
                return here
        level = [value for here in level for value in here.values() if isinstance(value, dict)]
    return {}
