"""How else a Banking Circle source may have been meant to be set up, by what a refused callback looks like."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, get_args

from receiver.banks.banking_circle import options
from receiver.banks.banking_circle.callbacks import CHECKSUM_BYTES
from receiver.banks.protocol import Callback
from receiver.signing.aes_gcm import NONCE_BYTES, TAG_BYTES
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import SecretEncoding, from_base64

SIZES = {"nonce_header": NONCE_BYTES, "tag_header": TAG_BYTES, "checksum_header": CHECKSUM_BYTES}


def alternatives(callback: Callback, given: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the other encoding of the key, and other headers that hold as many bytes as nonce, tag and checksum."""
    sizes = {name: _bytes_in(value) for name, value in callback.headers.items()}
    names = [
        sorted(
            (name for name, size in sizes.items() if size == wanted),
            key=lambda name: name != options.header(what, given),
        )
        or [options.header(what, given)]
        for what, wanted in SIZES.items()
    ]
    current = given.get("encoding", options.ENCODING)
    encodings = sorted(get_args(SecretEncoding), key=lambda encoding: encoding != current)
    for chosen in product(*names):
        renamed = {what: name for what, name in zip(SIZES, chosen, strict=True) if name != options.header(what, given)}
        for encoding in encodings:
            changes = {**renamed, **({"encoding": encoding} if encoding != current else {})}
            if changes:
                yield changes


def _bytes_in(value: bytes) -> int | None:
    try:
        return len(from_base64(value, "header"))
    except Refusal:
        return None
