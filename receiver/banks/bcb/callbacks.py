"""BCB's callbacks: proven by HMAC-SHA256 or RSA-PSS, read as deposits or jobs, and explained where nothing fits."""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, get_args
from urllib.parse import unquote_to_bytes

from receiver.banks import json_values
from receiver.banks.abilities import Explanation, Match
from receiver.banks.bcb.api import JOB_STATUSES
from receiver.banks.bcb.options import ENCODING
from receiver.banks.callback import known_facts, snake_case
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import Callback, Claim, KeysNotKnown, Profile, Proof
from receiver.signing import concatenation, hmac_sha256, rsa_pss
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import SecretEncoding, from_base64

SIGNATURE, TIMESTAMP, NONCE, VERSION = "bcb-signature", "bcb-timestamp", "bcb-nonce", "bcb-signature-version"

SIGNATURE_CHARACTERS_MAX = 2048
"""RSA with 8192 bits takes 1368."""


def prove(callback: Callback, profile: Profile, now: datetime) -> Proof:
    """Prove a callback genuine and fresh: its signature over `{timestamp}{nonce}{METHOD}{path}{body}` is verified.

    Raises:
        Refusal
        KeysNotKnown: it is signed with a key of the bank that is not known here.
    """
    timestamp_text, nonce = callback.header(TIMESTAMP), callback.header(NONCE)
    timestamp = concatenation.read_timestamp(timestamp_text)
    concatenation.check_nonce(nonce, callback.method)
    _check_border(callback, profile)
    signature = _signature(callback)
    text = concatenation.text(timestamp_text, nonce, callback.method, callback.path, callback.body)
    key_id = _match(callback, profile, text, signature)
    concatenation.check_fresh(timestamp, now)
    profile.check_address(callback)
    return Proof(
        strength="signature",
        key_id=key_id,
        content=callback.body,
        nonce=nonce.decode("ascii"),
        signed_at=datetime.fromtimestamp(timestamp, UTC),
    )


def nonce_of(callback: Callback) -> str | None:
    """Return the nonce in the header, unproven."""
    return callback.headers.get(NONCE, b"").decode("latin-1") or None


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
    concatenation.check_path(callback.path)
    channels = profile.options.get("channels", ())
    if channels and callback.channel is not None and callback.channel not in channels:
        raise Refusal("channel_not_expected", f"the source names its channels, and {callback.channel[:80]!r} is none")
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
    if not version.lower().startswith(b"rsa"):
        raise Refusal("version_unknown", f"{version[:40]!r} is not a version of BCB's RSA signatures")
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
    """Return the one claim in a genuine body: a deposit, or a background job's state.

    Raises:
        NotUnderstood
    """
    fields = json_values.parse_object(proof.content)
    claim = _deposit(fields) or _job(fields)
    if claim is None:
        raise NotUnderstood("neither a deposit notification nor a job's state")
    return [claim]


def _deposit(fields: Mapping[str, Any]) -> Claim | None:
    """Return the claim of a credit or debit on an account, which has no id of its own.

    The subscription is left out of the identity, so that a renewed one does not tell the same deposit twice; the
    amount is in it, because the fees of an operation share all the rest. The notification names no status: that it
    is sent at all is taken as the claim that the deposit is complete (deduced, not documented).
    """
    topic, transaction = json_values.text(fields, "topic"), json_values.text(fields, "transactionId")
    if topic is None or topic.lower() != "deposits" or transaction is None:
        return None
    value = json_values.inner(fields, "value")
    amount = json_values.amount(value, "amount")
    currency = json_values.text(value, "currency")
    account, direction = json_values.text(fields, "accountNumber"), json_values.text(fields, "type")
    content = {name: content for name, content in fields.items() if name != "subscriptionId"}
    return Claim(
        type="bcb.deposit",
        identity=(
            "deposit",
            account or "",
            transaction,
            direction or "",
            json_values.shortest_decimal_text(amount),
            currency or "",
        ),
        content=json_values.canonical(content),
        kind="payment",
        subject=transaction,
        payment_id=transaction,
        status="completed",
        amount=amount,
        currency=currency,
        facts=known_facts(
            account_number=account,
            direction=direction,
            transaction_type=json_values.text(fields, "transactionType"),
            subscription_id=json_values.text(fields, "subscriptionId"),
        ),
    )


def _job(fields: Mapping[str, Any]) -> Claim | None:
    """Return the claim of a background job's state.

    Field names are deduced from the job's entry in the API, in either spelling.
    """
    job = json_values.text(fields, "jobId", "JobId")
    bank_status = json_values.text(fields, "jobStatus", "JobStatus", "status", "Status")
    if job is None or bank_status is None:
        return None
    summary = json_values.inner(fields, "summary") or json_values.inner(fields, "Summary")
    counts = {
        name: number
        for name in ("total", "completed", "failed")
        if (number := json_values.whole_number(summary, name)) is not None
    }
    return Claim(
        type=f"bcb.job.{_word(bank_status)}",
        identity=("job", job, bank_status.lower()),
        content=json_values.canonical(fields),
        kind="job",
        subject=job,
        status=JOB_STATUSES.get(bank_status.lower(), "unknown"),
        facts=known_facts(job_status=bank_status, summary=counts or None),
    )


def _word(bank_status: str) -> str:
    """Write `CompletedWithErrors` as `completed_with_errors`; what is not plain letters as `status_changed`."""
    if not (bank_status.isascii() and bank_status.isalpha()) or len(bank_status) > 40:
        return "status_changed"
    return snake_case(bank_status)


def explain(callback: Callback, profile: Profile, paths: Sequence[bytes], received_at: datetime) -> Explanation:
    """Say how a callback was signed: every secret is tried in both encodings, or every public key, over each path."""
    remarks = list(_form(callback))
    seconds = _clock(callback, received_at)
    if seconds is not None and abs(seconds) > concatenation.WINDOW_SECONDS:
        side = "before" if seconds > 0 else "after"
        remarks.append(
            f"signed {abs(seconds):.0f} s {side} it came, {concatenation.WINDOW_SECONDS} s are allowed: "
            "a clock is off, or it was sent again"
        )
    version = callback.headers.get(VERSION)
    if version is None and not profile.secrets:
        remarks.append("the source has no signing secret to try")
    if version is not None and profile.jwks is None:
        remarks.append(f"it names the version {version[:40]!r} (RSA), and no public key of the bank is known")
    try:
        signature = from_base64(callback.headers.get(SIGNATURE, b""), "signature")
    except Refusal:
        return Explanation((), seconds, remarks)
    tried = (
        _by_secret(callback, profile, paths, signature)
        if version is None
        else _by_key(callback, profile, paths, signature)
    )
    return Explanation(tuple(tried), seconds, remarks)


def _form(callback: Callback) -> Iterator[str]:
    """Say which headers are missing or malformed."""
    for name in (SIGNATURE, TIMESTAMP, NONCE):
        if not callback.headers.get(name):
            yield f"the header {name} is missing"
    checks: tuple[tuple[str, Callable[[bytes], object]], ...] = (
        (TIMESTAMP, concatenation.read_timestamp),
        (NONCE, lambda value: concatenation.check_nonce(value, callback.method)),
        (SIGNATURE, lambda value: from_base64(value, "signature")),
    )
    for name, check in checks:
        if value := callback.headers.get(name):
            try:
                check(value)
            except Refusal as refusal:
                yield f"the header {name} is malformed: {refusal.detail}"


def _clock(callback: Callback, received_at: datetime) -> float | None:
    try:
        return received_at.timestamp() - concatenation.read_timestamp(callback.headers.get(TIMESTAMP, b""))
    except Refusal:
        return None


def _text(callback: Callback, path: bytes) -> bytes:
    timestamp, nonce = callback.headers.get(TIMESTAMP, b""), callback.headers.get(NONCE, b"")
    return concatenation.text(timestamp, nonce, callback.method, path, callback.body)


def _by_secret(callback: Callback, profile: Profile, paths: Sequence[bytes], signature: bytes) -> Iterator[Match]:
    for version, text in profile.secrets:
        for encoding in get_args(SecretEncoding):
            try:
                key = hmac_sha256.key(f"secret:{version}", text, encoding)
            except Refusal:
                continue
            for path in paths:
                if hmac.compare_digest(hmac_sha256.sign(key.material, _text(callback, path)), signature):
                    yield Match(key.id, encoding, path.decode("latin-1"))


def _by_key(callback: Callback, profile: Profile, paths: Sequence[bytes], signature: bytes) -> Iterator[Match]:
    keys = rsa_pss.public_keys(profile.jwks) if profile.jwks else []
    for path in paths:
        try:
            yield Match(f"rsa:{rsa_pss.match(keys, _text(callback, path), signature)}", None, path.decode("latin-1"))
        except Refusal:
            continue
