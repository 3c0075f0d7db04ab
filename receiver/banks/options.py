"""A source's options: each bank's package says which it takes; they are validated once and stored as read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from receiver.banks import business_days, business_hours, urls
from receiver.banks.protocol import OptionsWrong
from receiver.model import RetentionKind
from receiver.signing import addresses

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,100}")
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/{}]|%[0-9A-Fa-f]{2})*")
_WORD = re.compile(r"[\x21-\x7e]{1,200}")

RESERVED_HEADERS = frozenset(
    {
        *("host", "content-type", "content-length", "content-encoding", "user-agent", "accept", "accept-encoding"),
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        *("forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"),
        "x-forwarded-proto",
    }
)
"""These are of HTTP itself, or written by web servers and proxies: none of them can be a bank's own."""


@dataclass(frozen=True)
class Option:
    """One option: its name, how its value is read (`ValueError` where it is none), and what is accepted."""

    name: str
    read: Callable[[Any], Any]
    accepted: str


def check(bank: str, given: Mapping[str, Any], known: Sequence[Option]) -> dict[str, Any]:
    """Return the options as they are to be stored.

    Raises:
        OptionsWrong: one is not known, or has a value that it does not take; the text lists all that are.
    """
    by_name = {option.name: option for option in known}
    stored: dict[str, Any] = {}
    for name, value in given.items():
        try:
            stored[name] = by_name[name].read(value)
        except (KeyError, ValueError, TypeError):
            accepted = ", ".join(f"{option.name}={option.accepted}" for option in known)
            raise OptionsWrong(f"{name}={value} is not an option of {bank}: {accepted}") from None
    return stored


def _addresses(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    found = [str(addresses.network(str(part).strip())) for part in parts if str(part).strip()]
    if not found:
        raise ValueError("no address")
    return found


def allowed_addresses() -> Option:
    """Make the option for an allow-list: the addresses and CIDR ranges that callbacks may come from."""
    return Option("allowed_addresses", _addresses, "ADDRESS|CIDR[,…]")


def takes_any_address(allowed: Sequence[str]) -> bool:
    """Tell whether an allow-list leaves no address out: it proves nothing then."""
    return any(addresses.network(text).prefixlen == 0 for text in allowed)


def choice(name: str, *values: str) -> Option:
    """Make an option that takes one of several words."""

    def read(value: Any) -> str:
        if value not in values:
            raise ValueError(value)
        return str(value)

    return Option(name, read, "|".join(values))


def number(name: str, least: int = 1) -> Option:
    """Make an option that takes a whole number of at least `least`."""

    def read(value: Any) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
            raise ValueError(text)
        return int(text)

    return Option(name, read, "NUMBER")


def header(name: str) -> Option:
    """Make an option that takes the name of a header."""

    def read(value: Any) -> str:
        found = _matching(_HEADER, value).lower()
        if found in RESERVED_HEADERS:
            raise OptionsWrong(
                f"{name}={found}: that header is of HTTP itself, or written by web servers and proxies; a bank's own "
                "has another name"
            )
        if "_" in found:
            raise OptionsWrong(
                f"{name}={found}: a header with an underscore in its name never arrives, because web servers and "
                f"proxies drop it or write {found.replace('_', '-')}, which is the name to give"
            )
        return found

    return Option(name, read, "HEADER")


def spelling(header: Any) -> str:
    """Return the name of a header as it arrives: an underscore, which an earlier release took, comes as a dash."""
    return str(header).replace("_", "-")


def path(name: str, *places: str) -> Option:
    """Make an option that takes an absolute path of the API, with these places in braces and no others."""

    def read(value: Any) -> str:
        found = _matching(_PATH, value)
        if urls.has_dots(found):
            raise ValueError(found)
        if sorted(re.findall(r"\{([^{}]*)\}", found)) != sorted(places) or found.count("{") != len(places):
            raise ValueError(found)
        return found

    return Option(name, read, "/PATH" + "".join(f"/{{{place}}}" for place in places))


def url(name: str) -> Option:
    """Make an option that takes an address of the API: HTTPS, or HTTP on loopback."""

    def read(value: Any) -> str:
        try:
            return urls.check(str(value))
        except ValueError as error:
            raise OptionsWrong(f"{name}={value}: {error}") from None

    return Option(name, read, "URL")


def watch() -> tuple[Option, ...]:
    """Make the options of every bank: when to warn that it is quiet, its business days, how long to store what came."""

    def hours(value: Any) -> str:
        business_hours.read(str(value))
        return str(value)

    def days(value: Any) -> str:
        business_days.read(str(value))
        return str(value)

    return (
        number("quiet_hours", least=0),
        Option("business_hours", hours, "DAYS,HH:MM-HH:MM,ZONE"),
        Option("business_days", days, "DAYS,HH:MM,ZONE"),
        *(number(f"retention_{kind}_days", least=0) for kind in RetentionKind),
    )


def word(name: str) -> Option:
    """Make an option that takes an id or a name: visible ASCII."""
    return Option(name, lambda value: _matching(_WORD, value), name.upper())


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(value)
    return value
