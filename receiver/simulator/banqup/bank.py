"""The state of the bank, all of it in memory."""

import threading
from collections.abc import Mapping
from dataclasses import replace

from receiver.simulator.banqup.callbacks import wrap
from receiver.simulator.banqup.config import Config
from receiver.simulator.banqup.payments import Payment, message
from receiver.simulator.bearers import Bearers
from receiver.simulator.book import Book
from receiver.simulator.calling import Calling
from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.options import Options
from receiver.simulator.outbox import Outbox

_POLL_SECONDS = 0.02


class Bank:
    """Tokens, payments, the listeners that were registered, and the callbacks."""

    def __init__(self, options: Options[Config], clock: Clock, sleep: Sleep) -> None:
        self.options = options
        self.clock = clock
        self.bearers = Bearers(clock)
        self.payments: Book[Payment] = Book()
        self.extensions: list[Mapping[str, object]] = []
        self.listener: str | None = None
        self.outbox = Outbox(self._calling, clock, sleep, lambda told, variant: wrap(told, variant, options.now))

    def watch(self, stopping: threading.Event) -> None:
        """Tell of each change of a payment's status, until `stopping` is set; to be run in a thread of its own."""
        while not stopping.wait(_POLL_SECONDS):
            for payment, status in self.payments.take_changes(self.clock()):
                config = self.options.now
                if config.automatic and self._calling().callback_url is not None:
                    told = message("payment", payment.payment_id, config, {}, payment.state(status))
                    self.outbox.spawn([told])

    def _calling(self) -> Calling:
        config = self.options.now
        return config if self.listener is None else replace(config, callback_url=self.listener)
