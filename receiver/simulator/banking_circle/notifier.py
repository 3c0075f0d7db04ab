"""Tells the client what happened, in encrypted batches, until the bank switches the subscription off."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from receiver.simulator.banking_circle.bank import Bank
from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.encryption import REPEATS, Variant, encrypt
from receiver.simulator.banking_circle.notifications import kinds_of, notification
from receiver.simulator.clock import Sleep
from receiver.simulator.courier import Courier
from receiver.simulator.json_text import dumps
from receiver.simulator.outbox import NothingToSendError, Outbox, Parcel, Record

Order = Literal["kept", "reversed", "shuffled"]

ORDERS: tuple[Order, ...] = get_args(Order)

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Sending:
    """How notifications are sent.

    `copies` is how often each callback is sent, `order` that of the notifications. `url`, `batch_size` and `delays`
    (seconds, as they are) replace the options' own; only what is genuine is tried again by itself.
    """

    variant: Variant = "genuine"
    url: str | None = None
    delays: Sequence[float] | None = None
    batch_size: int | None = None
    copies: int = 1
    order: Order = "kept"


class Notifier:
    """Sends for one subscription; once it is inactive, what happens is counted as missed and never sent."""

    def __init__(self, bank: Bank, sleep: Sleep) -> None:
        self._bank = bank
        self._sleep = sleep
        self._active = True
        self._missed = 0
        self._lock = threading.Lock()
        self.outbox = Outbox(self._courier)

    @property
    def active(self) -> bool:
        """Whether the subscription is active."""
        return self._active

    @property
    def missed(self) -> int:
        """How many notifications will never be sent, for the subscription was inactive."""
        return self._missed

    def activate(self, active: bool) -> None:
        """Switch the subscription on or off; nothing that was missed is sent."""
        with self._lock:
            self._active = active

    def address(self, sending: Sending) -> str:
        """Return where notifications will go.

        Raises:
            NothingToSendError: where there is no address.
        """
        if sending.variant in REPEATS:
            return sending.url or self.outbox.earlier(None).url
        address = sending.url or self._config.callback_url
        if address is None:
            raise NothingToSendError("no callback url: none is configured or given")
        return address

    def send(self, notifications: Sequence[dict[str, object]], sending: Sending | None = None) -> list[Record]:
        """Send notifications; return once every callback is accepted or given up.

        The last try that fails switches the subscription off; then, and while it is off, the list may be empty.

        Raises:
            NothingToSendError: where there is no address, or no earlier callback to repeat.
        """
        sending = sending or Sending()
        self.address(sending)
        if sending.variant in REPEATS:
            return [self._repeat(sending) for _ in range(sending.copies)]
        records = []
        for batch in _batches(_ordered(notifications, sending.order), sending.batch_size or self._config.batch_size):
            for _ in range(sending.copies):
                if not self._active:
                    self._miss(len(batch))
                    continue
                records.append(self._deliver(batch, sending))
        return records

    def watch(self, stopping: threading.Event) -> None:
        """Tell of each change of a payment's status, until `stopping` is set; to be run in a thread of its own."""
        while not stopping.wait(_POLL_SECONDS):
            changes = self._bank.take_changes()
            config, now = self._config, self._bank.clock()
            if not config.automatic or config.callback_url is None:
                continue
            told = [
                notification(payment, kind, config, now)
                for payment, status in changes
                for kind in kinds_of(payment, status, config.booked)
            ]
            if told:
                threading.Thread(target=self.send, args=(told,), name="notification", daemon=True).start()

    def _deliver(self, batch: Sequence[dict[str, object]], sending: Sending) -> Record:
        envelope = {"notifications": list(batch)} if self._config.envelope == "object" else list(batch)
        record = self._post(dumps(envelope, ascii_only=False), subject_of(batch[0]), sending)
        if sending.variant == "genuine" and not record.accepted:
            with self._lock:
                self._active = False
                self._missed += len(batch)
        return record

    def _repeat(self, sending: Sending) -> Record:
        earlier = self.outbox.earlier(None)
        url = self.address(sending)
        if sending.variant == "again":
            parcel = Parcel(earlier.subject, "again", url, earlier.content, earlier.headers, earlier.text)
            return self.outbox.send(parcel, sending.delays or ())
        return self._post(earlier.text, earlier.subject, sending)

    def _post(self, text: str, subject: str, sending: Sending) -> Record:
        config = self._config
        content, headers = encrypt(text, config, sending.variant)
        delays = sending.delays
        if delays is None:
            delays = config.faster(config.retry_delays) if sending.variant == "genuine" else ()
        parcel = Parcel(subject, sending.variant, self.address(sending), content, headers, text)
        return self.outbox.send(parcel, delays)

    def _miss(self, count: int) -> None:
        with self._lock:
            self._missed += count

    @property
    def _config(self) -> Config:
        return self._bank.options.now

    def _courier(self) -> Courier:
        # A subscription that is switched off ends the waiting of what is still to be tried again.
        return self._config.courier(self._bank.clock, lambda seconds: self._sleep(seconds) or not self._active)


def subject_of(told: dict[str, object]) -> str:
    """Return the id of the payment that a notification is about, else its own."""
    payment = told.get("payment")
    found = payment.get("paymentId") if isinstance(payment, dict) else None
    return str(found or told.get("eventId", ""))


def _ordered(notifications: Sequence[dict[str, object]], order: Order) -> list[dict[str, object]]:
    ordered = list(notifications)
    if order == "reversed":
        ordered.reverse()
    elif order == "shuffled":
        random.SystemRandom().shuffle(ordered)
    return ordered


def _batches(notifications: Sequence[dict[str, object]], size: int) -> list[Sequence[dict[str, object]]]:
    return [notifications[first : first + size] for first in range(0, len(notifications), size)]
