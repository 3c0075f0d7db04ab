"""Which addresses a sender may have: a list of networks in CIDR notation."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from receiver.signing.errors import Refusal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(text: str) -> Network:
    """Read a network, or a single address.

    Raises:
        ValueError: it is neither, or has bits set beyond its prefix.
    """
    return ipaddress.ip_network(text)


def check(address: str, allowed: Sequence[str]) -> None:
    """Accept an address in one of the networks; any address where there are none.

    Raises:
        Refusal: `address_not_allowed`.
    """
    if not allowed:
        return
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise Refusal("address_not_allowed", f"{address[:60]!r} is no address") from None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if not any(found in candidate for candidate in _networks(tuple(allowed))):
        raise Refusal("address_not_allowed", f"{found} is in none of the source's {len(allowed)} networks")


@lru_cache(maxsize=64)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(network(text) for text in texts)
