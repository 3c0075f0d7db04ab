"""Undoing `Content-Encoding` (RFC 9110 section 8.4) with a bound on what comes out."""

import zlib

SUPPORTED = ("gzip", "deflate")

CODINGS_MAX = 3
"""No sender stacks more; each one costs a pass over the body."""


class BodyTooLarge(Exception):
    """The body is over the limit, as sent or once its content coding is undone."""


class CodingBroken(Exception):
    """The body is not what its content coding says."""


class CodingNotSupported(Exception):
    """A content coding that is not undone here."""


def decode(body: bytes, content_encoding: str, limit: int) -> bytes:
    """Return the body free of the codings that a `Content-Encoding` header lists; never holds more than `limit` bytes.

    Raises:
        BodyTooLarge
        CodingBroken
        CodingNotSupported
    """
    if len(body) > limit:
        raise BodyTooLarge(f"{len(body)} bytes, {limit} allowed")
    if not content_encoding:
        return body
    codings = [name for part in content_encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(codings) > CODINGS_MAX:
        raise CodingNotSupported(f"{len(codings)} codings, {CODINGS_MAX} allowed")
    for coding in reversed(codings):
        body = _undo(coding, body, limit)
    return body


def _undo(coding: str, body: bytes, limit: int) -> bytes:
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, limit, zlib.MAX_WBITS | 16)
    if coding == "deflate":
        # Senders mean either the zlib format (as the RFC says) or bare deflate.
        try:
            return _inflate(body, limit, zlib.MAX_WBITS)
        except CodingBroken:
            return _inflate(body, limit, -zlib.MAX_WBITS)
    raise CodingNotSupported(f"{coding[:40]!r}; {' and '.join(SUPPORTED)} are undone")


def _inflate(body: bytes, limit: int, window_bits: int) -> bytes:
    inflator = zlib.decompressobj(window_bits)
    try:
        result = inflator.decompress(body, limit + 1)
        if len(result) <= limit and not inflator.eof:
            result += inflator.flush(1)
    except zlib.error as error:
        raise CodingBroken(str(error)[:200]) from error
    if len(result) > limit:
        raise BodyTooLarge(f"more than {limit} bytes once unpacked")
    if not inflator.eof or inflator.unused_data:
        raise CodingBroken("it ends too early, or goes on behind its end")
    return result
