"""Banqup's callbacks: messages of its listener, proven by a token or an address."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks import json_values
from receiver.banks.banqup import options
from receiver.banks.banqup.api import PAYMENT_STATUSES, State, state
from receiver.banks.callback import known_facts, snake_case, unrecognised
from receiver.banks.new_shapes import fields_of, money_anywhere, naming
from receiver.banks.protocol import Callback, Claim, Profile, Proof
from receiver.signing import addresses, static_token
from receiver.signing.errors import Refusal

CHANNEL = "messages"
"""What Banqup puts behind the listener's address."""

PAYMENT, PAYMENT_ID = "payment", "paymentId"

CATEGORIES = ("document", "entity", "file", PAYMENT, "paymentInformation", "space", "spaceAsset")

URL_CHARACTERS_MAX = 2000
"""Of the address at which a payer authorizes a payment; browsers take no more everywhere."""

_NAMES = {name.lower(): snake_case(name) for name in CATEGORIES}

EVENT_TYPES = frozenset(
    f"banqup.{name}" for name in (*_NAMES.values(), *(f"payment.{word}" for word in PAYMENT_STATUSES), "unrecognised")
)


def check_head(callback: Callback, profile: Profile) -> None:
    """Refuse what does not show what the source asks for: nothing that proves it stands in the body.

    Raises:
        Refusal
    """
    _head(callback, profile)


def prove(callback: Callback, profile: Profile, _now: datetime) -> Proof:
    """Prove that a message shows what the source asks for, a token or an address; nothing says how old it is.

    Raises:
        Refusal
    """
    strength, key_id = _head(callback, profile)
    return Proof(strength, key_id, callback.body)


def _head(callback: Callback, profile: Profile) -> tuple[str, str]:
    """Return the strength of the proof, and the key's id."""
    place = profile.options.get("token_in")
    before, _, last = (callback.channel or "").rpartition("/")
    if last != CHANNEL or bool(before) != (place == options.PATH):
        raise Refusal("channel_not_expected", f"messages come to …/{CHANNEL}")
    allowed = profile.options.get("allowed_addresses", ())
    if place is None:
        return "address", f"address:{addresses.match(callback.peer, allowed)}"
    header = callback.headers.get(options.token_header(profile.options), b"")
    shown = before.encode("latin-1", "replace") if place == options.PATH else header
    key_id = static_token.match(static_token.ids(profile.secrets), shown, hidden=callback.hidden)
    profile.check_address(callback)
    return "token", key_id


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claim in a genuine message: one event by its `id`, or by its body where none can be read.

    Raises:
        NotUnderstood: it is no JSON object, and no list of any.
    """
    value = json_values.parse(proof.content)
    fields = fields_of(value)
    message_id = json_values.text(fields, "id")
    own = ("message", message_id) if message_id is not None else ("body", hashlib.sha256(proof.content).hexdigest())
    category = (json_values.text(fields, "category") or "").lower()
    is_payment, resource = category == PAYMENT, json_values.text(fields, "resourceId")
    # A message of a category that is not known may be about a payment all the same, where it names one.
    is_open = (is_payment and resource is None) or (not is_payment and category not in _NAMES)
    named = naming(_with_payments(fields), PAYMENT_ID) if is_open else {}
    payment_id = resource if is_payment and resource else json_values.first(named, PAYMENT_ID)
    found = state(fields) if is_payment else None
    # What stands beside the payment's id in a list is read too.
    whole = {**fields, "": named}
    amount, currency = money_anywhere(whole, payment_id or resource)
    claim = Claim(
        type=_payment_type(found) if is_payment else f"banqup.{_NAMES.get(category, 'unrecognised')}",
        identity=own,
        content=json_values.canonical(fields),
        kind="payment" if payment_id is not None else "none",
        subject=payment_id or resource,
        payment_id=payment_id,
        status=found.status if found else None,
        amount=amount,
        currency=currency,
        facts=_facts(fields, found) | known_facts(space_id=json_values.first(whole, "spaceId")),
    )
    if isinstance(value, dict):
        return [claim]
    plain = unrecognised("banqup", proof.content, proof.headers)
    return [claim._replace(identity=plain.identity, content=plain.content)]


def _with_payments(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a body in whose lists each message about a payment names that as any other object does."""
    listed = {
        name: [{**each, PAYMENT_ID: resource} if (resource := _payment_of(each)) else each for each in value]
        for name, value in fields.items()
        if isinstance(value, list)
    }
    return {**fields, **listed}


def _payment_of(message: Any) -> str | None:
    if not isinstance(message, dict) or (json_values.text(message, "category") or "").lower() != PAYMENT:
        return None
    return json_values.text(message, "resourceId")


def _payment_type(found: State | None) -> str:
    word = found.word.lower() if found else ""
    return f"banqup.payment.{word}" if word in PAYMENT_STATUSES else "banqup.payment"


def _facts(fields: Mapping[str, Any], found: State | None) -> dict[str, Any]:
    data = json_values.inner(fields, "data")
    within = [_named_flat(data), _named_flat(fields), *(json_values.inner(each, "status") for each in (data, fields))]
    status = {name: value for each in within for name, value in each.items() if value is not None}
    reason = status.get("reason")
    # `PENDING:https://…`: the address has colons of its own.
    auth = status.get("auth")
    auth_state, colon, auth_url = (auth if isinstance(auth, str) else "").partition(":")
    return known_facts(
        message_id=json_values.text(fields, "id"),
        resource_id=json_values.text(fields, "resourceId"),
        message_type=json_values.text(fields, "type"),
        related_document_id=json_values.text(data, "relatedDocumentId"),
        bank_status=found.bank_status if found else None,
        reasons=json_values.texts(reason if isinstance(reason, list) else [reason]) or None,
        auth_state=json_values.usable_text(auth_state) if colon else None,
        auth_url=json_values.long_text(auth_url, URL_CHARACTERS_MAX),
    )


def _named_flat(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what stands under names such as `status.reason`."""
    return {name.removeprefix("status."): value for name, value in fields.items() if name.startswith("status.")}
