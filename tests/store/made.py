"""Deliveries and events as the inbox would hand them to the store."""

import hashlib
import itertools
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver.reconcile.plan import PLAN
from receiver.runtime import Runtime
from receiver.store import intake, leases, sources
from receiver.store.leases import Due, Lease
from receiver.store.records import NewDelivery, NewEvent, Recorded, new_id
from receiver.store.sources import SourceRecord

_numbers = itertools.count(1)


def delivery(parts: Runtime, source: SourceRecord, **changes: Any) -> NewDelivery:
    """A delivery with a nonce and a body of its own."""
    now = parts.clock()
    number = next(_numbers)
    body = changes.pop("body", f"body {number}".encode())
    values: dict[str, Any] = {
        "id": new_id("dlv", now),
        "source_id": source.id,
        "received_at": now,
        "peer": "192.0.2.1",
        "path": "/webhooks/bcb",
        "channel": None,
        "headers": {"bcb-nonce": f"n-{number}"},
        "nonce": f"n-{number}",
        "signed_at": now,
        "proof_key": "secret:1",
        "body": body,
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    return NewDelivery(**(values | changes))


def event(parts: Runtime, name: str, *, payment: str | None = None, says: str = "", **changes: Any) -> NewEvent:
    """An event whose identity is `name`, about the payment of the same name unless another one is given."""
    subject = payment if payment is not None else name
    values: dict[str, Any] = {
        "id": new_id("evt", parts.clock()),
        "identity": hashlib.sha256(name.encode()).digest(),
        "content_sha256": hashlib.sha256(f"{name} {says}".encode()).hexdigest(),
        "type": "bcb.deposit",
        "kind": "payment",
        "subject": subject,
        "payment_id": subject,
        "claimed_status": "completed",
        "amount": "1.00",
        "currency": "EUR",
        "facts": {},
        "proof": "signature",
    }
    return NewEvent(**(values | changes))


def claimed(connection: Connection, now: datetime, until: datetime, *, name: str = "a", limit: int = 1) -> list[Due]:
    """Lease what is due, of all sources, until then; the lease's name is new each time."""
    source_ids = [source.id for source in sources.every(connection)]
    return leases.claim_planned(connection, dict.fromkeys(PLAN, source_ids), Lease(now, until, name), limit=limit)


def record(parts: Runtime, arrived: NewDelivery, *events: NewEvent) -> Recorded:
    """Write a delivery down in a transaction of its own."""
    with parts.database.write() as connection:
        return intake.record(connection, arrived, events)
