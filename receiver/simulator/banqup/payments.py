"""Payments, and the messages that tell of them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from receiver.simulator.banqup.config import Config
from receiver.simulator.book import Scripted
from receiver.simulator.json_text import dumps
from receiver.simulator.parcels import Message
from receiver.simulator.scripts import Script

CATEGORIES = ("document", "entity", "file", "payment", "paymentInformation", "space", "spaceAsset")

PATH = "/messages"
"""Where messages go, below the listener's base path."""


@dataclass(frozen=True)
class Payment(Scripted):
    """One payment in a space."""

    payment_id: str
    space: str
    amount: Decimal
    currency: str
    reasons: tuple[str, ...]
    script: Script
    started: datetime
    told: bool = True

    def state(self, status: str) -> dict[str, object]:
        """Return what is said of the payment in `status`, with the level of certainty where it is not certain."""
        word, _, level = status.partition(" ")
        form = "PENDING" if word == "RECEIVED" else "COMPLETED"
        said: dict[str, object] = {
            "status": {
                "payment": word,
                "reason": list(self.reasons) if word == "FAILED" else [],
                "auth": f"{form}:https://bank.example/auth?payment={self.payment_id}",
            }
        }
        return said | ({"levelOfCertainty": level} if level else {})

    def as_json(self, status: str, form: str) -> dict[str, object]:
        """Return the payment as the bank's API shows it."""
        state = self.state(status)
        if form == "plain":
            state["status"] = status.partition(" ")[0]
        amount = {"value": self.amount, "currency": self.currency}
        return {"id": self.payment_id, "spaceId": self.space, "amount": amount, **state}


def message(
    category: str, resource_id: str, config: Config, fields: Mapping[str, object], state: Mapping[str, object]
) -> Message:
    """Return a message about a resource, with an id of its own; `fields` stand in the envelope, or replace its own."""
    in_data = config.status_in == "data"
    body = {
        "id": str(uuid.uuid4()),
        "audience": f"space:{config.space}",
        "category": category,
        "type": f"{category}.changed",
        "scope": "space",
        "subject": resource_id,
        "resourceId": resource_id,
        "channel": f"{category}/{config.space}",
        "data": {"relatedDocumentId": str(uuid.uuid4()), "spaceId": config.space, **(state if in_data else {})},
        **({} if in_data else state),
        **fields,
    }
    return Message(resource_id, dumps(body), path=PATH)
