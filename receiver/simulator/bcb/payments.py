"""Payments: what the bank knows of each, how its status moves, and the accounts whose balances follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from receiver.simulator.answers import dumps
from receiver.simulator.scripts import Script, Scripted

Direction = Literal["Credit", "Debit"]

SUBSCRIPTION_ID = "e2a55504-3924-4b48-9d7e-540efcd6fa30"
"""The one in the documentation's example, for where nothing was subscribed to."""


@dataclass(frozen=True)
class Payment(Scripted):
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
    announced: bool = False

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
            "externalReference": None,
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

    def as_deposit(self, subscription_id: str = SUBSCRIPTION_ID) -> str:
        """Return the notification of a deposit as in the documentation's example: the amount is a decimal string."""
        return dumps(
            {
                "subscriptionId": subscription_id,
                "topic": "Deposits",
                "accountNumber": self.account,
                "transactionId": self.transaction_id,
                "type": self.direction,
                "value": {"amount": f"{self.amount:f}", "currency": self.currency},
                "transactionType": self.kind,
                "transactionDetails": self.details,
            }
        )


@dataclass(frozen=True)
class Account:
    """One account in one currency; it starts with nothing on it."""

    number: str
    currency: str

    def balance(self, payments: Iterable[tuple[Payment, str]]) -> Decimal:
        """Return the sum of those of the account's payments, each with its status, that are completed."""
        return sum(
            (
                payment.signed_amount()
                for payment, status in payments
                if status == "Completed" and payment.currency == self.currency
            ),
            Decimal("0.00"),
        )

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
