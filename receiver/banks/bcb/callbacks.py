"""BCB's callbacks: proven by HMAC-SHA256 or RSA-PSS, and read as deposits or jobs."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from receiver.banks import json_values
from receiver.banks.bcb.api import JOB_STATUSES
from receiver.banks.bcb.options import ENCODING
from receiver.banks.callback import check_fresh, identity, known_facts, snake_case, unrecognised
from receiver.banks.new_shapes import camel_case, naming, parse_fields
from receiver.banks.protocol import Callback, Claim, KeysNotKnown, Profile, Proof
from receiver.signing import addresses, concatenation, hmac_sha256, rsa_pss
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import from_base64

SIGNATURE, TIMESTAMP, NONCE, VERSION = "bcb-signature", "bcb-timestamp", "bcb-nonce", "bcb-signature-version"

SIGNATURE_CHARACTERS_MAX = 2048
"""RSA with 8192 bits takes 1368."""

PAYMENT_IDS = ("transactionId", "paymentId")

JOB_IDS, JOB_STATES = ("jobId", "JobId"), ("jobStatus", "JobStatus", "status", "Status")
"""Where a job's id and status may stand; the first that is there counts."""

_JOB_WORDS = {"inprogress": "in_progress", "completedwitherrors": "completed_with_errors"}
"""Documented statuses of more than one word, which can't be told apart where they are not cased as documented."""

EVENT_TYPES = frozenset(
    {
        *("bcb.deposit", "bcb.debit", "bcb.job.*", "bcb.unrecognised"),
        *(f"bcb.job.{_JOB_WORDS.get(status, status)}" for status in JOB_STATUSES),
    }
)

Found = TypeVar("Found", Decimal, str)


class Head(NamedTuple):
    """What the headers of a callback say that may be genuine."""

    timestamp_text: bytes
    timestamp: int
    nonce: bytes
    signature: bytes


def check_head(callback: Callback, profile: Profile) -> None:
    """Refuse another address, path or channel than the source's, and headers that sign nothing.

    Raises:
        Refusal
    """
    addresses.check(callback.peer, profile.options.get("allowed_addresses", ()))
    _head(callback, profile)


def _head(callback: Callback, profile: Profile) -> Head:
    timestamp_text, nonce = callback.header(TIMESTAMP), callback.header(NONCE)
    timestamp = concatenation.read_timestamp(timestamp_text)
    concatenation.check_nonce(nonce, callback.method)
    concatenation.check_path(callback.path)
    channels = profile.options.get("channels", ())
    if channels and callback.channel is not None and callback.channel not in channels:
        raise Refusal("channel_not_expected", f"the source names its channels, and {callback.channel[:80]!r} is none")
    version = callback.headers.get(VERSION)
    if version is not None and not version.lower().startswith(b"rsa"):
        raise Refusal("version_unknown", f"{version[:40]!r} is not a version of BCB's RSA signatures")
    return Head(timestamp_text, timestamp, nonce, _signature(callback))


def prove(callback: Callback, profile: Profile, now: datetime) -> Proof:
    """Prove a callback genuine and fresh: its signature over `{timestamp}{nonce}{METHOD}{path}{body}` is verified.

    Raises:
        Refusal
        Stale: only that it is fresh is not proven.
        KeysNotKnown: it is signed with a key of the bank that is not known here.
    """
    head = _head(callback, profile)
    _check_border(callback, profile)
    text = concatenation.text(head.timestamp_text, head.nonce, callback.method, callback.path, callback.body)
    key_id = _match(callback, profile, text, head.signature)
    profile.check_address(callback)
    proof = Proof(
        strength="signature",
        key_id=key_id,
        content=callback.body,
        nonce=head.nonce.decode("ascii"),
        signed_at=datetime.fromtimestamp(head.timestamp, UTC),
    )
    return check_fresh(proof, now, has_one_cut=not concatenation.border_is_open(callback.body))


def _signature(callback: Callback) -> bytes:
    encoded = callback.header(SIGNATURE)
    if len(encoded) > SIGNATURE_CHARACTERS_MAX:
        raise Refusal("signature_malformed", f"{len(encoded)} characters")
    return from_base64(encoded, "signature")


def _check_border(callback: Callback, profile: Profile) -> None:
    """Leave no second place where the path could end and the body start: see `receiver.signing.concatenation`.

    A body that could as well be the rest of the path (it is no JSON object, then) is taken only at the source's own
    path, and only where no other path that this receiver listens on fits the same text.
    """
    if not concatenation.border_is_open(callback.body):
        return
    fits_others = (
        # A named channel is no better: its text may be that of a longer path that the bank calls and nobody named.
        callback.channel is not None
        or callback.body.startswith((b"/", b"%"))
        or _continues_to_another_source(callback.body, profile)
    )
    if fits_others:
        raise Refusal("border_open", "the body could be the rest of the path; a JSON object could not")


def _continues_to_another_source(body: bytes, profile: Profile) -> bool:
    longest = max((len(name) for name in profile.longer_names), default=0)
    # Any character of a name may stand percent-encoded in a path, in three bytes.
    whole = profile.name.encode() + unquote_to_bytes(body[: 3 * longest])
    return any(whole.startswith(name.encode()) for name in profile.longer_names)


def _match(callback: Callback, profile: Profile, text: bytes, signature: bytes) -> str:
    version = callback.headers.get(VERSION)
    if version is None:
        keys = profile.hmac_keys(profile.options.get("encoding", ENCODING))
        return hmac_sha256.match(keys, text, signature)
    if profile.jwks is None:
        raise KeysNotKnown("no public key of the bank is known yet")
    try:
        return f"rsa:{rsa_pss.match(_public_keys(profile.jwks), text, signature)}"
    except Refusal as refusal:
        raise KeysNotKnown(f"none of the known public keys fits: {refusal.detail}") from refusal


@lru_cache(maxsize=64)
def _public_keys(jwks: str) -> tuple[rsa_pss.PublicKey, ...]:
    return tuple(rsa_pss.public_keys(jwks))


def read(proof: Proof) -> Sequence[Claim]:
    """Return the one claim in a genuine body: a deposit or debit, a background job's state, or what can be read of it.

    Raises:
        NotUnderstood: it is no JSON object, and no list of any.
    """
    fields = parse_fields(proof.content)
    return [_deposit(fields, proof.content) or _job(fields, proof.content) or _other(fields, proof)]


def _deposit(fields: Mapping[str, Any], sent: bytes) -> Claim | None:
    """Return the claim of a credit or debit on an account, which has no id of its own.

    The subscription is left out of the identity, so that a renewed one does not tell the same deposit twice; the
    amount is in it, because the fees of an operation share all the rest. The notification names no status: that it
    is sent at all is taken as the claim that the deposit is complete (deduced, not documented).
    """
    topic, transaction = json_values.text(fields, "topic"), json_values.text(fields, "transactionId")
    if topic is None or topic.lower() != "deposits" or transaction is None:
        return None
    amount, currency = _money(fields)
    account, direction = json_values.text(fields, "accountNumber"), json_values.text(fields, "type")
    worth = None if amount is None else json_values.shortest_decimal_text(amount)
    content = {name: content for name, content in fields.items() if name != "subscriptionId"}
    return Claim(
        # The identity holds the direction itself, and is of one form for both.
        type="bcb.debit" if direction is not None and direction.lower() == "debit" else "bcb.deposit",
        identity=identity(sent, "deposit", account, transaction, direction, worth, currency),
        content=json_values.canonical(content),
        kind="payment",
        subject=transaction,
        payment_id=transaction,
        status="completed",
        amount=amount,
        currency=currency,
        facts=_facts(fields),
    )


def _facts(fields: Mapping[str, Any]) -> dict[str, Any]:
    return known_facts(
        account_number=json_values.text(fields, "accountNumber"),
        direction=json_values.text(fields, "type"),
        transaction_type=json_values.text(fields, "transactionType"),
        subscription_id=json_values.text(fields, "subscriptionId"),
        remittance=json_values.line(fields, "transactionDetails"),
    )


def _money(fields: Mapping[str, Any]) -> tuple[Decimal | None, str | None]:
    """Return amount and currency: `value.amount` and `value.currency`, as documented, count where they are there.

    Else the only amount, or currency, in `value`, however its name is cased; or beside it, where `value` holds nothing
    that may be meant instead.
    """
    value = json_values.money_parts(fields.get("value"))
    places = (value, fields) if {name.lower() for name in value} <= {"amount", "currency"} else (value,)
    return _one(places, "amount", json_values.amount), _one(places, "currency", json_values.text)


def _one(
    places: Sequence[Mapping[str, Any]], wanted: str, read: Callable[[Mapping[str, Any], str], Found | None]
) -> Found | None:
    if places[0].get(wanted) is not None:
        return read(places[0], wanted)
    found = {read(here, name) for here in places for name in here if name.lower() == wanted and here[name] is not None}
    # One that can't be read is there as None.
    return found.pop() if len(found) == 1 else None


def _job(fields: Mapping[str, Any], sent: bytes) -> Claim | None:
    """Return the claim of a background job's state.

    Field names are deduced from the job's entry in the API, in either spelling.
    """
    job, bank_status = json_values.text(fields, *JOB_IDS), json_values.text(fields, *JOB_STATES)
    if job is None or bank_status is None:
        return None
    state = json_values.text_there(fields, *JOB_STATES)
    given = json_values.inner(fields, "summary") or json_values.inner(fields, "Summary")
    summary = {name.lower(): value for name, value in given.items()}
    counts = {
        name: number
        for name in ("total", "completed", "failed")
        if (number := json_values.whole_number(summary, name)) is not None
    }
    return Claim(
        type=f"bcb.job.{_word(bank_status)}",
        identity=identity(sent, "job", json_values.text_there(fields, *JOB_IDS), state and state.lower()),
        content=json_values.canonical(fields),
        kind="job",
        subject=job,
        status=JOB_STATUSES.get(bank_status.lower(), "unknown"),
        facts=known_facts(job_status=bank_status, summary=counts or None),
    )


def _other(fields: Mapping[str, Any], proof: Proof) -> Claim:
    """Return the claim of a body of another topic or shape: whatever payment or job it names is asked for."""
    payment_id, job = json_values.first(fields, *PAYMENT_IDS), json_values.first(fields, "jobId")
    if payment_id is None and job is None:
        named = naming(fields, *PAYMENT_IDS, "jobId", "accountNumber")
        payment_id, job = json_values.first(named, *PAYMENT_IDS), json_values.first(named, "jobId")
    else:
        named = naming(fields, *(["jobId"] if payment_id is None else PAYMENT_IDS))
    fields = {**camel_case(named), **camel_case(fields)}
    amount, currency = _money(fields)
    facts = _facts(fields) | known_facts(
        topic=json_values.text(fields, "topic"), job_status=json_values.text(fields, *JOB_STATES)
    )
    subject = payment_id or job or facts.get("account_number")
    if subject is None:
        subject = json_values.only_id({name: value for name, value in fields.items() if name != "subscriptionId"})
        facts |= known_facts(resource_id=subject)
    return unrecognised("bcb", proof.content, proof.headers)._replace(
        kind="payment" if payment_id is not None else "job" if job is not None else "none",
        subject=subject,
        payment_id=payment_id,
        amount=amount,
        currency=currency,
        facts=facts,
    )


def _word(bank_status: str) -> str:
    """Write `CompletedWithErrors` as `completed_with_errors`; what is not plain letters as `status_changed`."""
    if not (bank_status.isascii() and bank_status.isalpha()) or len(bank_status) > 40:
        return "status_changed"
    return _JOB_WORDS.get(bank_status.lower()) or snake_case(bank_status)
