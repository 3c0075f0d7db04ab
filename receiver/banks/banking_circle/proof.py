"""Proving that a callback is Banking Circle's: only a holder of the key can have encrypted it."""

import codecs
import hashlib
import hmac
import io
from collections.abc import Iterator

from receiver.banks.bank import Callback, Profile, Proof
from receiver.banks.banking_circle.options import header
from receiver.signing import addresses, aes_gcm
from receiver.signing.aes_gcm import NONCE_BYTES, TAG_BYTES, Opened
from receiver.signing.encoding import from_base64
from receiver.signing.errors import Refusal

CHECKSUM_BYTES = 32

_BYTE_ORDER_MARK = codecs.BOM_UTF8


def check(callback: Callback, profile: Profile) -> Proof:
    """Prove a callback genuine, and decrypt it. There is no timestamp: what is old shows by its events' ids.

    In the bank's own order: lengths of nonce, tag and checksum; the tag; the checksum.

    Raises:
        Refusal
    """
    addresses.check(callback.peer, profile.options.get("allowed_addresses", ()))
    nonce = _header(callback, profile, "nonce", NONCE_BYTES)
    tag = _header(callback, profile, "tag", TAG_BYTES)
    checksum = _header(callback, profile, "checksum", CHECKSUM_BYTES)
    if not profile.secrets:
        raise Refusal("secret_not_set", "the source has no encryption key: set one with `receiver secret set`")
    encoding = profile.options.get("encoding", "utf8")
    keys = [aes_gcm.key(f"secret:{version}", text, encoding) for version, text in profile.secrets]
    opened = aes_gcm.open_sealed(keys, nonce, tag, callback.body)
    # A nonce is unique under one key only: a subscription with another key may count from the same beginning.
    unique = f"{opened.key_id.removeprefix('secret:')}:{nonce.hex()}"
    return Proof("encryption", opened.key_id, _text(opened, checksum), nonce=unique)


def _header(callback: Callback, profile: Profile, what: str, size: int) -> bytes:
    name = header(f"{what}_header", profile.options)
    value = callback.headers.get(name, b"")
    if not value:
        raise Refusal("header_missing", f"no {name}")
    decoded = from_base64(value, what)
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
    for last, piece in _marked_last(opened):
        part = decoder.decode(piece, last).encode()
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


def _marked_last(opened: Opened) -> Iterator[tuple[bool, bytes]]:
    for piece in opened.pieces():
        yield False, piece
    yield True, b""
