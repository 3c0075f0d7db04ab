"""URLs towards a bank: which addresses of an API are taken, and how an id is put into a path."""

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

from receiver.banks.errors import BankError
from receiver.signing import addresses

_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
    r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*)?"
)
"""No user, no query, no fragment; nothing that two readers of URLs (RFC 3986) could read in two ways."""

_SEPARATORS = re.compile(r"[/\\]")

DOTS = frozenset({".", ".."})
"""Segments of a path that mean another path, percent-encoded too (RFC 3986 section 5.2.4)."""


_DECODED_MAX = 5
"""How often a path may be percent-encoded over itself: one more than anybody decodes it."""


class IdUnusable(BankError):
    """An id that can't stand in the path of a request: the bank can't be asked about it."""

    outcome = "id_unusable"


def check(url: str) -> str:
    """Return an API's address, without a slash at its end: HTTPS, or HTTP to this machine alone (loopback).

    Raises:
        ValueError: saying what is wrong with it.
    """
    if not _URL.fullmatch(url):
        raise ValueError("an API's address is a URL such as https://HOST[:PORT][/PATH]")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("an API's address is a URL such as https://HOST[:PORT][/PATH]") from None
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"http:// shows everybody on the way what goes to {host}: https:// is taken, http on loopback")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    found = addresses.address(host)
    return host.lower() == "localhost" if found is None else found.is_loopback


def has_dots(path: str) -> bool:
    """Tell whether a path leads out of itself, as written or once percent-decoded."""
    return any(part in DOTS for part in _SEPARATORS.split(unquote(path)))


def readings(path: str) -> Sequence[str]:
    """Return a path in every way in which it can be read: as written, percent-decoded, and decoded over itself.

    A proxy may decode it before the bank does.

    Raises:
        ValueError: it is percent-encoded more often than anybody decodes it.
    """
    found = [path]
    for _ in range(_DECODED_MAX):
        if (decoded := unquote(found[-1])) == found[-1]:
            return found
        found.append(decoded)
    raise ValueError("percent-encoded too often")


def segment(text: str) -> str:
    """Return an id as one segment of a path, percent-encoded, so that it never leads to another resource.

    `.` and `..` can't be encoded so that no library and no proxy undoes it, and no bank's ids hold those, or control
    characters.

    Raises:
        IdUnusable
    """
    if not text or has_dots(text) or not text.isprintable():
        raise IdUnusable(f"{text[:40]!r} can't stand in the path of a request: the bank was not asked")
    return quote(text, safe="")
