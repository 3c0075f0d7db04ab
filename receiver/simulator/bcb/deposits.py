"""Deposits, as the bank tells of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from receiver.simulator.bcb.payments import Direction, Payment
from receiver.simulator.json_text import dumps
from receiver.simulator.scripts import Script

SUBSCRIPTION_ID = "e2a55504-3924-4b48-9d7e-540efcd6fa30"
"""The one in the sheet's example, for where nothing was subscribed to."""


@dataclass(frozen=True)
class Deposit:
    """What a deposit notification says; `amount` is unsigned."""

    transaction_id: str
    account: str
    amount: Decimal
    currency: str = "USD"
    direction: Direction = "Credit"
    kind: str = "Swift payment"
    details: str = "Payment details"

    def body(self, subscription_id: str = SUBSCRIPTION_ID) -> bytes:
        """Return the notification as in the sheet's example: the amount is a decimal string."""
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
        ).encode()

    def payment(self, script: Script, started: datetime) -> Payment:
        """Return the payment that the deposit is about, its status following `script` from `started` (UTC) on."""
        return Payment(
            self.transaction_id,
            self.account,
            self.amount,
            self.currency,
            script,
            started,
            self.direction,
            self.kind,
            self.details,
        )
