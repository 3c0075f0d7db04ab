"""Payments: what the bank knows of each, and how its status moves."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from receiver.simulator.scripts import UNKNOWN, Script

Direction = Literal["Credit", "Debit"]

DIRECTIONS: tuple[Direction, ...] = ("Credit", "Debit")


@dataclass(frozen=True)
class Payment:
    """One payment, seen from one account; `script` starts at `started` (UTC), `amount` is unsigned."""

    transaction_id: str
    account: str
    amount: Decimal
    currency: str
    script: Script
    started: datetime
    direction: Direction = "Credit"
    kind: str = "Swift payment"
    details: str = "Payment details"
    external_reference: str | None = None

    def status(self, now: datetime) -> str | None:
        """Return the status at `now`, or None while the bank does not know the payment yet."""
        status = self.script.at((now - self.started).total_seconds())
        return None if status == UNKNOWN else status

    def restarted(self, script: Script, started: datetime) -> "Payment":
        """Return the same payment with another script, from `started` on."""
        return replace(self, script=script, started=started)

    def signed_amount(self) -> Decimal:
        """Return the amount with the sign that it has on the account."""
        return self.amount if self.direction == "Credit" else -self.amount

    def as_status(self, status: str) -> dict[str, object]:
        """Return the payment as `GET /v1/payments/{id}/status` shows it."""
        value = {"amount": f"{self.amount:f}", "currency": self.currency}
        return {
            "transactionId": self.transaction_id,
            "type": self.kind,
            "status": status,
            "externalReference": self.external_reference,
            "remittanceInformation": self.details,
            "debitAmount": value if self.direction == "Debit" else None,
            "creditAmount": value if self.direction == "Credit" else None,
            "valueDate": self.started.date().isoformat(),
            "exchangeRate": None,
        }

    def as_transaction(self) -> dict[str, object]:
        """Return the payment as an entry of its account: here the amount is a signed number."""
        return {
            "id": self.transaction_id,
            "thisAccount": {"number": self.account},
            "otherAccount": {"number": "9000000001"},
            "details": {
                "type": self.direction,
                "description": self.details,
                "value": {"amount": self.signed_amount(), "currency": self.currency},
                "posted": self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        }


class Payments:
    """All payments, in the order in which they came."""

    def __init__(self) -> None:
        self._payments: dict[str, Payment] = {}
        self._lock = threading.Lock()

    def put(self, payment: Payment) -> None:
        """Add a payment, or replace the one with its id."""
        with self._lock:
            self._payments[payment.transaction_id] = payment

    def get(self, transaction_id: str) -> Payment | None:
        """Return a payment, known to the bank's callers yet or not."""
        with self._lock:
            return self._payments.get(transaction_id)

    def known(self, account: str, now: datetime) -> list[tuple[Payment, str]]:
        """Return an account's payments that the bank knows at `now`, each with its status."""
        with self._lock:
            payments = [payment for payment in self._payments.values() if payment.account == account]
        return [(payment, status) for payment in payments if (status := payment.status(now)) is not None]
