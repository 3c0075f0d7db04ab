"""How, where to and in which guise a notification is sent, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from receiver.simulator.bcb.sender import STALE_SECONDS, Delivery, Sender, SendOptions
from receiver.simulator.config import Method

Variant = Literal["genuine", "forged", "stale", "unsigned", "again", "other-body"]

VARIANTS: tuple[Variant, ...] = ("genuine", "forged", "stale", "unsigned", "again", "other-body")

REPEATS: tuple[Variant, ...] = ("again", "other-body")
"""The variants that need an earlier delivery: exactly the same once more, or its nonce with another body."""


@dataclass(frozen=True)
class Dispatch:
    """One sending.

    `url` replaces the registered address, `method` the configured one, `signed_path` the path that is signed, `options`
    the bank's own (which try again only what is genuine). `age_seconds` is how old a stale callback is.
    """

    variant: Variant = "genuine"
    url: str | None = None
    method: Method | None = None
    signed_path: str | None = None
    age_seconds: float = STALE_SECONDS
    options: SendOptions | None = None

    def send(self, sender: Sender, body: bytes) -> Delivery:
        """Send `body` in a guise that needs no earlier delivery."""
        match self.variant:
            case "forged":
                return sender.send_forged(body, options=self.options)
            case "stale":
                return sender.send_stale(body, age_seconds=self.age_seconds, options=self.options)
            case "unsigned":
                return sender.send_unsigned(body, options=self.options)
            case _:
                return sender.send(body, options=self.options)

    def repeat(self, sender: Sender, earlier: Delivery, body: bytes) -> Delivery:
        """Send `earlier` once more, or `body` with its nonce; a body that is the same gets a space at its end."""
        if self.variant == "again":
            return sender.send_again(earlier)
        other = body + b" " if body == earlier.body else body
        return sender.send_reusing_nonce(earlier, other, options=self.options)


@dataclass(frozen=True)
class Record:
    """A delivery, with what it was about (a transaction's or a job's id) and when it was over (UTC)."""

    subject: str
    variant: Variant
    at: datetime
    delivery: Delivery = field(repr=False)

    @property
    def repeatable(self) -> bool:
        """Whether it was rightly signed, so that repeating it says something."""
        return self.variant not in ("forged", "unsigned")

    def as_json(self) -> dict[str, object]:
        """Return the delivery as the control endpoints tell it."""
        delivery = self.delivery
        return {
            "subject": self.subject,
            "variant": self.variant,
            "url": delivery.url,
            "timestamp": delivery.stamp.timestamp if delivery.stamp else None,
            "nonce": delivery.stamp.nonce if delivery.stamp else None,
            "sent": delivery.body.decode("utf-8", "replace"),
            "accepted": delivery.accepted,
            "status": delivery.status,
            "body": delivery.answer.decode("utf-8", "replace"),
            "tries": [attempt.as_json() for attempt in delivery.attempts],
        }
