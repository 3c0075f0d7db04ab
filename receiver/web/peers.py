"""Who sent a request: the peer of the connection, or whom trusted proxies say they had it from."""

import ipaddress
from collections.abc import Sequence

from receiver.settings import Network


def address(remote: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the sender's address.

    `X-Forwarded-For` is walked from the right, where the nearest proxy wrote, for as long as the address that wrote
    is trusted; what stands left of the first stranger is that stranger's own word, and is not believed.
    """
    found = remote
    for hop in reversed([part.strip() for part in forwarded_for.split(",")] if forwarded_for else []):
        if not _is_trusted(found, trusted) or _parse(hop) is None:
            break
        found = hop
    return found


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    found = _parse(text)
    return found is not None and any(found in network for network in trusted)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found.scope_id is not None:
        # A zone means something only on the machine that wrote it, and may hold any text of any length.
        return None
    # A socket that listens on both kinds shows an IPv4 peer as `::ffff:192.0.2.1`.
    return found.ipv4_mapped or found
