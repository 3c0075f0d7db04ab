"""ConnectPay's callbacks: proven by a static token and the sender's address."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receiver.banks import json_values
from receiver.banks.callback import identity, known_facts, unrecognised
from receiver.banks.connectpay import options
from receiver.banks.connectpay.api import PAYMENT_STATUSES
from receiver.banks.new_shapes import money_anywhere, naming, parse_fields
from receiver.banks.protocol import Callback, Claim, Profile, Proof, status_in
from receiver.signing import addresses, static_token

TIMESTAMP = options.TIMESTAMP_HEADER

TYPE_NAMES = ("eventType", "type", "event")
ORDER, TRANSACTION = "paymentOrderNo", "transactionId"
NUMBERS = {"payment_order_no": ORDER, "transaction_id": TRANSACTION, "external_reference": "externalReference"}
"""What names a payment, by what it is called here; the surest comes first."""

STATUS_NAMES = ("paymentStatus", "transactionStatus")
REMITTANCE = ("remittanceInformation", "paymentDetails", "details")
"""Where the bank's documents do not say how a field is called; the first that is there counts."""

IBAN = "iban"
ACCOUNT = ("accountId", "accountNo", "accountNumber", IBAN)
IDS = {
    "person_id": ("personId", "baasPersonId", "userId", "clientId", "customerId"),
    "application_id": ("applicationId", "cardApplicationId", "baasApplicationId", "applicationNo"),
    "card_id": ("cardId", "baasCardId", "cardUuid"),
}
"""Other ids than an account's, by what they are called here. A card's number is none: it must not be spread."""

OBJECTS = {
    "account_id": ("account",),
    "person_id": ("person", "baasperson", "user", "client", "customer"),
    "application_id": ("application", "cardapplication", "baasapplication"),
    "card_id": ("card", "baascard"),
}
"""The objects, in small letters, whose own `id` is one of these ids."""

ABOUT = {
    "account": "account_id",
    "person": "person_id",
    "person_idv": "person_id",
    "application": "application_id",
    "card_application": "application_id",
    "card": "card_id",
}
"""Which id an event is about, by the beginning of its name."""

_WORDS = re.compile(r"(?=.{1,80}\Z)[a-z0-9_]+(?:[.-][a-z0-9_]+)*")
"""What follows the full stop in such as `BaaSCard.Transaction.Authorized`."""

_FINER = re.compile(r"[.,][0-9]{6}[0-9]*[1-9]")
"""A time that says more than the microsecond, to which times are read."""


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

DIRECTIONS = {"incomingpayment": "incoming", "outgoingpayment": "outgoing"}
"""Where the money goes, by the beginning of a type's name in small letters: whatever stands behind the full stop."""

FAMILIES = {"baascardapplication": "card_application", "baascard": "card"}
"""Documented as `BaaSCardApplication.*` and `BaaSCard.*`: whatever stands behind the full stop."""

EVENT_TYPES = frozenset(
    f"connectpay.{name}"
    for name in (
        *(kind.name for kind in KINDS.values()),
        *(f"{family}.*" for family in FAMILIES.values()),
        "unrecognised",
    )
)


def _kind(event_type: str) -> Kind | None:
    """Return what a type of event means here, however it is cased; none where it is not known."""
    written = event_type.strip().lower()
    family, _, word = written.partition(".")
    if family in FAMILIES and _WORDS.fullmatch(word):
        return Kind(f"{FAMILIES[family]}.{word}")
    return KINDS.get(written)


def check_head(callback: Callback, profile: Profile) -> None:
    """Refuse what does not show the token or comes from elsewhere: nothing that proves it stands in the body.

    Raises:
        Refusal
    """
    _head(callback, profile)


def _head(callback: Callback, profile: Profile) -> str:
    """Return the id of the token that is shown."""
    shown = callback.headers.get(options.token_header(profile.options), b"")
    tokens = static_token.ids(profile.secrets)
    key_id = static_token.match(tokens, shown, hidden=callback.hidden)
    addresses.match(callback.peer, options.allowed_addresses(profile.options, profile.environment), proven=True)
    return key_id


def prove(callback: Callback, profile: Profile, _now: datetime) -> Proof:
    """Prove that the sender knows the token and sends from an address on the allow-list; nothing says how old it is.

    Raises:
        Refusal
    """
    key_id = _head(callback, profile)
    timestamp = callback.headers.get(TIMESTAMP, b"").decode("latin-1")
    return Proof(strength="token", key_id=key_id, content=callback.body, headers={TIMESTAMP: timestamp})


def read(proof: Proof) -> Sequence[Claim]:
    """Return the one claim in a genuine body, by its type of event.

    Raises:
        NotUnderstood: it is no JSON object, and no list of any.
    """
    fields = parse_fields(proof.content)
    named = json_values.anywhere(fields, *TYPE_NAMES)
    known = next((found for text in named if (found := _kind(text)) is not None), None)
    if known is None:
        return [_other(fields, proof)]
    return [_payment(fields, proof, known) if known.bank_status else _news(fields, proof, known)]


def _payment(fields: Mapping[str, Any], proof: Proof, known: Kind) -> Claim:
    read = fields if json_values.first(fields, ORDER) else _with_listed(fields)
    facts = _facts(read, proof) | _ids_of_payment(read)
    order = facts.get("payment_order_no")
    payment_id = order or facts.get("transaction_id")
    amount, currency = money_anywhere(read, payment_id)
    content = json_values.canonical(fields)
    # One that stands in a list may be another payment's than the one that the body is about.
    own = json_values.first(fields, ORDER, TRANSACTION)
    return Claim(
        type=f"connectpay.{known.name}",
        # The payer's own reference names no payment: two may bear the same one.
        identity=_in_state(fields, proof, known, own) if own else _once(proof, known, content, is_sure=False),
        content=content,
        # The API knows payment orders alone: without the order's number there is nothing to ask for.
        kind="payment" if order else "none",
        subject=payment_id or facts.get("external_reference"),
        payment_id=payment_id,
        status=status_in(PAYMENT_STATUSES, known.bank_status or ""),
        amount=amount,
        currency=currency,
        facts=facts,
        claimed_at=_claimed_at(proof),
    )


def _news(fields: Mapping[str, Any], proof: Proof, known: Kind) -> Claim:
    """Return the claim of something else than a payment; its subject is the id that it is about."""
    ids = _ids(fields)
    own = ids.get(ABOUT[known.name.partition(".")[0]]) or _any_id(fields, ids)
    amount, currency = money_anywhere(fields)
    content = json_values.canonical(fields)
    return Claim(
        type=f"connectpay.{known.name}",
        identity=_once(proof, known, content, is_sure=_is_sure(fields, known)),
        content=content,
        subject=own,
        amount=amount,
        currency=currency,
        facts=_facts(fields, proof) | ids | known_facts(resource_id=None if own in ids.values() else own),
        claimed_at=_claimed_at(proof),
    )


def _other(fields: Mapping[str, Any], proof: Proof) -> Claim:
    """Return the claim of a type of event that is not known: a payment order that it names is asked for."""
    fields = _with_listed(fields)
    facts = _facts(fields, proof)
    ids = _ids_of_payment(fields) if NUMBERS.keys() & facts.keys() else _ids(fields)
    order = facts.get("payment_order_no")
    payment_id = order or facts.get("transaction_id")
    # A bare `id` is as likely that of the event itself.
    other_id = json_values.first(fields, "resourceId") or next(iter(ids.values()), None) or _any_id(fields, ids)
    amount, currency = money_anywhere(fields, payment_id)
    return unrecognised("connectpay", proof.content, proof.headers)._replace(
        kind="payment" if order else "none",
        subject=payment_id or facts.get("external_reference") or other_id,
        payment_id=payment_id,
        amount=amount,
        currency=currency,
        facts=facts | ids | known_facts(event_type=json_values.first(fields, *TYPE_NAMES)),
        claimed_at=_claimed_at(proof),
    )


def _with_listed(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a body with the object that holds the only payment order, or else transaction, in its lists as a field.

    So what that object says is found, and what stands beside the number there is told from what stands elsewhere.
    """
    return {**fields, "": naming(fields, ORDER, TRANSACTION)}


def _ids(fields: Mapping[str, Any]) -> dict[str, str]:
    account = _account(fields, json_values.first) or known_facts(account_id=_own_id(fields, OBJECTS["account_id"]))
    return account | _other_ids(fields)


def _other_ids(fields: Mapping[str, Any]) -> dict[str, str]:
    found = {fact: json_values.first(fields, *names) or _own_id(fields, OBJECTS[fact]) for fact, names in IDS.items()}
    return known_facts(**found)


def _own_id(fields: Mapping[str, Any], names: Collection[str]) -> str | None:
    """Return the `id` of the first object under one of these names."""
    objects = (
        value
        for here in json_values.within(fields)
        for name, value in here.items()
        if name.lower() in names and isinstance(value, dict)
    )
    return next((found for each in objects if (found := json_values.text(each, "id", "Id", "ID"))), None)


def _account(fields: Mapping[str, Any], read: Callable[..., str | None]) -> dict[str, str]:
    """Return an account's id, and its IBAN where that is another one."""
    account_id, iban = read(fields, *ACCOUNT), read(fields, IBAN)
    return known_facts(account_id=account_id, iban=None if iban == account_id else iban)


def _ids_of_payment(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids in a payment's callback; our own account is the one that stands beside the payment's number.

    One that stands elsewhere may be the other side's: an event is found by it, and it is not taken for ours.
    """
    beside = next((here for here in json_values.within(fields) if _beside(here, *NUMBERS.values())), fields)
    own = _account(beside, _beside) or _account(json_values.inner(beside, "account"), _beside)
    return (own or known_facts(named_account=json_values.first(fields, *ACCOUNT))) | _other_ids(fields)


def _beside(here: Mapping[str, Any], *names: str) -> str | None:
    """Return what `first` finds in this object itself, and not in those within it."""
    return json_values.first({name: value for name, value in here.items() if not isinstance(value, dict)}, *names)


def _direction(fields: Mapping[str, Any]) -> str | None:
    """Return where the money goes, as the type says it, known or not; none where several types say different things."""
    beginnings = {text.strip().lower().partition(".")[0] for text in json_values.anywhere(fields, *TYPE_NAMES)}
    said = {DIRECTIONS[beginning] for beginning in beginnings if beginning in DIRECTIONS}
    return said.pop() if len(said) == 1 else None


def _any_id(fields: Mapping[str, Any], ids: Mapping[str, str]) -> str | None:
    return json_values.first(fields, "resourceId", "id") or next(iter(ids.values()), json_values.only_id(fields))


def _facts(fields: Mapping[str, Any], proof: Proof) -> dict[str, Any]:
    claimed_at = _claimed_at(proof)
    return known_facts(
        **{fact: json_values.first(fields, name) for fact, name in NUMBERS.items()},
        direction=_direction(fields),
        remittance=json_values.line(fields, *REMITTANCE),
        claimed_at=claimed_at.isoformat() if claimed_at else None,
    )


def _claimed_at(proof: Proof) -> datetime | None:
    return json_values.read_time(proof.headers.get(TIMESTAMP, ""))


def _in_state(fields: Mapping[str, Any], proof: Proof, known: Kind, payment_id: str) -> tuple[str, ...]:
    """Return the identity of a payment in one of its states: it goes through each once."""
    status = json_values.first(fields, *STATUS_NAMES) or known.bank_status or ""
    is_whole = (
        _is_sure(fields, known)
        and _said(fields, ORDER, TRANSACTION) == {payment_id}
        and _said(fields, *STATUS_NAMES) <= {status}
    )
    return identity(proof.content, "payment", known.name, payment_id, status.upper(), *_rest(is_whole))


def _once(proof: Proof, known: Kind, content: str, *, is_sure: bool) -> tuple[str, ...]:
    """Return the identity of what may well happen twice in the same words: then only the time sets it apart.

    To lose one would be worse than to tell a retry twice.
    """
    written, claimed_at = proof.headers.get(TIMESTAMP, ""), _claimed_at(proof)
    parts = ("event", known.name, json_values.digest(content))
    if claimed_at is None or _FINER.search(written):
        return identity(proof.content, *parts, written, None)
    return identity(proof.content, *parts, claimed_at.isoformat(), *_rest(is_sure))


def _rest(is_whole: bool) -> Sequence[None]:
    """Return what is left of an identity beyond its readable parts."""
    return () if is_whole else (None,)


def _said(fields: Mapping[str, Any], *names: str) -> set[str | None]:
    """Return all that stands, at any place, under the first of these names that is there; None is what can't be read.

    Where the bank puts its ids is not documented. So one alone is sure, and of several none is.
    """
    found = (list(json_values.everywhere(fields, name)) for name in names)
    return {json_values.usable_text(value) for value in next((values for values in found if values), ())}


def _is_sure(fields: Mapping[str, Any], known: Kind) -> bool:
    """Tell whether no other type of event is named; `type` and `event` stand for other things too, or hold objects."""
    elsewhere = [value for value in json_values.everywhere(fields, *TYPE_NAMES) if not isinstance(value, dict)]
    texts = {json_values.usable_text(value) for value in elsewhere}
    kinds = {_kind(text) for text in texts if text is not None}
    own = {_kind(text) if text else None for text in _said(fields, TYPE_NAMES[0])}
    return None not in texts and kinds <= {known, None} and own <= {known}
