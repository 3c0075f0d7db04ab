"""Payments and what becomes of them by the amounts of the bank's sandbox, and the accounts they are on."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from receiver.simulator.scripts import Registry, Script, Scripted

Classification = Literal["Outgoing", "Incoming", "Own"]

FUNDING_SECONDS = 12 * 3600.0
"""An outgoing payment without funds is rejected after so long."""

SANDBOX_SECONDS = 30.0
"""The sandbox reverses and returns after so long."""

RETURNED = Decimal("177.00")
RETURNED_AMOUNT = Decimal("147.00")

_SPACE = uuid.UUID("3b7f2a52-8c4e-4b86-b1a9-6f0f5a3a9d10")
_CURRENCIES = ("EUR", "GBP", "DKK")


def sandbox_script(amount: Decimal, pending_seconds: float) -> Script:
    """Return what the sandbox does with an outgoing payment of `amount`, in any currency.

    13.00 MissingFunding, then Rejected after 12 hours; 17.00 PendingProcessing for ever; 19.00 Rejected; 27.00
    Processed, then Reversed after 30 s; 53.00 Cancelled; 177.00 Processed, and 147.00 come back after 30 s; any other:
    Processed.
    """
    pending = ("PendingProcessing", pending_seconds)
    special = {
        Decimal(13): Script.of(pending, ("MissingFunding", FUNDING_SECONDS), ("Rejected", 0)),
        Decimal(17): Script.of(pending),
        Decimal(19): Script.of(("Rejected", 0)),
        Decimal(27): Script.of(pending, ("Processed", SANDBOX_SECONDS), ("Reversed", 0)),
        Decimal(53): Script.of(pending, ("PendingCancellation", pending_seconds), ("Cancelled", 0)),
    }
    return special.get(amount) or Script.of(pending, ("Processed", 0))


@dataclass(frozen=True)
class Payment(Scripted):
    """One payment.

    `returns_after` is in how many seconds it comes back as a new incoming payment (None: never). `is_return` marks such
    a one; its remittance lines then say so and name the original's transaction reference.
    """

    payment_id: str
    transaction_reference: str
    account_id: str
    amount: Decimal
    currency: str
    classification: Classification
    script: Script
    started: datetime
    remittance: tuple[str, ...] = ()
    is_return: bool = False
    returns_after: float | None = None
    announced: bool = True
    account: str | None = None
    """The account's IBAN."""

    def comes_back(self, now: datetime) -> bool:
        """Tell whether the money is on its way back by `now`."""
        return self.returns_after is not None and self.age(now) >= self.returns_after

    def returned(self, payment_id: str, reference: str, now: datetime) -> "Payment":
        """Return the payment that brings this one back, less what banks on the way have kept."""
        amount = RETURNED_AMOUNT if self.amount == RETURNED else self.amount
        return replace(
            self,
            payment_id=payment_id,
            transaction_reference=reference,
            amount=amount,
            classification="Incoming",
            script=Script.of(("Processed", 0)),
            started=now,
            remittance=("RETURN OF PAYMENT", self.transaction_reference, "By order of beneficiary"),
            is_return=True,
            returns_after=None,
        )

    def as_json(self, status: str, now: datetime, errors_form: str) -> dict[str, object]:
        """Return the payment as the bank shows it at `now`; the amount is a number.

        Until it is settled there is no `transfer`: its amount is what is debited or credited.
        """
        rejected = "The payment was rejected" if status == "Rejected" else None
        since = precise(self.started + timedelta(seconds=self.script.since(self.age(now))), "+00:00")
        incoming = self.classification == "Incoming"
        amount = {"currency": self.currency, "amount": self.amount}
        known = {"account": self.account, "financialInstitution": "SXPYDKKK", "country": "DK"} if self.account else None
        own = {"accountId": self.account_id, "account": known, "creditAmount" if incoming else "debitAmount": amount}
        lines = dict(zip(("line1", "line2", "line3", "line4"), self.remittance, strict=False))
        shown: dict[str, object] = {
            "paymentId": self.payment_id,
            "transactionReference": self.transaction_reference,
            "classification": self.classification,
            "status": status,
            "instructedDate": self.started.date().isoformat(),
            "processedTimestamp": since if status in ("Processed", "Reversed") else None,
            "latestStatusChangedTimestamp": since,
            "return": self.is_return,
            "paymentRail": "Internal",
            "errors": [rejected] if rejected and errors_form == "array" else rejected,
            "debtorInformation": None if incoming else own,
            "creditorInformation": own if incoming else None,
        }
        if status in ("Processed", "Reversed"):
            shown["transfer"] = {
                "valueDate": self.started.date().isoformat(),
                "amount": amount,
                "remittanceInformation": lines or None,
            }
        return shown

    def booked(self) -> dict[str, object]:
        """Return the short form in which the bank tells that the payment is booked; an outgoing one is negative."""
        day = self.started.date().isoformat()
        return {
            "paymentId": self.payment_id,
            "transactionReference": self.transaction_reference,
            "amount": self.amount if self.classification == "Incoming" else -self.amount,
            "currency": self.currency,
            "valueDate": day,
            "transactionDate": day,
        }


class Payments(Registry[Payment]):
    """All payments, by their ids."""

    def by_reference(self, reference: str) -> Payment | None:
        """Return a payment by its transaction reference."""
        return next((payment for payment in self.all() if payment.transaction_reference == reference), None)

    def take_returned(self, now: datetime) -> list[Payment]:
        """Return the payments whose money comes back now; each only once."""
        due = [payment for payment in self.all() if payment.comes_back(now)]
        for payment in due:
            self.replace(payment.payment_id, replace(payment, returns_after=None))
        return due


def reference(number: int, now: datetime) -> str:
    """Return a transaction reference in the manner of the bank's, such as `010F103220030044`."""
    return f"010F{now:%y%j}{number:07d}"


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

    @property
    def iban(self) -> str:
        """By what it is known outside the bank."""
        return f"DK{10 + self.number % 90:02d}8900{self.number:010d}"

    def as_json(self, now: datetime) -> dict[str, object]:
        """Return the account as `GET /api/v1/accounts` shows it."""
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
            "accountIdentifiers": [{"account": self.iban, "financialInstitution": "SXPYDKKK", "country": "DK"}],
            "ibans": [self.iban],
            "status": self.status,
            "currency": self.currency,
            "openingDate": "2020-01-01",
            "closingDate": None if self.status == "Active" else "2025-01-01",
            "ownedByCompanyId": str(uuid.uuid5(_SPACE, "company")),
            "ownedByCompanyName": "Sørensen & Fils SA",
            "balances": [balance],
        }


def made_up_accounts(count: int) -> list[Account]:
    """Return `count` accounts; every seventh is closed."""
    numbers = range(1, count + 1)
    return [
        Account(number, _CURRENCIES[number % len(_CURRENCIES)], "Closed" if number % 7 == 0 else "Active")
        for number in numbers
    ]


def precise(moment: datetime, zone: str = "Z") -> str:
    """Return a time with seven digits of a second, such as `2023-09-23T14:53:52.8581798Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0{zone}"
