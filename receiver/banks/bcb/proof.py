"""Proving that a callback is BCB's: HMAC-SHA256 with the signing secret, or RSA-PSS where a version is named."""

from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from receiver.banks.bank import Callback, KeysNotKnown, Profile, Proof
from receiver.signing import canonical, freshness, hmac_sha256, rsa_pss
from receiver.signing.encoding import from_base64
from receiver.signing.errors import Refusal

SIGNATURE, TIMESTAMP, NONCE, VERSION = "bcb-signature", "bcb-timestamp", "bcb-nonce", "bcb-signature-version"

SIGNATURE_CHARACTERS_MAX = 2048
"""RSA with 8192 bits takes 1368."""


def check(callback: Callback, profile: Profile, now: datetime) -> Proof:
    """Prove a callback genuine and fresh.

    Raises:
        Refusal
        KeysNotKnown: it is signed with a key of the bank that is not known here.
    """
    timestamp_text, nonce = _header(callback, TIMESTAMP), _header(callback, NONCE)
    timestamp = canonical.read_timestamp(timestamp_text)
    canonical.check_nonce(nonce, callback.method)
    _check_border(callback, profile)
    signature = _signature(callback)
    text = canonical.text(timestamp_text, nonce, callback.method, callback.path, callback.body)
    key_id = _match(callback, profile, text, signature)
    freshness.check(timestamp, now)
    profile.check_address(callback)
    return Proof(
        strength="signature",
        key_id=key_id,
        content=callback.body,
        nonce=nonce.decode("ascii"),
        signed_at=datetime.fromtimestamp(timestamp, UTC),
    )


def _header(callback: Callback, name: str) -> bytes:
    value = callback.headers.get(name, b"")
    if not value:
        raise Refusal("header_missing", f"no {name}")
    return value


def _signature(callback: Callback) -> bytes:
    encoded = _header(callback, SIGNATURE)
    if len(encoded) > SIGNATURE_CHARACTERS_MAX:
        raise Refusal("signature_malformed", f"{len(encoded)} characters")
    return from_base64(encoded, "signature")


def _check_border(callback: Callback, profile: Profile) -> None:
    """Leave no second place where the path could end and the body start: see `receiver.signing.canonical`.

    A body that could as well be the rest of the path (it is no JSON object, then) is taken only at the source's own
    path, and only where no other path that this receiver listens on fits the same text.
    """
    canonical.check_path(callback.path)
    channels = profile.options.get("channels", ())
    if channels and callback.channel is not None and callback.channel not in channels:
        raise Refusal("channel_not_expected", f"the source names its channels, and {callback.channel[:80]!r} is none")
    if not canonical.border_is_open(callback.body):
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
        if not profile.secrets:
            raise Refusal("secret_not_set", "the source has no signing secret: set one with `receiver secret set`")
        keys = profile.hmac_keys(profile.options.get("encoding", "base64"))
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
