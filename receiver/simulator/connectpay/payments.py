"""Payment orders, and what the bank tells of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, get_args

from receiver.simulator.book import Scripted
from receiver.simulator.connectpay.config import Config
from receiver.simulator.json_text import dumps
from receiver.simulator.parcels import Message
from receiver.simulator.scripts import Script

Direction = Literal["Outgoing", "Incoming"]

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

EVENTS = {"RCVD": "Created", "PDNG": "Processing", "ACSC": "Completed", "RJCT": "Rejected"}

TYPES = (
    *(f"OutgoingPayment.{event}" for event in EVENTS.values()),
    "IncomingPayment.Completed",
    "Account.BalanceChanged",
    "BaaSPersonIdv.Approved",
    "BaaSPersonIdv.Declined",
    "BaaSPerson.DocExpiry",
    "BaasApplication.ComplianceReview",
    "BaasApplication.ApplicationApproved",
    "BaasApplication.ApplicationDeclined",
    "BaaSCardApplication.Approved",
    "BaaSCard.Activated",
)
"""The types of event that the bank names; after `BaaSCardApplication.` and `BaaSCard.` others may stand."""


@dataclass(frozen=True)
class Payment(Scripted):
    """One payment order."""

    order: str
    amount: Decimal
    currency: str
    direction: Direction
    script: Script
    started: datetime
    external_reference: str | None = None
    told: bool = True

    def event(self, status: str) -> str | None:
        """Return the type of event that tells of a status; of an incoming payment only its completion is told."""
        if status not in EVENTS or (self.direction == "Incoming" and status != "ACSC"):
            return None
        return f"{self.direction}Payment.{EVENTS[status]}"

    def ids(self) -> dict[str, object]:
        """Return what a callback says of the payment."""
        return {
            "paymentOrderNo": self.order,
            "transactionId": f"T{self.order}",
            "externalReference": self.external_reference,
            "amount": self.amount,
            "currency": self.currency,
        }


def message(kind: str, ids: dict[str, object], config: Config) -> Message:
    """Return the callback for one event."""
    named = {"usual": kind, "lower": kind.lower(), "upper": kind.upper()}[config.casing]
    body = {config.type_field: named, **({"data": ids} if config.envelope == "data" else ids)}
    return Message(str(ids.get("paymentOrderNo") or kind), dumps(body))
