"""Deliveries: requests as they came, and how each was signed."""

from typing import Any, Self

from pydantic import Field

from receiver.inbox.explain import Report
from receiver.web.schemas.base import Answer, Sha256, Time


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

    @classmethod
    def made(cls, delivery: Any, report: Report) -> Self:
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
        )
