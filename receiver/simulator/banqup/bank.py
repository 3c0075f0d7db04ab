"""The state of the bank: its payments, the listeners that were registered, and the messages to them.

A message is JSON, proven by nothing but a token in a header where one is set, or a secret in the address.
"""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Literal, cast, get_args

from werkzeug.wrappers import Response

from receiver.simulator.answers import dumps, json_answer
from receiver.simulator.bank import SimulatedBank, current_bank
from receiver.simulator.banqup.config import Config, ErrorShape
from receiver.simulator.outbox import Callback, Message, Sending
from receiver.simulator.scripts import Clock, Registry, Script, Scripted, Sleep

Variant = Literal["genuine", "again", "forged", "no-token", "not-json"]
"""`forged` shows another token; `not-json` is cut in half."""


Category = Literal["document", "entity", "file", "payment", "paymentInformation", "space", "spaceAsset"]

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
    announced: bool = True

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
    category: Category, resource_id: str, config: Config, fields: Mapping[str, object], state: Mapping[str, object]
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


class Bank(SimulatedBank[Config]):
    """Tokens, payments and the listeners that were registered."""

    error_shapes = get_args(ErrorShape)

    def __init__(self, config: Config, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up, with no payment and no listener."""
        super().__init__(config, clock, sleep)
        self.payments: Registry[Payment] = Registry()
        self.extensions: list[Mapping[str, object]] = []
        self.listener: str | None = None

    def callback_url(self) -> str | None:
        """Return the address of the listener, or the configured one."""
        return self.listener or self.config.callback_url

    def announce_changes(self) -> None:
        """Send a message for each change of a payment's status."""
        config = self.config
        for payment, status in self.payments.take_changes(self.clock()):
            if config.automatic and self.callback_url() is not None:
                state = payment.state(status)
                self.outbox.spawn([message("payment", payment.payment_id, config, {}, state)])

    def compose(self, message: Message, sending: Sending, url: str) -> Callback:  # noqa: ARG002 - no address is signed
        """Return a message with a token where there is one; each try is the same."""
        config, variant = self.config, sending.variant
        headers = {"Content-Type": "application/json"}
        if variant == "forged":
            headers[config.token_header] = secrets.token_urlsafe(24)
        elif config.header_token is not None and variant != "no-token":
            headers[config.token_header] = config.header_token
        text = message.text[: len(message.text) // 2] if variant == "not-json" else message.text
        return Callback(text.encode(), lambda: headers)

    def render_error(self, status: int, error: str, message: str, shape: str) -> Response:
        """Return an error like problem details, its time in one of two forms."""
        now = self.clock()
        time = format_datetime(now, usegmt=True) if shape == "rfc1123" else f"{now:%Y-%m-%dT%H:%M:%SZ}"
        body: dict[str, object] = {
            "status": status,
            "error": error,
            "timestamp": time,
            "title": error,
            "detail": message,
        }
        if shape == "iso":
            body |= {"requestId": str(uuid.uuid4()), "type": "about:blank", "instance": "/"}
        return json_answer(body, status)


def bank() -> Bank:
    """Return the bank that serves the current request."""
    return cast(Bank, current_bank())
