"""The records that are handed to the store: a delivery, its events, and what became of them; and their ids."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple


class NonceReused(Exception):
    """The nonce was used before, by a delivery with another body."""


class NewDelivery(NamedTuple):
    """A delivery whose signature was right; `body` is free of content codings, times are UTC."""

    id: str
    source_id: int
    received_at: datetime
    peer: str
    path: str
    channel: str | None
    headers: dict[str, str]
    nonce: str | None
    signed_at: datetime | None
    proof_key: str
    body: bytes
    body_sha256: str


class NewEvent(NamedTuple):
    """One thing that a delivery tells."""

    id: str
    identity: bytes
    content_sha256: str
    type: str
    kind: str
    subject: str | None
    payment_id: str | None
    claimed_status: str | None
    amount: str | None
    currency: str | None
    facts: dict[str, Any]
    proof: str
    claimed_at: datetime | None = None
    """When the bank told it, where that orders its claims."""


DeliveryWithEvents = tuple[NewDelivery, Sequence[NewEvent]]
DeliveredEvent = tuple[NewDelivery, NewEvent]


class Recorded(NamedTuple):
    """What became of a delivery: its events in its own order, whether any is new, whether any conflicts."""

    event_ids: tuple[str, ...]
    is_new: bool
    has_conflict: bool = False


def new_id(prefix: str, now: datetime) -> str:
    """Return `<prefix>_` with 48 bits of milliseconds (UTC, as UUIDv7 of RFC 9562 has them) and 64 random bits."""
    return lowest_id(prefix, now) + os.urandom(8).hex()


def lowest_id(prefix: str, now: datetime) -> str:
    """Return what every id made at `now` or later sorts at or behind."""
    return f"{prefix}_{int(now.timestamp() * 1000):012x}"
