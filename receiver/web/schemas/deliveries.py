"""Deliveries: requests as they came, and how each was signed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from receiver.web.schemas.base import Answer, Sha256, Time

if TYPE_CHECKING:
    from receiver.inbox.explain import Report


class Delivery(Answer):
    """A request as it came, without its body."""

    id: str
    source: str
    received_at: Time
    verdict: str
    reason: str | None
    detail: str | None
    signature_right: bool = Field(validation_alias="proven")
    """The signature itself was right, whatever the verdict."""
    peer: str
    path: str
    headers: dict[str, str]
    body_bytes: int
    body_sha256: Sha256


class ClaimedEvent(Answer):
    """What a late delivery tells, which is no event yet."""

    type: str
    kind: str
    subject: str | None
    claimed_status: str | None
    amount: str | None
    currency: str | None
    confirmed_at: Time | None
    """When the bank confirmed it."""


class DeliveryWithEvents(Delivery):
    """A request as it came, and what it tells where it is late."""

    tells: list[ClaimedEvent]

    @classmethod
    def made(cls, delivery: Any, held: Sequence[Any]) -> Self:
        """Say what a delivery tells, as it is held until it is confirmed."""
        tells = [
            ClaimedEvent(**{**{name: found.event[name] for name in WRITTEN}, "confirmed_at": found.confirmed_at})
            for found in held
        ]
        return cls(**dict(Delivery.of(delivery)), tells=tells)


WRITTEN = ClaimedEvent.model_fields.keys() - {"confirmed_at"}


class Fit(Answer):
    """One way of verifying a delivery that fits, and what is otherwise than its source has it."""

    key: str
    encoding: str | None
    path: str
    differences: list[str]


class Explanation(Answer):
    """How a delivery was signed."""

    id: str
    source: str
    verdict: str
    reason: str | None
    path: str
    signed_seconds_before_receipt: float | None
    fits: list[Fit]
    remarks: list[str]
    commands: list[str]
    """What puts it right."""

    @classmethod
    def made(cls, delivery: Any, report: "Report") -> Self:
        """Say what was found out about a delivery."""
        fits = [
            Fit(
                key=fit.match.key_id,
                encoding=fit.match.encoding,
                path=fit.match.path,
                differences=list(fit.differences),
            )
            for fit in report.fits
        ]
        return cls(
            id=delivery.id,
            source=delivery.source,
            verdict=delivery.verdict,
            reason=delivery.reason,
            path=delivery.path,
            signed_seconds_before_receipt=report.clock_seconds,
            fits=fits,
            remarks=list(report.remarks),
            commands=list(report.commands),
        )
