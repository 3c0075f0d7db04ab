"""Callbacks, events and payments."""

from datetime import datetime
from typing import Any, Literal

from receiver.web.schemas.base import Agreement, Amount, EventId, Sha256, Shape, Status


class Taken(Shape):
    """The callback is on disk."""

    status: Literal["accepted", "duplicate"]
    """`duplicate` where all of it was told before."""
    events: list[EventId]


class Event(Shape):
    """What a bank told."""

    id: EventId
    source: str
    bank: str
    type: str
    subject: str | None
    """What it is about: a payment's id, or a job's."""
    payment_id: str | None
    received_at: datetime
    proof: str
    """How strongly it was proven genuine: `signature`, `encryption`, `token`, `address` or `none`."""
    proof_key: str
    """What fitted: `secret:<version>`, `rsa:<kid>` or `address:<range>`."""
    claimed_status: Status | None
    """What the callback says; the bank's API has the last word, see the payment."""
    amount: Amount | None
    currency: str | None
    facts: dict[str, Any]
    """What else the bank told, by name."""
    conflict: bool
    """The same event came again with other content."""
    payload_sha256: Sha256


class DeliveryStep(Shape):
    """A callback that told the event."""

    what: Literal["delivery"]
    at: datetime
    delivery: str
    verdict: Literal["accepted", "duplicate"]
    conflict: bool
    peer: str
    """Who sent it: an IP address."""


class CheckStep(Shape):
    """A question to the bank about the payment or job, and its answer."""

    what: Literal["check"]
    at: datetime
    outcome: str
    """`answered`, or why there is no answer."""
    bank_status: str | None
    detail: dict[str, Any]


class FeedStep(Shape):
    """An entry of the feed that stems from the event."""

    what: Literal["feed"]
    at: datetime
    type: str
    position: int | None
    """Null until it is given."""


class EventWithTimeline(Event):
    """An event and what happened around it."""

    timeline: list[DeliveryStep | CheckStep | FeedStep]
    """In the order of time."""


class EventPage(Shape):
    """Events, newest first."""

    data: list[Event]
    next: str | None
    """The cursor of the next page; null on the last one."""


class Payment(Shape):
    """What is known of a payment."""

    source: str
    payment_id: str
    status: Status
    """What the bank's API said."""
    bank_status: str | None
    """The bank's own word."""
    agreement: Agreement
    """Whether the bank's API confirms what callbacks claimed."""
    claimed_status: Status | None
    amount: Amount | None
    currency: str | None
    returns: str | None
    """The id of the payment that this one returns."""
    returned_by: str | None
    """The id of the payment that returned this one; its own state stays as it was."""
    created_at: datetime
    updated_at: datetime
    next_check_at: datetime | None
    """When the bank is asked next; null where the state is final."""


class Check(Shape):
    """A question to the bank, and its answer."""

    at: datetime
    bank_status: str | None
    outcome: str
    """`answered`, or why there is no answer."""
    detail: dict[str, Any]


class PaymentWithChecks(Payment):
    """A payment and every check made."""

    checks: list[Check]
    """Oldest first."""


class PaymentPage(Shape):
    """Payments, the latest known first."""

    data: list[Payment]
    next: str | None
    """The cursor of the next page; null on the last one."""
