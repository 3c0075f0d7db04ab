"""Tells the client what happened, in encrypted batches, until the bank switches the subscription off."""

import random
import threading
from collections.abc import Sequence
from typing import Literal, get_args

from receiver.simulator.banking_circle.bank import Bank
from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.encryption import encrypt
from receiver.simulator.banking_circle.notifications import kinds_of, notification
from receiver.simulator.clock import Sleep
from receiver.simulator.json_text import dumps
from receiver.simulator.outbox import Outbox
from receiver.simulator.parcels import Message, Parcel

Order = Literal["kept", "reversed", "shuffled"]

ORDERS: tuple[Order, ...] = get_args(Order)

_POLL_SECONDS = 0.02


class Notifier:
    """Makes batches for one subscription. One callback that is given up switches it off."""

    def __init__(self, bank: Bank, sleep: Sleep) -> None:
        self._bank = bank
        self.outbox = Outbox(lambda: self._config, bank.clock, sleep, self._wrap, failures_allowed=lambda: 0)

    def batches(
        self, notifications: Sequence[dict[str, object]], size: int | None = None, order: Order = "kept"
    ) -> list[Message]:
        """Return messages of `size` notifications at most (None: as the options say), in the given order."""
        ordered = list(notifications)
        if order == "reversed":
            ordered.reverse()
        elif order == "shuffled":
            random.SystemRandom().shuffle(ordered)
        size = size or self._config.batch_size
        return [self._message(ordered[first : first + size]) for first in range(0, len(ordered), size)]

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
                self.outbox.spawn(self.batches(told))

    def _message(self, batch: list[dict[str, object]]) -> Message:
        envelope = {"notifications": batch} if self._config.envelope == "object" else batch
        return Message(subject_of(batch[0]), dumps(envelope, ascii_only=False), len(batch))

    def _wrap(self, message: Message, variant: str) -> Parcel:
        # A callback whose text is that of the one before, newly encrypted.
        text = self.outbox.earlier().message.text if variant == "again-encrypted" else message.text
        content, headers = encrypt(text, self._config, variant)
        return Parcel(content, lambda: headers)

    @property
    def _config(self) -> Config:
        return self._bank.options.now


def subject_of(told: dict[str, object]) -> str:
    """Return the id of the payment that a notification is about, else its own."""
    payment = told.get("payment")
    found = payment.get("paymentId") if isinstance(payment, dict) else None
    return str(found or told.get("eventId", ""))
