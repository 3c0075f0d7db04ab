"""A delivery that is proven genuine and what it tells, as it is handed to the store; and what became of it."""

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
    told_at: datetime | None = None
    """When the bank told it, where that orders its claims."""


Told = tuple[NewDelivery, Sequence[NewEvent]]
Pair = tuple[NewDelivery, NewEvent]


class Recorded(NamedTuple):
    """What became of a delivery: its events in its own order, whether any is new, whether any conflicts."""

    event_ids: tuple[str, ...]
    is_new: bool
    has_conflict: bool = False
