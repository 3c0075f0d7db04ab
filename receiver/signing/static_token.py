"""A static token that a sender shows with each callback: proof that the sender knows it, and of nothing else."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

from receiver.signing.errors import Refusal

CHARACTERS_MIN = 16
"""Below this a token could be guessed, given time."""
CHARACTERS_MAX = 200

_TOKEN = re.compile(rf"[\x21-\x7e]{{{CHARACTERS_MIN},{CHARACTERS_MAX}}}")
_SEGMENT = re.compile(r"[A-Za-z0-9\-._~]+")

HIDDEN = b"sha256="


def check(token: str, *, in_path: bool = False) -> None:
    """Accept a token's text: visible ASCII, and in a path only what is never percent-encoded there (RFC 3986).

    Raises:
        Refusal: `secret_malformed`.
    """
    if not _TOKEN.fullmatch(token):
        raise Refusal("secret_malformed", f"a token has {CHARACTERS_MIN} to {CHARACTERS_MAX} visible ASCII characters")
    if in_path and not _SEGMENT.fullmatch(token):
        raise Refusal("secret_malformed", "a token in a path has letters, digits and - . _ ~ only")


def hide(token: bytes) -> bytes:
    """Return what may be stored of a token that was shown: its digest, by which `match` can still know it again."""
    return HIDDEN + hashlib.sha256(token).hexdigest().encode()


SCHEMES = ("", "Bearer ", "Basic ", "Token ")
"""What may stand before a token in a header."""


def is_shown(token: str, stored: str) -> bool:
    """Tell whether a stored text, such as a header's value, shows a token: as itself, or as what `hide` left of it."""
    digests = {hide(f"{scheme}{token}".encode()).decode() for scheme in SCHEMES}
    return token in stored or any(digest in stored for digest in digests)


def match(tokens: Iterable[tuple[str, str]], shown: bytes, *, hidden: bool = False) -> str:
    """Return the id of the token that was shown, of pairs of id and text; every one is compared in constant time.

    `hidden` says that `shown` is what `hide` left of it. Never set it for what comes over the wire: a digest that was
    read from a database would pass for the token.

    Raises:
        Refusal: `token_missing` or `token_mismatch`.
    """
    if not shown:
        raise Refusal("token_missing", "the callback shows no token")
    given = shown if hidden else hide(shown)
    matched = None
    for token_id, text in tokens:
        if hmac.compare_digest(hide(text.encode()), given) and matched is None:
            matched = token_id
    if matched is None:
        raise Refusal("token_mismatch", "no known token was shown")
    return matched


def ids(secrets: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return versions and texts as pairs for `match`.

    Raises:
        Refusal: `secret_not_set` where there are none.
    """
    if not secrets:
        raise Refusal("secret_not_set", "the source has no token: set one with `receiver secret set`")
    return [(f"secret:{version}", text) for version, text in secrets]
