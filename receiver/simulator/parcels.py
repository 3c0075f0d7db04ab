"""One callback: what it says, how it is sent, how it goes over the wire, and what became of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from receiver.simulator.courier import Attempt

TOLD_CHARACTERS_MAX = 100_000


@dataclass(frozen=True)
class Message:
    """What a callback says: `text` about `subject`, telling of `count` things; it goes to `path` below the address."""

    subject: str
    text: str = field(repr=False)
    count: int = 1
    path: str = ""


@dataclass(frozen=True)
class Sending:
    """How a callback is sent.

    `copies` is how often. `url` and `delays` (seconds, as they are) replace the options' own; only what is genuine is
    tried again by itself. `headers` are sent besides, or in the place of the bank's own.
    """

    variant: str = "genuine"
    url: str | None = None
    delays: Sequence[float] | None = None
    copies: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parcel:
    """A message as it goes over the wire; `headers` is asked before each try."""

    content: bytes = field(repr=False)
    headers: Callable[[], Mapping[str, str]] = field(repr=False)


@dataclass(frozen=True)
class Record:
    """A callback and what became of it: its last `headers`, and when it was over (`at`, UTC).

    `accepted` says whether the bank was content with the last answer.
    """

    message: Message
    sending: Sending
    url: str
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    attempts: tuple[Attempt, ...]
    at: datetime
    accepted: bool

    @property
    def status(self) -> int | None:
        """The HTTP status that the last try was answered with, or None where no answer came."""
        return self.attempts[-1].status

    def as_json(self) -> dict[str, object]:
        """Return the delivery as the control endpoints tell it."""
        return {
            "subject": self.message.subject,
            "variant": self.sending.variant,
            "url": self.url,
            "headers": dict(self.headers),
            "sent": self.message.text[:TOLD_CHARACTERS_MAX],
            "bytes": len(self.content),
            "accepted": self.accepted,
            "status": self.status,
            "body": self.attempts[-1].body.decode("utf-8", "replace"),
            "tries": [attempt.as_json() for attempt in self.attempts],
        }
