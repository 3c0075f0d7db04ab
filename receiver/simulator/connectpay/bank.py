"""The state of the bank: users' tokens and payment orders, and the callbacks that tell of them.

A callback is JSON with a token in a header and a time, which nothing binds to each other.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, cast, get_args

from werkzeug.wrappers import Response

from receiver.simulator.answers import dumps, json_answer
from receiver.simulator.bank import SimulatedBank, current_bank
from receiver.simulator.connectpay.config import Config, ErrorShape
from receiver.simulator.limits import FixedWindow
from receiver.simulator.outbox import Callback, Message, Sending
from receiver.simulator.scripts import Clock, Registry, Script, Scripted, Sleep
from receiver.simulator.sender import Attempt

Variant = Literal["genuine", "again", "forged", "no-token", "no-timestamp", "not-json"]
"""`forged` shows another token; `not-json` is cut in half."""


Direction = Literal["Outgoing", "Incoming"]

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
    announced: bool = True

    def event(self, status: str) -> str | None:
        """Return the type of event that tells of a status; of an incoming payment only its completion has one."""
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


class Bank(SimulatedBank[Config]):
    """Payment orders, users' tokens and the limit on requests."""

    error_shapes = get_args(ErrorShape)

    def __init__(self, config: Config, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up, with no payment."""
        super().__init__(config, clock, sleep)
        self.payments: Registry[Payment] = Registry()
        self._limit = FixedWindow(clock)

    def wait(self, caller: str) -> float | None:
        """Count one request of `caller`; return None where it is allowed, else the seconds to wait."""
        return self._limit.take(caller, self.config.requests_per_second, 1)

    def announce_changes(self) -> None:
        """Send an event for each change of a payment's status that has one."""
        config = self.config
        for payment, status in self.payments.take_changes(self.clock()):
            event = payment.event(status)
            if event is not None and config.automatic and config.callback_url is not None:
                self.outbox.spawn([message(event, payment.ids(), config)])

    def accepts(self, attempt: Attempt) -> bool:
        """Tell whether the answer is exactly 200 with the body `OK`, nothing else."""
        return attempt.status == 200 and attempt.body == b"OK"

    def failures_allowed(self) -> int:
        """Return how many callbacks may be given up before the service is off."""
        return self.config.failures_allowed

    def compose(self, message: Message, sending: Sending, url: str) -> Callback:  # noqa: ARG002 - no address is signed
        """Return a message with a token and the time; each try is the same."""
        config, variant = self.config, sending.variant
        headers = {
            "Content-Type": "application/json",
            config.token_header: str(uuid.uuid4()) if variant == "forged" else config.token,
            "x-connectpay-timestamp": _time(self.clock(), config.timestamp),
        }
        if variant == "no-token":
            del headers[config.token_header]
        if variant == "no-timestamp":
            del headers["x-connectpay-timestamp"]
        text = message.text[: len(message.text) // 2] if variant == "not-json" else message.text
        return Callback(text.encode(), lambda: headers)

    def render_error(self, status: int, error: str, message: str, shape: str) -> Response:
        """Return an error as JSON, as a text or empty; the bank's own form is not published."""
        if shape == "message":
            return json_answer({"code": error, "message": message}, status)
        return Response(message if shape == "text" else "", status, content_type="text/plain; charset=utf-8")


def bank() -> Bank:
    """Return the bank that serves the current request."""
    return cast(Bank, current_bank())


def _time(moment: datetime, form: str) -> str:
    match form:
        case "milliseconds":
            return str(int(moment.timestamp() * 1000))
        case "iso":
            return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        case _:
            return str(int(moment.timestamp()))
