"""Where a callback came from, held against a list: proof of an address, and of nothing that was sent from it."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from receiver.signing.errors import Refusal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""Among trusted proxies: whoever comes over a unix socket, who has no address."""

UNKNOWN = "unknown"
"""What stands for a sender whom a proxy has named unreadably: on no list, and never the proxy itself."""

MAPPED_BITS = 96
"""What stands before the IPv4 address in one within IPv6 (RFC 4291 section 2.5.5.2)."""

PORT_MAX = 65535

_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")


@lru_cache(maxsize=4096)
def network(text: str) -> Network:
    """Read an address or a range in CIDR notation (RFC 4632); bits behind the prefix are taken for a mistake.

    A range of IPv4 within IPv6 (`::ffff:192.0.2.0/120`) is the one of IPv4, as an address is.

    Raises:
        ValueError
    """
    found = ipaddress.ip_network(text)
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    if mapped is None or found.prefixlen < MAPPED_BITS:
        return found
    return ipaddress.IPv4Network((mapped, found.prefixlen - MAPPED_BITS))


ADDRESS_CHARACTERS_MAX = 45
"""The longest address there is, an IPv4 one within IPv6: `INET6_ADDRSTRLEN` without its final zero (RFC 3493)."""


def address(text: str) -> Address | None:
    """Read an address; none where it is no address, or has a zone, which means something only where it was written."""
    return _address(text) if len(text) <= ADDRESS_CHARACTERS_MAX else None


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found.scope_id is not None:
        return None
    # A socket that listens on both kinds shows an IPv4 peer as `::ffff:192.0.2.1`.
    return found.ipv4_mapped or found


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str:
    """Return the network that a sender is counted by: whoever has one address of a /24, or /64, may well have them all.

    What is no address stands for itself.
    """
    found = address(peer.partition("%")[0])
    if found is None:
        return peer[:60]
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 64), strict=False))


def is_trusted(text: str, trusted: Iterable[Network | str]) -> bool:
    """Tell whether an address is one of these proxies'; the empty text is that of a unix socket's other end."""
    if not text:
        return UNIX in trusted
    found = address(text)
    return found is not None and any(not isinstance(one, str) and found in one for one in trusted)


def sender(remote: str, forwarded_for: str, trusted: Sequence[Network | str]) -> str:
    """Return the sender's address; `UNKNOWN` where a trusted proxy names one that can't be read.

    `X-Forwarded-For` is walked from the right, where the nearest proxy wrote, for as long as the address that wrote
    is trusted; what stands left of the first stranger is that stranger's own word, and is not believed.
    """
    found = remote
    for hop in reversed(forwarded_for.split(",")):
        if not hop.strip():
            continue
        if not is_trusted(found, trusted):
            break
        found = _without_port(hop.strip())
        if address(found) is None:
            return UNKNOWN
    return found


def _without_port(hop: str) -> str:
    """Return the address of `192.0.2.1:443` and of `[2001:db8::1]:443`, as some proxies write it.

    What stands before a number that is no port is returned with it, and is no address so.
    """
    parts = _WITH_PORT.fullmatch(hop)
    return (parts[1] or parts[2]) if parts and int(parts[3] or 0) <= PORT_MAX else hop


@lru_cache(maxsize=4096)
def party(text: str) -> str:
    """Return who is counted as one where each sender has a share: an IPv6 address stands for its network of 64 bits."""
    found = address(text)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return text if found is None else str(found)


def match(peer: str, allowed: Iterable[str], *, proven: bool = False) -> str:
    """Return the first range of the list that holds the peer's address.

    `proven` says that all else was proven before.

    Raises:
        Refusal: `address_not_allowed`.
    """
    found = address(peer)
    for text in allowed:
        if found is not None and found in network(text):
            return text
    raise Refusal("address_not_allowed", f"{peer[:60]} is not on the source's list", proven=proven)


def check(peer: str, allowed: Sequence[str]) -> None:
    """Accept an address in one of the ranges; any address where there are none.

    Raises:
        Refusal: `address_not_allowed`.
    """
    if allowed:
        match(peer, allowed)
