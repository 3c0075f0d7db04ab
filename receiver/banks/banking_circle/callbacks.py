"""Banking Circle's callbacks: encrypted batches of 1 to 1,000 notifications, proven by AES-256-GCM."""

import codecs
import hashlib
import hmac
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from receiver.banks import json_stream, json_values
from receiver.banks.banking_circle import facts, options
from receiver.banks.banking_circle.api import PAYMENT_STATUSES, money
from receiver.banks.callback import known_facts, snake_case
from receiver.banks.json_stream import Item
from receiver.banks.json_values import NotUnderstood
from receiver.banks.new_shapes import camel_case, money_anywhere, naming
from receiver.banks.protocol import Callback, Claim, Profile, Proof, status_in
from receiver.signing import addresses, aes_gcm
from receiver.signing.aes_gcm import NONCE_BYTES, TAG_BYTES, Opened
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import Key, SecretEncoding, from_base64

BANK = "banking_circle"

STATUS = "PaymentStatus"
"""A type that tells of a payment in `payload`, and names it by its reference alone."""

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

UNRECOGNISED = "unrecognised"

_WORDS = {kind: name or snake_case(kind) for kind, name in TYPES.items()}

EVENT_TYPES = frozenset(f"{BANK}.{word}" for word in (*_WORDS.values(), UNRECOGNISED))

_BYTE_ORDER_MARK = codecs.BOM_UTF8


def check_head(callback: Callback, profile: Profile) -> None:
    """Refuse another address than those of the source, and nonce, tag or checksum of another length.

    Raises:
        Refusal
    """
    _head(callback, profile)


def _head(callback: Callback, profile: Profile) -> tuple[bytes, bytes, bytes]:
    """Return nonce, tag and checksum."""
    addresses.check(callback.peer, profile.options.get("allowed_addresses", ()))
    return _sealing(callback, profile)


def _sealing(callback: Callback, profile: Profile) -> tuple[bytes, bytes, bytes]:
    nonce = _header(callback, profile, "nonce", NONCE_BYTES)
    tag = _header(callback, profile, "tag", TAG_BYTES)
    return nonce, tag, _header(callback, profile, "checksum", options.CHECKSUM_BYTES)


def prove(callback: Callback, profile: Profile, _now: datetime) -> Proof:
    """Prove a callback genuine by decrypting it (AES-GCM). There is no timestamp: what is old shows by its events' ids.

    In the bank's own order: lengths of nonce, tag and checksum; the tag; the checksum.

    Raises:
        Refusal
    """
    nonce, tag, checksum = _head(callback, profile)
    found = _decrypted(callback, profile, nonce, tag, _key)
    # A nonce is unique under one key only: a subscription with another key may count from the same beginning.
    unique = f"{found.key_id.removeprefix('secret:')}:{nonce.hex()}"
    left_out = facts.PARTIES if profile.options.get("parties") == options.NO_PARTIES else frozenset()
    return Proof("encryption", found.key_id, _text(found, checksum), nonce=unique, left_out=left_out)


def opened(callback: Callback, profile: Profile) -> bytes:
    """Return the text of a stored callback as UTF-8; the list of addresses may be another than when it came.

    Raises:
        Refusal
    """
    nonce, tag, checksum = _sealing(callback, profile)
    # The encoding belongs to the source: when it came, it may have been the other one.
    return _text(_decrypted(callback, profile, nonce, tag, _key, _key_otherwise), checksum)


def _decrypted(
    callback: Callback, profile: Profile, nonce: bytes, tag: bytes, *makers: Callable[[SecretEncoding, str, str], Key]
) -> Opened:
    encoding = profile.options.get("encoding", options.ENCODING)
    keys = profile.keys("encryption key", *(partial(make, encoding) for make in makers))
    return aes_gcm.open_sealed(keys, nonce, tag, callback.body)


def _key(encoding: SecretEncoding, key_id: str, text: str) -> Key:
    """Make a key in the source's encoding; in the other one where the text makes none: it is from before a change."""
    try:
        return aes_gcm.key(key_id, text, encoding)
    except Refusal:
        with suppress(Refusal):
            return _key_otherwise(encoding, key_id, text)
        raise


def _key_otherwise(encoding: SecretEncoding, key_id: str, text: str) -> Key:
    return aes_gcm.key(key_id, text, "base64" if encoding == "utf8" else "utf8")


def _header(callback: Callback, profile: Profile, what: str, size: int) -> bytes:
    decoded = from_base64(callback.header(options.header(f"{what}_header", profile.options)), what)
    if len(decoded) != size:
        raise Refusal(f"{what}_malformed", f"{len(decoded)} bytes, {size} expected")
    return decoded


def _text(opened: Opened, checksum: bytes) -> bytes:
    """Return the text as UTF-8, without its byte-order mark, once its checksum is found right.

    The bank takes the checksum over the text as UTF-8, with what is no UTF-16 replaced. Whether its byte-order mark
    counts is not documented, so both are right.
    """
    decoder = codecs.getincrementaldecoder("utf-16-le")("replace")
    text, whole, unmarked = io.BytesIO(), hashlib.sha256(), hashlib.sha256()
    for piece, is_last in _pieces(opened):
        part = decoder.decode(piece, is_last).encode()
        whole.update(part)
        if not text.tell():
            part = part.removeprefix(_BYTE_ORDER_MARK)
        unmarked.update(part)
        text.write(part)
    # Both are compared, each in constant time.
    matches = [hmac.compare_digest(found.digest(), checksum) for found in (whole, unmarked)]
    if not any(matches):
        raise Refusal("checksum_mismatch", "decrypted rightly, but the checksum is another text's", proven=True)
    return text.getvalue()


def _pieces(opened: Opened) -> Iterator[tuple[bytes, bool]]:
    for piece in opened.pieces():
        yield piece, False
    yield b"", True


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claims in a genuine text, one for each notification; no more than one is held as parsed JSON.

    Raises:
        NotUnderstood: it is no JSON, no batch, or an empty one.
    """
    try:
        text = proof.content.decode()
    except UnicodeDecodeError as error:
        raise NotUnderstood("not UTF-8") from error
    claims = [_claim(item, text) for item in json_stream.array_items(text, "notifications")]
    if not claims:
        raise NotUnderstood("a batch without notifications")
    return claims


def notifications(content: bytes) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the text of each notification in a batch, with its event's identity.

    Raises:
        NotUnderstood
    """
    text = content.decode("utf-8", "replace")
    for item in json_stream.array_items(text, "notifications"):
        yield _claim(item, text).identity, text[item.start : item.end]


def _claim(item: Item, text: str) -> Claim:
    fields = item.value if isinstance(item.value, dict) else {}
    # Renewed subscriptions tell the same event under another id of theirs.
    says = {name: value for name, value in fields.items() if not name.lower().startswith("subscription")}
    event_id = json_values.text_there(fields, "eventId", "EventId")
    notice = camel_case(fields, levels=0)
    kind, payload = json_values.text(notice, "notificationType"), json_values.inner(notice, "payload")
    stated = camel_case((kind != STATUS and json_values.inner(notice, "payment")) or payload)
    payment = _naming_a_payment(notice, stated)
    payment_id, reference = _names(payment)
    found = facts.facts(notice, payment) | (facts.facts(notice, stated) if stated is not payment else {})
    if not payment_id and not reference:
        found |= known_facts(resource_id=json_values.only_id(stated) or json_values.only_id(says))
    type_ = _WORDS.get(kind or "", UNRECOGNISED) if event_id else UNRECOGNISED
    is_known = type_ != UNRECOGNISED
    amount, currency = _money(notice, (stated, payment), kind or "", payment_id or reference, is_known=is_known)
    return Claim(
        type=f"{BANK}.{type_}",
        identity=("event", event_id) if event_id else _own_text(item, text),
        content=json_values.digest(json_values.canonical(says or item.value)),
        # The bank is asked which payment a reference means.
        kind="payment" if payment_id else "reference" if reference else "none",
        subject=payment_id or reference or found.get("resource_id"),
        payment_id=payment_id,
        status=_claimed(kind, found.get("bank_status")) if event_id else None,
        amount=amount,
        currency=currency,
        facts=found,
    )


def _naming_a_payment(notice: Mapping[str, Any], stated: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that names a payment: the documented one, or else any in a notification of a new shape."""
    documented = json_values.text(stated, "paymentId") or facts.reference(stated)
    return stated if documented else camel_case(naming(notice, "paymentId", *facts.REFERENCES)) or stated


def _names(payment: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the id of a payment and the bank's reference of it, as far as the notification tells them."""
    if any(named := (json_values.text(payment, "paymentId"), facts.reference(payment))):
        return named
    return json_values.first(payment, "paymentId"), json_values.first(payment, *facts.REFERENCES)


def _money(
    notice: Mapping[str, Any], places: Sequence[Mapping[str, Any]], kind: str, about: str | None, *, is_known: bool
) -> tuple[Decimal | None, str | None]:
    """Return amount and currency from where the bank documents them; of a type that is not known, from anywhere."""
    for here in places:
        held = money(here, is_incoming=kind.startswith("Incoming"))
        if (amount := json_values.amount(held, "amount")) is not None:
            return amount, json_values.text(held, "currency")
    if is_known:
        return None, json_values.text(places[0], "currency")
    return money_anywhere(notice, about)


def _own_text(item: Item, text: str) -> tuple[str, ...]:
    """Return the identity of a notification without a readable id: all that it says, byte for byte."""
    return ("content", hashlib.sha256(text[item.start : item.end].encode()).hexdigest())


def _claimed(kind: str | None, bank_status: str | None) -> str | None:
    if kind != STATUS:
        return CLAIMED.get(kind or "")
    status = status_in(PAYMENT_STATUSES, bank_status or "")
    return None if status == "unknown" else status
