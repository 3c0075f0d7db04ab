"""Opaque ids that ascend with time, so that an index over them grows at one end."""

import os
from datetime import datetime


def new_id(prefix: str, now: datetime) -> str:
    """Return `<prefix>_` with 48 bits of milliseconds (UTC, as UUIDv7 of RFC 9562 has them) and 64 random bits."""
    return lowest_id(prefix, now) + os.urandom(8).hex()


def lowest_id(prefix: str, now: datetime) -> str:
    """Return what every id made at `now` or later sorts at or behind."""
    return f"{prefix}_{int(now.timestamp() * 1000):012x}"
