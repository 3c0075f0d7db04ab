"""The user's accounts, made up."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from receiver.simulator.banking_circle.times import precise

_SPACE = uuid.UUID("3b7f2a52-8c4e-4b86-b1a9-6f0f5a3a9d10")
_CURRENCIES = ("EUR", "GBP", "DKK")


@dataclass(frozen=True)
class Account:
    """One account in one currency; `number` counts them from 1."""

    number: int
    currency: str
    status: str = "Active"

    @property
    def account_id(self) -> str:
        """Its id, the same in every run."""
        return str(uuid.uuid5(_SPACE, str(self.number)))

    def as_json(self, now: datetime) -> dict[str, object]:
        """Return the account as `GET /api/v1/accounts` shows it."""
        iban = f"DK{10 + self.number % 90:02d}8900{self.number:010d}"
        balance = {
            "type": "ClosingBooked",
            "currency": self.currency,
            "beginOfDayAmount": 1000 * self.number,
            "financialDate": now.date().isoformat(),
            "intraDayAmount": 1000 * self.number + 25,
            "lastTransactionTimestamp": precise(now),
        }
        return {
            "accountId": self.account_id,
            "accountDescription": f"Account {self.number}",
            "accountIdentifiers": [{"account": iban, "financialInstitution": "SXPYDKKK", "country": "DK"}],
            "ibans": [iban],
            "status": self.status,
            "currency": self.currency,
            "openingDate": "2020-01-01",
            "closingDate": None if self.status == "Active" else "2025-01-01",
            "ownedByCompanyId": str(uuid.uuid5(_SPACE, "company")),
            "ownedByCompanyName": "Sørensen & Fils SA",
            "balances": [balance],
        }


def made_up(count: int) -> list[Account]:
    """Return `count` accounts; every seventh is closed."""
    numbers = range(1, count + 1)
    return [
        Account(number, _CURRENCIES[number % len(_CURRENCIES)], "Closed" if number % 7 == 0 else "Active")
        for number in numbers
    ]
