"""The text that a concatenating signer signs: `{timestamp}{nonce}{METHOD}{path}{body}`, with no separators.

Without separators one signature fits other cuts of the same text. These rules leave one cut only:

- the timestamp is exactly ten digits, so the nonce starts at the eleventh byte;
- the nonce does not hold `METHOD/`, so it ends where `METHOD/` first stands;
- a path holds only bytes that RFC 3986 allows in one, so the path ends before the first byte of the body that it does
  not allow. Where the body is empty, or starts with a byte that could as well belong to the path, the border stays
  open: `border_is_open` says so, and the caller must know the path beforehand or refuse.
"""

import re
from datetime import datetime

from receiver.signing.errors import Refusal

NONCE_BYTES_MAX = 200
"""A GUID takes 36 bytes; this leaves room for any other opaque string, and bounds the index that holds them."""

_TIMESTAMP = re.compile(rb"[0-9]{10}")
_NONCE = re.compile(rb"[\x21-\x7e]{1,%d}" % NONCE_BYTES_MAX)
_PATH_BYTE = rb"[A-Za-z0-9\-._~!$&'()*+,;=:@%/]"
_PATH = re.compile(rb"/" + _PATH_BYTE + rb"*")
_STARTS_LIKE_PATH = re.compile(_PATH_BYTE)


def text(timestamp: bytes, nonce: bytes, method: bytes, path: bytes, body: bytes) -> bytes:
    """Return the bytes to sign; `path` is absolute and without its query string, `body` free of content codings."""
    return b"".join((timestamp, nonce, method, path, body))


def read_timestamp(value: bytes) -> int:
    """Return Unix seconds from exactly ten ASCII digits (2001-09-09 to 2286-11-20).

    Raises:
        Refusal: `timestamp_malformed` for anything else: signs, fractions, milliseconds, other scripts' digits.
    """
    if not _TIMESTAMP.fullmatch(value):
        raise Refusal("timestamp_malformed", f"{value[:40]!r} is not ten digits")
    return int(value)


def check_nonce(value: bytes, method: bytes) -> None:
    """Accept an opaque string of visible ASCII that leaves no second cut.

    Raises:
        Refusal: `nonce_malformed`.
    """
    if not _NONCE.fullmatch(value):
        raise Refusal("nonce_malformed", f"{value[:40]!r} is not 1 to {NONCE_BYTES_MAX} visible ASCII characters")
    if method + b"/" in value:
        raise Refusal("nonce_malformed", "it holds the method and the start of a path")


def check_path(value: bytes) -> None:
    """Accept an absolute path as RFC 3986 writes it, percent-encoding left as it was sent.

    Raises:
        Refusal: `path_malformed`.
    """
    if not _PATH.fullmatch(value):
        raise Refusal("path_malformed", f"{value[:80]!r} is not a path in the sense of RFC 3986")


def border_is_open(body: bytes) -> bool:
    """Tell whether the end of the path could be moved into this body, or back, without changing the text."""
    return not body or _STARTS_LIKE_PATH.match(body) is not None


WINDOW_SECONDS = 300


def check_fresh(timestamp: int, now: datetime, window_seconds: int = WINDOW_SECONDS) -> None:
    """Accept a timestamp (Unix seconds) at most `window_seconds` before or after `now` (an aware datetime).

    Raises:
        Refusal: `timestamp_stale`, marked as proven: call this only once the signature was found right.
    """
    age = now.timestamp() - timestamp
    if abs(age) > window_seconds:
        side = "old" if age > 0 else "ahead"
        raise Refusal("timestamp_stale", f"{abs(age):.0f} s {side}, {window_seconds} s allowed", proven=True)
