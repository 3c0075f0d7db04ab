"""Who sent a request: the peer of the connection, or whom trusted proxies say they had it from."""

from collections.abc import Sequence

from receiver.settings import Network
from receiver.signing import addresses


def address(remote: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the sender's address.

    `X-Forwarded-For` is walked from the right, where the nearest proxy wrote, for as long as the address that wrote
    is trusted; what stands left of the first stranger is that stranger's own word, and is not believed.
    """
    found = remote
    for hop in reversed([part.strip() for part in forwarded_for.split(",")] if forwarded_for else []):
        if not _is_trusted(found, trusted) or addresses.address(hop) is None:
            break
        found = hop
    return found


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    found = addresses.address(text)
    return found is not None and any(found in network for network in trusted)
