"""Callbacks on their way: posted, tried again by a schedule, remembered, and no longer sent once too many failed."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from receiver.simulator.calling import Calling
from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.courier import Accepts, Attempt, any_2xx
from receiver.simulator.parcels import Message, Parcel, Record, Sending

RECORDS_MAX = 500

CONTENT_BYTES_MAX = 100_000_000
"""The remembered callbacks hold no more than this together; the oldest go first."""

AGAIN = "again"
"""The variant that repeats the bytes and headers of the last genuine callback; others may begin with the word too."""


class NothingToSendError(Exception):
    """The callback can't be sent; the text says why."""


Wrap = Callable[[Message, str], Parcel]
"""Makes a parcel of a message, spoilt as a variant says."""


class Outbox:
    """Sends for one bank. Once it is inactive, what happens is counted as missed and never sent.

    `failures_allowed` callbacks may be given up before it becomes inactive (None: any number); an answer for which
    `ends` is true makes it so at once.
    """

    def __init__(
        self,
        calling: Callable[[], Calling],
        clock: Clock,
        sleep: Sleep,
        wrap: Wrap,
        *,
        accepts: Accepts = any_2xx,
        failures_allowed: Callable[[], int | None] = lambda: None,
        ends: Accepts = lambda _: False,
    ) -> None:
        self._calling = calling
        self._clock = clock
        self._sleep = sleep
        self._wrap = wrap
        self._accepts = accepts
        self._failures_allowed = failures_allowed
        self._ends = ends
        self._active = True
        self._missed = 0
        self._failed = 0
        self._records: deque[Record] = deque(maxlen=RECORDS_MAX)
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether callbacks are sent."""
        return self._active

    def state(self) -> dict[str, object]:
        """Return whether it is active, how many callbacks were given up since it is, and how many things it missed."""
        with self._lock:
            return {"active": self._active, "failed": self._failed, "missed": self._missed}

    def activate(self, active: bool) -> None:
        """Switch it on, the failures forgotten, or off; nothing that was missed is sent."""
        with self._lock:
            self._active, self._failed = active, 0

    def address(self, sending: Sending) -> str:
        """Return the address that callbacks go to, or below which they go.

        Raises:
            NothingToSendError: where there is none, or no earlier callback to repeat.
        """
        if sending.variant.startswith(AGAIN):
            self.earlier()
        address = sending.url or self._calling().callback_url
        if address is None:
            raise NothingToSendError("no callback url: none is configured or given")
        return address

    def send(self, message: Message, sending: Sending | None = None) -> list[Record]:
        """Send a message until it is accepted or given up, so many times over; return what became of each.

        The list is shorter where the outbox is or becomes inactive. With the variant `again` it is the last genuine
        callback that is sent, whatever `message` says.

        Raises:
            NothingToSendError: as `address`.
        """
        sending = sending or Sending()
        address = self.address(sending)
        records = []
        for _ in range(sending.copies):
            if sending.variant == AGAIN:
                records.append(self._repeat(address, sending))
            elif self._active:
                records.append(self._deliver(message, address, sending))
            else:
                self._miss(message)
        return records

    def spawn(self, messages: Sequence[Message], sending: Sending | None = None) -> None:
        """Send messages, one after the other, in a thread."""

        def send() -> None:
            for message in messages:
                self.send(message, sending)

        threading.Thread(target=send, name="callback", daemon=True).start()

    def records(self) -> list[Record]:
        """Return the last deliveries, oldest first."""
        with self._lock:
            return list(self._records)

    def earlier(self) -> Record:
        """Return the last genuine delivery.

        Raises:
            NothingToSendError: where there is none.
        """
        for record in reversed(self.records()):
            if record.sending.variant == "genuine":
                return record
        raise NothingToSendError("no genuine delivery to repeat")

    def clear(self) -> None:
        """Forget the deliveries; none can be sent again then."""
        with self._lock:
            self._records.clear()

    def _deliver(self, message: Message, address: str, sending: Sending) -> Record:
        parcel = self._wrap(message, sending.variant)
        calling, delays = self._calling(), sending.delays
        if delays is None:
            delays = calling.faster(calling.retry_delays) if sending.variant == "genuine" else ()
        record = self._post(message, parcel, address + message.path, sending, delays)
        if sending.variant == "genuine" and not record.accepted:
            self._give_up(message, ended=self._ends(record.attempts[-1]))
        return record

    def _repeat(self, address: str, sending: Sending) -> Record:
        earlier = self.earlier()
        parcel = Parcel(earlier.content, lambda: earlier.headers)
        url = earlier.url if sending.url is None else address + earlier.message.path
        return self._post(earlier.message, parcel, url, sending, sending.delays or ())

    def _post(self, message: Message, parcel: Parcel, url: str, sending: Sending, delays: Sequence[float]) -> Record:
        sent: dict[str, str] = {}

        def headers() -> Mapping[str, str]:
            sent.clear()
            # Names of headers know no case.
            given = {name.lower() for name in sending.headers}
            sent.update({name: text for name, text in parcel.headers().items() if name.lower() not in given})
            sent.update(sending.headers)
            return sent

        courier = self._calling().courier(self._clock, self._wait)
        attempts = courier.carry(url, parcel.content, headers, delays, self._is_over)
        accepted = self._accepts(attempts[-1])
        record = Record(message, sending, url, parcel.content, dict(sent), attempts, self._clock(), accepted)
        self._remember(record)
        return record

    def _wait(self, seconds: float) -> object:
        # What is still to be tried again is given up once the outbox is switched off.
        return self._sleep(seconds) or not self._active

    def _is_over(self, attempt: Attempt) -> bool:
        return self._accepts(attempt) or self._ends(attempt)

    def _remember(self, record: Record) -> None:
        with self._lock:
            self._records.append(record)
            while len(self._records) > 1 and sum(len(kept.content) for kept in self._records) > CONTENT_BYTES_MAX:
                self._records.popleft()

    def _give_up(self, message: Message, *, ended: bool) -> None:
        allowed = self._failures_allowed()
        with self._lock:
            self._failed += 1
            self._missed += message.count
            if ended or (allowed is not None and self._failed > allowed):
                self._active = False

    def _miss(self, message: Message) -> None:
        with self._lock:
            self._missed += message.count
