"""Accounts and their balances, which follow from the payments."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from receiver.simulator.bcb.payments import Payments


@dataclass(frozen=True)
class Account:
    """One account in one currency; it starts with nothing on it."""

    number: str
    currency: str

    def as_json(self, balance: Decimal) -> dict[str, object]:
        """Return the account as `GET /v1/accounts/{n}` shows it."""
        return {
            "id": f"bcb-{self.number}",
            "number": self.number,
            "label": f"Account {self.number}",
            "owners": [],
            "type": "Current account",
            "balance": {"amount": f"{balance:f}", "currency": self.currency},
            "accountAttributes": [{"name": "STATUS", "value": "ACTIVE"}],
        }


class Accounts:
    """The client's accounts; a deposit to a number that is not there opens it."""

    def __init__(self, numbers: Iterable[str], payments: Payments) -> None:
        self._accounts = {number: Account(number, "USD") for number in numbers}
        self._payments = payments
        self._lock = threading.Lock()

    def open(self, number: str, currency: str) -> None:
        """Open an account, where it is not open yet."""
        with self._lock:
            self._accounts.setdefault(number, Account(number, currency))

    def get(self, number: str) -> Account | None:
        """Return an account by its number."""
        with self._lock:
            return self._accounts.get(number)

    def all(self) -> list[Account]:
        """Return every account, in the order in which they were opened."""
        with self._lock:
            return list(self._accounts.values())

    def balance(self, account: Account, now: datetime) -> Decimal:
        """Return the sum of the completed payments in the account's currency."""
        return sum(
            (
                payment.signed_amount()
                for payment, status in self._payments.known(account.number, now)
                if status == "Completed" and payment.currency == account.currency
            ),
            Decimal("0.00"),
        )
