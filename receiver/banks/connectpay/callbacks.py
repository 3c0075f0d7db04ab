"""ConnectPay's callbacks: proven by a static token and the sender's address."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receiver.banks import json_values
from receiver.banks.callback import known_facts
from receiver.banks.connectpay import options
from receiver.banks.connectpay.api import PAYMENT_STATUSES
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import Callback, Claim, Profile, Proof, status_in
from receiver.signing import addresses, static_token

TIMESTAMP = options.TIMESTAMP_HEADER

_WORD = re.compile(r"[a-z0-9_]{1,40}")


@dataclass(frozen=True)
class Kind:
    """A type of event: its name here, and the bank's status that it claims of a payment."""

    name: str
    bank_status: str | None = None


KINDS = {
    "outgoingpayment.created": Kind("outgoing_payment.created", "RCVD"),
    "outgoingpayment.processing": Kind("outgoing_payment.processing", "PDNG"),
    "outgoingpayment.completed": Kind("outgoing_payment.completed", "ACSC"),
    "outgoingpayment.rejected": Kind("outgoing_payment.rejected", "RJCT"),
    "incomingpayment.completed": Kind("incoming_payment.completed", "ACSC"),
    "account.balancechanged": Kind("account.balance_changed"),
    "baaspersonidv.approved": Kind("person_idv.approved"),
    "baaspersonidv.declined": Kind("person_idv.declined"),
    "baasperson.docexpiry": Kind("person.doc_expiry"),
    "baasapplication.compliancereview": Kind("application.compliance_review"),
    "baasapplication.applicationapproved": Kind("application.approved"),
    "baasapplication.applicationdeclined": Kind("application.declined"),
}
"""By the bank's name in small letters, because its casing varies."""

FAMILIES = {"baascardapplication": "card_application", "baascard": "card"}
"""Documented as `BaaSCardApplication.*` and `BaaSCard.*`: whatever stands behind the full stop."""


def _kind(event_type: str) -> Kind | None:
    """Return what a type of event means here, however it is cased; none where it is not known."""
    written = event_type.strip().lower()
    family, _, word = written.partition(".")
    if family in FAMILIES and _WORD.fullmatch(word):
        return Kind(f"{FAMILIES[family]}.{word}")
    return KINDS.get(written)


def prove(callback: Callback, profile: Profile, _now: datetime) -> Proof:
    """Prove that the sender knows the token and sends from an address on the allow-list; nothing says how old it is.

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
    """Return the one claim in a genuine body, by its type of event.

    Raises:
        NotUnderstood
    """
    fields = json_values.parse_object(proof.content)
    named = json_values.anywhere(fields, "eventType", "type", "event")
    known = next((found for text in named if (found := _kind(text)) is not None), None)
    if known is None:
        raise NotUnderstood("no type of event that is known")
    claimed_at = json_values.read_time(proof.headers.get(TIMESTAMP, ""))
    content = json_values.canonical(fields)
    order, transaction, reference = (
        json_values.first(fields, name) for name in ("paymentOrderNo", "transactionId", "externalReference")
    )
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
            status=status_in(PAYMENT_STATUSES, known.bank_status) if known.bank_status else None,
            amount=json_values.amount(money, "amount"),
            currency=json_values.text(money, "currency"),
            facts=known_facts(
                payment_order_no=order,
                transaction_id=transaction,
                external_reference=reference,
                claimed_at=claimed_at.isoformat() if claimed_at else None,
            ),
            claimed_at=claimed_at,
        )
    ]


def _identity(
    fields: Mapping[str, Any], known: Kind, payment_id: str | None, claimed_at: datetime | None, content: str
) -> tuple[str, ...]:
    """Return what makes an event this one and no other, by which it is deduplicated.

    A payment goes through each state once. Anything else may well happen twice in the same words: then only the time
    sets it apart, and to lose one would be worse than to tell a retry twice.
    """
    if payment_id is not None:
        status = json_values.first(fields, "paymentStatus", "transactionStatus") or known.bank_status or ""
        return ("payment", known.name, payment_id, status.upper())
    return ("event", known.name, json_values.digest(content), claimed_at.isoformat() if claimed_at else "")


def _money(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that holds the amount: the body, or the first one within it that does."""
    holding = (here for here in json_values.within(fields) if json_values.amount(here, "amount") is not None)
    return next(holding, {})
