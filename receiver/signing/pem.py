"""PEM (RFC 7468) as people have it in files: with comments in any language, and the byte-order marks of editors."""

import codecs
import re

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s[^-]+-----END \1-----")

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"))


def pem_blocks(content: bytes) -> bytes:
    """Return the blocks of a file in PEM and nothing else, so that it is ASCII; empty where there is none."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            content = content.decode(encoding, "replace").encode()
            break
    return b"".join(block[0] + b"\n" for block in _BLOCK.finditer(content))


def is_bare_pem(content: bytes) -> bool:
    """Tell whether OpenSSL finds all that is in a file itself: it passes over comments, not over byte-order marks."""
    return not content.startswith(tuple(mark for mark, _ in _MARKS))
