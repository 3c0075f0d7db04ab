"""The state of the bank, all of it in memory."""

import itertools
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from receiver.simulator.banking_circle import payments
from receiver.simulator.banking_circle.accounts import Account, made_up
from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.payments import Classification, Payment, Payments
from receiver.simulator.bearers import Bearers
from receiver.simulator.clock import Clock
from receiver.simulator.limits import FixedWindow
from receiver.simulator.options import Options
from receiver.simulator.scripts import Script


@dataclass(frozen=True)
class Order:
    """What a payment is to be; what is None is made up, and the script follows from the amount."""

    payment_id: str | None = None
    amount: Decimal = Decimal("100.00")
    currency: str = "EUR"
    classification: Classification = "Outgoing"
    reference: str | None = None
    account_id: str | None = None
    script: Script | None = None
    remittance: tuple[str, ...] = ("Invoice 1",)
    is_return: bool = False
    told: bool = True


class Bank:
    """The user's tokens, accounts and payments, and the limit on token requests."""

    def __init__(self, options: Options[Config], clock: Clock) -> None:
        config = options.now
        self.options = options
        self.clock = clock
        self.bearers = Bearers(clock)
        self.payments = Payments()
        self.accounts: list[Account] = made_up(config.accounts)
        self.answers = itertools.count()
        self._numbers = itertools.count(1)
        self._limit = FixedWindow(clock, 0, 0)
        self._limits = (0, 0.0)
        self._lock = threading.Lock()

    def token_wait(self, address: str) -> float | None:
        """Count one token request of `address`; return None where it is allowed, else the seconds to wait."""
        config = self.options.now
        wanted = (config.token_requests, config.token_window_seconds)
        with self._lock:
            if wanted != self._limits:
                self._limits = wanted
                self._limit.change(*wanted)
        return self._limit.take(address)

    def book(self, order: Order) -> Payment:
        """Take up a payment, or replace the one with its id."""
        now, config = self.clock(), self.options.now
        sandbox = payments.sandbox_script(order.amount, config.pending_seconds).faster(config.speed)
        returns = order.script is None and order.amount == payments.RETURNED and order.classification == "Outgoing"
        usual = sandbox if order.classification == "Outgoing" else Script.of(("Processed", 0))
        account = self.accounts[0].account_id if self.accounts else str(uuid.uuid4())
        payment = Payment(
            order.payment_id or str(uuid.uuid4()),
            order.reference or self._reference(now),
            order.account_id or account,
            order.amount,
            order.currency,
            order.classification,
            order.script or usual,
            now,
            order.remittance,
            order.is_return,
            payments.SANDBOX_SECONDS / config.speed if returns else None,
            order.told,
        )
        self.payments.put(payment.payment_id, payment)
        return payment

    def take_changes(self) -> list[tuple[Payment, str]]:
        """Return what has changed since this was last asked, money that comes back among it."""
        now = self.clock()
        for original in self.payments.take_returned(now):
            returned = original.returned(str(uuid.uuid4()), self._reference(now), now)
            self.payments.put(returned.payment_id, returned)
        return self.payments.take_changes(now)

    def _reference(self, now: datetime) -> str:
        return payments.reference(next(self._numbers), now)
