"""Where a callback came from, held against a list: proof of an address, and of nothing that was sent from it."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from receiver.signing.errors import Refusal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=4096)
def network(text: str) -> Network:
    """Read an address or a range in CIDR notation (RFC 4632); bits behind the prefix are taken for a mistake.

    Raises:
        ValueError
    """
    return ipaddress.ip_network(text)


def address(text: str) -> Address | None:
    """Read an address; none where it is no address, or has a zone, which means something only where it was written."""
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
