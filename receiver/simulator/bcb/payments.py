"""Payments and background jobs as BCB has them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from receiver.simulator.bcb.config import Method
from receiver.simulator.json_bodies import dumps
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
class Entry:
    """An entry of an account that no payment stands behind, such as a fee, or one that is written in another way."""

    account: str
    posted: datetime
    shown: object
    """As the bank shows it."""


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


ACTIVE = ("Pending", "InProgress")
"""The statuses that `GET /v1/jobs` lists."""


@dataclass(frozen=True)
class ItemResult:
    """What became of one item: `http_status` 200 or 201 where it went well, 400 where not."""

    http_status: int
    error: str | None = None
    result: object = None

    def as_json(self, *, as_text: bool) -> dict[str, object]:
        """Return the item as `/results` shows it; `as_text` makes `resultJson` a string of JSON."""
        result = dumps(self.result) if as_text and self.result is not None else self.result
        return {"httpStatus": self.http_status, "error": self.error, "resultJson": result}


@dataclass(frozen=True)
class JobPlan:
    """How a job will go.

    `failed` is how many of its first items fail (None: one where the script ends in CompletedWithErrors, else none);
    `result_as_text` shows `resultJson` as a string; `method` signs its webhook (None: as all callbacks are).
    """

    script: Script
    failed: int | None = None
    result_as_text: bool = False
    method: Method | None = None

    def results(self, total: int) -> tuple[ItemResult, ...]:
        """Make up the results of `total` virtual accounts."""
        wanted = int(self.script.outcome == "CompletedWithErrors") if self.failed is None else self.failed
        failures = min(wanted, total)
        failed = (ItemResult(400, "Currency not provisioned for this client"),) * failures
        made = tuple(ItemResult(201, None, {"accountNumber": f"20{n:08d}"}) for n in range(1, total - failures + 1))
        return failed + made


@dataclass(frozen=True)
class Job(Scripted):
    """One job; its script starts at `started` (UTC)."""

    job_id: str
    script: Script
    started: datetime
    results: tuple[ItemResult, ...]
    result_as_text: bool = False
    method: Method | None = None
    callback_url: str | None = None
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    announced: bool = True

    def finished(self, now: datetime) -> bool:
        """Tell whether the last step of the script is reached."""
        return self.script.ended(self.age(now))

    def summary(self, now: datetime) -> dict[str, object]:
        """Return how many items there are, went well and failed: none of them before the end, or if cancelled."""
        done = self.results_at(now)
        failed = sum(1 for item in done if item.http_status >= 400)
        return {"total": len(self.results), "completed": len(done) - failed, "failed": failed}

    def results_at(self, now: datetime) -> tuple[ItemResult, ...]:
        """Return the results that are there at `now`."""
        return self.results if self.finished(now) and self.script.outcome != "Cancelled" else ()

    def as_json(self, now: datetime) -> dict[str, object]:
        """Return the job's entry, which is also the body of its webhook (by analogy: that body is not published)."""
        return {
            "jobId": self.job_id,
            "jobStatus": self.status(now),
            "eventType": "job.status",
            "summary": self.summary(now),
        }
