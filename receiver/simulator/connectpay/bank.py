"""The state of the bank, all of it in memory."""

import threading

from receiver.simulator.bearers import Bearers
from receiver.simulator.book import Book
from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.connectpay.callbacks import accepts, wrap
from receiver.simulator.connectpay.config import Config
from receiver.simulator.connectpay.payments import Payment, message
from receiver.simulator.limits import FixedWindow
from receiver.simulator.options import Options
from receiver.simulator.outbox import Outbox
from receiver.simulator.parcels import Message, Parcel

_POLL_SECONDS = 0.02


class Bank:
    """Payment orders, users' tokens, the limit on requests, and the callbacks."""

    def __init__(self, options: Options[Config], clock: Clock, sleep: Sleep) -> None:
        self.options = options
        self.clock = clock
        self.bearers = Bearers(clock)
        self.payments: Book[Payment] = Book()
        self.outbox = Outbox(
            lambda: options.now,
            clock,
            sleep,
            self._wrap,
            accepts=accepts,
            failures_allowed=lambda: options.now.failures_allowed,
        )
        self._limit = FixedWindow(clock, 0, 1)
        self._allowed = 0
        self._lock = threading.Lock()

    def wait(self, caller: str) -> float | None:
        """Count one request of `caller`; return None where it is allowed, else the seconds to wait."""
        allowed = self.options.now.requests_per_second
        with self._lock:
            if allowed != self._allowed:
                self._allowed = allowed
                self._limit.change(allowed, 1)
        return self._limit.take(caller)

    def watch(self, stopping: threading.Event) -> None:
        """Tell of each change of a payment's status, until `stopping` is set; to be run in a thread of its own."""
        while not stopping.wait(_POLL_SECONDS):
            for payment, status in self.payments.take_changes(self.clock()):
                kind, config = payment.event(status), self.options.now
                if kind is not None and config.automatic and config.callback_url is not None:
                    self.outbox.spawn([message(kind, payment.ids(), config)])

    def _wrap(self, told: Message, variant: str) -> Parcel:
        return wrap(told, variant, self.options.now, self.clock())
