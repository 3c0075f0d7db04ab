"""Callbacks on their way: posted, tried again by a schedule, remembered, and no longer sent once too many failed."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from receiver.simulator.options import BankConfig
from receiver.simulator.scripts import Clock, Sleep
from receiver.simulator.sender import Attempt, Sender

DELIVERIES_MAX = 500

CONTENT_BYTES_MAX = 100_000_000
"""The remembered callbacks hold no more than this together; the oldest go first."""

SHOWN_CHARACTERS_MAX = 100_000

GENUINE = "genuine"
REPEATED = "again"
"""The variant that repeats the bytes and headers of an earlier callback."""


class NothingToSend(Exception):
    """The callback can't be sent; the text says why."""


@dataclass(frozen=True)
class Message:
    """What a callback says: `text` about `subject`, on `count` things.

    It goes to `path` below the bank's registered address, or below `callback_url` where it has one of its own.
    """

    subject: str
    text: str = field(repr=False)
    count: int = 1
    path: str = ""
    callback_url: str | None = None


@dataclass(frozen=True)
class Sending:
    """How a callback is sent.

    `copies` is how often. `url` and `delays` (seconds, as they are) replace the options' own; only what is genuine is
    tried again by itself. `headers` are sent besides, or in the place of the bank's own.
    """

    variant: str = GENUINE
    url: str | None = None
    delays: Sequence[float] | None = None
    copies: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Callback:
    """A message as it goes over the wire; `headers` is asked before each try."""

    content: bytes = field(repr=False)
    headers: Callable[[], Mapping[str, str]] = field(repr=False)


@dataclass(frozen=True)
class Delivery:
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

    @property
    def answer(self) -> bytes:
        """The body that the last try was answered with."""
        return self.attempts[-1].body

    def as_json(self) -> dict[str, object]:
        """Return the delivery as the control endpoints show it."""
        return {
            "subject": self.message.subject,
            "variant": self.sending.variant,
            "url": self.url,
            "headers": dict(self.headers),
            "sent": self.message.text[:SHOWN_CHARACTERS_MAX],
            "bytes": len(self.content),
            "accepted": self.accepted,
            "status": self.status,
            "body": self.answer.decode("utf-8", "replace"),
            "tries": [attempt.as_json() for attempt in self.attempts],
        }


class CallbackRules(ABC):
    """What a bank decides about its callbacks; each bank replaces the rules in which it differs."""

    repeating: frozenset[str] = frozenset({REPEATED})
    """The variants that need an earlier delivery."""

    @property
    @abstractmethod
    def config(self) -> BankConfig:
        """The options in force."""

    @abstractmethod
    def compose(self, message: Message, sending: Sending, url: str) -> Callback:
        """Return a message as it goes to `url`, signed or spoilt as the variant says."""

    def callback_url(self) -> str | None:
        """Return the address that is registered for callbacks."""
        return self.config.callback_url

    def is_wanted(self, message: Message, sending: Sending) -> bool:  # noqa: ARG002 - a bank may look at them
        """Tell whether somebody is subscribed to a message; what nobody is counts as missed."""
        return True

    def repeatable(self, earlier: Delivery, message: Message) -> bool:  # noqa: ARG002 - a bank may look at it
        """Tell whether an earlier delivery is one that `message` may repeat: any that was genuine."""
        return earlier.sending.variant == GENUINE

    def accepts(self, attempt: Attempt) -> bool:
        """Tell whether an answer counts as a success: any 2xx."""
        return attempt.accepted

    def ends(self, attempt: Attempt) -> bool:  # noqa: ARG002 - a bank may look at it
        """Tell whether an answer means that the receiver wants no more callbacks."""
        return False

    def failures_allowed(self) -> int | None:
        """Return how many callbacks may be given up before the bank sends no more; None: any number."""
        return None


class Outbox:
    """Sends for one bank. Once it is inactive, what happens is counted as missed and never sent."""

    def __init__(self, rules: CallbackRules, clock: Clock, sleep: Sleep) -> None:
        """Start active; `sleep` waits between tries."""
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._active = True
        self._missed = 0
        self._failed = 0
        self._deliveries: deque[Delivery] = deque()
        self._postponed: list[tuple[datetime, Sequence[Message], Sending]] = []
        self._bytes = 0
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

    def address(self, message: Message, sending: Sending) -> str:
        """Return the address that a message goes to.

        Raises:
            NothingToSend: where there is none, or no earlier callback to repeat.
        """
        earlier = self.earlier(message) if sending.variant in self._rules.repeating else None
        if sending.url is None and earlier is not None:
            return earlier.url
        address = sending.url or message.callback_url or self._rules.callback_url()
        if address is None:
            raise NothingToSend("no callback url: none is configured, subscribed or given")
        return address + message.path

    def send(
        self, message: Message, sending: Sending | None = None, on_wait: Callable[[], None] | None = None
    ) -> list[Delivery]:
        """Send a message until it is accepted or given up, so many times over; return what became of each.

        The list is shorter where the outbox is or becomes inactive, or nobody is subscribed. With the variant `again`
        it is an earlier callback that is sent, whatever `message` says. `on_wait` is called before each further try.

        Raises:
            NothingToSend: as `address`.
        """
        sending = sending or Sending()
        url = self.address(message, sending)
        deliveries = []
        for _ in range(sending.copies):
            if sending.variant == REPEATED:
                deliveries.append(self._repeat(self.earlier(message), url, sending, on_wait))
            elif self._active and self._rules.is_wanted(message, sending):
                deliveries.append(self._deliver(message, url, sending, on_wait))
            else:
                self._miss(message)
        return deliveries

    def spawn(self, messages: Sequence[Message], sending: Sending | None = None) -> None:
        """Send messages in threads, in order; while one waits for its next try, those behind it are sent."""
        _start(lambda: self._send_each([(message, sending) for message in messages]))

    def postpone(self, messages: Sequence[Message], sending: Sending, at: datetime) -> None:
        """Send messages once it is `at`, unless the outbox is inactive by then."""
        with self._lock:
            self._postponed.append((at, messages, sending))

    def send_due(self) -> None:
        """Send what was postponed until now, in threads, as `spawn` does: what was due first goes first."""
        now = self._clock()
        with self._lock:
            due = sorted((entry for entry in self._postponed if entry[0] <= now), key=lambda entry: entry[0])
            self._postponed = [entry for entry in self._postponed if entry[0] > now]
        if due:
            each = [(message, sending) for _, messages, sending in due for message in messages]
            _start(lambda: self._send_each(each))

    def deliveries(self) -> list[Delivery]:
        """Return the last deliveries, oldest first."""
        with self._lock:
            return list(self._deliveries)

    def earlier(self, message: Message) -> Delivery:
        """Return the last delivery that `message` may repeat.

        Raises:
            NothingToSend: where there is none.
        """
        for delivery in reversed(self.deliveries()):
            if self._rules.repeatable(delivery, message):
                return delivery
        raise NothingToSend("no genuine delivery to repeat")

    def clear(self) -> None:
        """Forget the deliveries; none can be sent again then."""
        with self._lock:
            self._deliveries.clear()
            self._bytes = 0

    def _send_each(self, each: Iterable[tuple[Message, Sending | None]]) -> None:
        for message, sending in each:
            first_try = threading.Event()
            _start(partial(self._send_noting, message, sending, first_try))
            first_try.wait()

    def _send_noting(self, message: Message, sending: Sending | None, first_try: threading.Event) -> None:
        try:
            self.send(message, sending, first_try.set)
        finally:
            first_try.set()

    def _deliver(self, message: Message, url: str, sending: Sending, on_wait: Callable[[], None] | None) -> Delivery:
        callback = self._rules.compose(message, sending, url)
        delays = sending.delays
        if delays is None:
            config = self._rules.config
            delays = config.faster(config.retry_delays) if sending.variant == GENUINE else ()
        delivery = self._post(message, callback, url, sending, delays, on_wait)
        if sending.variant == GENUINE and not delivery.accepted:
            self._give_up(message, ended=self._rules.ends(delivery.attempts[-1]))
        return delivery

    def _repeat(self, earlier: Delivery, url: str, sending: Sending, on_wait: Callable[[], None] | None) -> Delivery:
        callback = Callback(earlier.content, lambda: earlier.headers)
        return self._post(earlier.message, callback, url, sending, sending.delays or (), on_wait)

    def _post(
        self,
        message: Message,
        callback: Callback,
        url: str,
        sending: Sending,
        delays: Sequence[float],
        on_wait: Callable[[], None] | None,
    ) -> Delivery:
        def wait(seconds: float) -> object:
            if on_wait is not None:
                on_wait()
            # What is still to be tried again is given up once the outbox is switched off.
            return self._sleep(seconds) or not self._active

        sent: dict[str, str] = {}

        def headers() -> Mapping[str, str]:
            sent.clear()
            # Names of headers know no case.
            given = {name.lower() for name in sending.headers}
            sent.update({name: text for name, text in callback.headers().items() if name.lower() not in given})
            sent.update(sending.headers)
            return sent

        config = self._rules.config
        sender = Sender(self._clock, wait, config.callback_timeout_seconds, config.ca_file or config.verify_tls)
        attempts = sender.send(url, callback.content, headers, delays, self._is_over)
        accepted = self._rules.accepts(attempts[-1])
        delivery = Delivery(message, sending, url, callback.content, dict(sent), attempts, self._clock(), accepted)
        self._remember(delivery)
        return delivery

    def _is_over(self, attempt: Attempt) -> bool:
        return self._rules.accepts(attempt) or self._rules.ends(attempt)

    def _remember(self, delivery: Delivery) -> None:
        with self._lock:
            self._deliveries.append(delivery)
            self._bytes += len(delivery.content)
            while len(self._deliveries) > 1 and (
                self._bytes > CONTENT_BYTES_MAX or len(self._deliveries) > DELIVERIES_MAX
            ):
                self._bytes -= len(self._deliveries.popleft().content)

    def _give_up(self, message: Message, *, ended: bool) -> None:
        allowed = self._rules.failures_allowed()
        with self._lock:
            self._failed += 1
            self._missed += message.count
            if ended or (allowed is not None and self._failed > allowed):
                self._active = False

    def _miss(self, message: Message) -> None:
        with self._lock:
            self._missed += message.count


def _start(target: Callable[[], None]) -> None:
    threading.Thread(target=target, name="callback", daemon=True).start()
