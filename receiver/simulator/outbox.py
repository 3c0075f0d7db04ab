"""Callbacks on their way: posted, tried again by a schedule, and remembered."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from receiver.simulator.courier import Accepts, Attempt, Courier, any_2xx

RECORDS_MAX = 500

CONTENT_BYTES_MAX = 100_000_000
"""The remembered callbacks hold no more than this together; the oldest go first."""

TOLD_CHARACTERS_MAX = 100_000


class NothingToSendError(Exception):
    """The callback can't be sent; the text says why."""


@dataclass(frozen=True)
class Parcel:
    """One callback: `content` goes over the wire, `text` is what it says, `subject` what it is about."""

    subject: str
    variant: str
    url: str
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True)
class Record:
    """A parcel and what became of it; `at` is when that was over (UTC), `accepted` whether the bank is content."""

    parcel: Parcel
    at: datetime
    attempts: tuple[Attempt, ...]
    accepted: bool

    @property
    def status(self) -> int | None:
        """The HTTP status that the last try was answered with, or None where no answer came."""
        return self.attempts[-1].status

    def as_json(self) -> dict[str, object]:
        """Return the delivery as the control endpoints tell it."""
        return {
            "subject": self.parcel.subject,
            "variant": self.parcel.variant,
            "url": self.parcel.url,
            "headers": dict(self.parcel.headers),
            "sent": self.parcel.text[:TOLD_CHARACTERS_MAX],
            "bytes": len(self.parcel.content),
            "accepted": self.accepted,
            "status": self.status,
            "body": self.attempts[-1].body.decode("utf-8", "replace"),
            "tries": [attempt.as_json() for attempt in self.attempts],
        }


class Outbox:
    """Sends parcels and remembers the last of them."""

    def __init__(self, courier: Callable[[], Courier]) -> None:
        """Send with the courier that `courier` returns at the time."""
        self._courier = courier
        self._records: deque[Record] = deque(maxlen=RECORDS_MAX)
        self._lock = threading.Lock()

    def send(
        self,
        parcel: Parcel,
        delays: Sequence[float] = (),
        *,
        accepts: Accepts = any_2xx,
        headers: Callable[[], Mapping[str, str]] | None = None,
    ) -> Record:
        """Post a parcel until it is accepted or the delays (seconds) are used up, and remember it.

        `headers` is asked before each try where they differ from one to the next.
        """
        courier = self._courier()
        attempts = courier.carry(parcel.url, parcel.content, headers or (lambda: parcel.headers), delays, accepts)
        record = Record(parcel, courier.clock(), attempts, accepts(attempts[-1]))
        with self._lock:
            self._records.append(record)
            while len(self._records) > 1 and self._held() > CONTENT_BYTES_MAX:
                self._records.popleft()
        return record

    def records(self) -> list[Record]:
        """Return the last deliveries, oldest first."""
        with self._lock:
            return list(self._records)

    def earlier(self, subject: str | None, variants: Sequence[str] = ("genuine",)) -> Parcel:
        """Return the last parcel of one of `variants` about `subject` (None: about anything).

        Raises:
            NothingToSendError: where there is none.
        """
        for record in reversed(self.records()):
            if record.parcel.variant in variants and subject in (None, record.parcel.subject):
                return record.parcel
        raise NothingToSendError("no genuine delivery to repeat" + (f" about {subject!a}" if subject else ""))

    def clear(self) -> None:
        """Forget the deliveries; none can be sent again then."""
        with self._lock:
            self._records.clear()

    def _held(self) -> int:
        return sum(len(record.parcel.content) for record in self._records)
