"""Undoing `Content-Encoding` (RFC 9110 section 8.4): one that the bank documents, with a bound on what comes out.

What stands there and is no coding at all (`UTF-8`, `none`, a media type) is passed over: the signature decides.
"""

import io
import zlib
from collections.abc import Sequence

REAL = {
    name: name.removeprefix("x-")
    for name in (
        *("aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "pack200-gzip", "x-compress"),
        *("x-gzip", "zstd"),
    )
}
"""The content codings that IANA lists, other names of theirs with the usual one; `identity` is none."""

PIECE_BYTES = 16 * 1024
"""How much is unpacked at once."""

RATIO_MAX = 1032
"""What comes out of a byte at most (deflate)."""

MEMBERS_MAX = 1000
"""Members of a gzip stream: enough for 50 MB from a packer that begins a new one every 64 KiB."""


class BodyTooLarge(Exception):
    """The body is over the limit, as sent or once its content coding is undone."""


class CodingBroken(Exception):
    """The body is not what its content coding says."""


class CodingNotSupported(Exception):
    """A content coding that is not undone here; `accepted` are those that would be."""

    def __init__(self, text: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.accepted = accepted


def coding_of(content_encoding: str, accepted: Sequence[str]) -> str | None:
    """Return the one coding that a `Content-Encoding` header lists; none where it lists none that is one.

    Raises:
        CodingNotSupported: it is none of those accepted, or there are several.
    """
    if not content_encoding:
        return None
    named = [REAL[name] for part in content_encoding.lower().split(",") if (name := part.strip()) in REAL]
    if not named:
        return None
    if len(named) > 1:
        raise CodingNotSupported(f"{len(named)} codings, one allowed", accepted)
    if named[0] not in accepted:
        raise CodingNotSupported(f"{named[0]}; taken are {', '.join(accepted) or 'none'}", accepted)
    return named[0]


def unpacked_bytes_max(body_bytes: int, limit: int) -> int:
    """Return how many bytes may come out of a packed body, of which no more than `limit` are held."""
    return min(limit, RATIO_MAX * body_bytes)


def decode(body: bytes, coding: str | None, limit: int) -> bytes:
    """Return the body free of a coding; never holds more than `limit` bytes, and a piece.

    Raises:
        BodyTooLarge
        CodingBroken
    """
    if len(body) > limit:
        raise BodyTooLarge(f"{len(body)} bytes, {limit} allowed")
    if coding is None:
        return body
    if coding == "gzip":
        return _inflate(body, limit, zlib.MAX_WBITS | 16, MEMBERS_MAX)
    # Senders mean either the zlib format (as the RFC says) or bare deflate.
    try:
        return _inflate(body, limit, zlib.MAX_WBITS)
    except CodingBroken:
        return _inflate(body, limit, -zlib.MAX_WBITS)


def _inflate(body: bytes, limit: int, window_bits: int, members_max: int = 1) -> bytes:
    """Unpack piece by piece; a gzip stream may have several members, one behind the other (RFC 1952 section 2.2)."""
    unpacked, rest, read = io.BytesIO(), b"", 0
    inflator, members = zlib.decompressobj(window_bits), 1
    while True:
        packed = rest or body[read : read + PIECE_BYTES]
        read += 0 if rest else len(packed)
        if inflator.eof:
            if not packed:
                return unpacked.getvalue()
            members += 1
            if members > members_max:
                raise CodingBroken("it goes on behind its end")
            inflator = zlib.decompressobj(window_bits)
        try:
            piece = inflator.decompress(packed, PIECE_BYTES)
        except zlib.error as error:
            raise CodingBroken(str(error)[:200]) from error
        if not (packed or piece or inflator.eof):
            raise CodingBroken("it ends too early")
        rest = inflator.unused_data if inflator.eof else inflator.unconsumed_tail
        unpacked.write(piece)
        if unpacked.tell() > limit:
            raise BodyTooLarge(f"more than {limit} bytes once unpacked")
