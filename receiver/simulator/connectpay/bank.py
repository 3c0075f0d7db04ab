"""A simulated ConnectPay: its options at the start, its payments, and what it tells of them."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, cast, get_args

from pydantic import AfterValidator, Field
from werkzeug.wrappers import Response

from receiver.simulator.bank import FixedWindow, SimulatedBank, current_bank
from receiver.simulator.json_bodies import Seconds, SecondsTuple, StatusScript, Whole, dumps, json_answer
from receiver.simulator.options import BankConfig
from receiver.simulator.outbox import Callback, Message, Sending
from receiver.simulator.scripts import Clock, Registry, Script, Scripted, Sleep
from receiver.simulator.sender import Attempt

EXAMPLE_TOKEN = "6f1c0c2e-7d0b-4c0e-9b7a-2f4f8f7f5a10"  # noqa: S105 - 36 characters, as the bank's are
RETRY_DELAYS = (5.0, 5.0, 30.0, 300.0, 3600.0, 86400.0)
"""The bank's schedule: 5 s, 5 s, 30 s, 5 min, 60 min, 24 h."""

PAYMENT_SCRIPT = Script.of(("RCVD", 1), ("PDNG", 1), ("ACSC", 0))

ErrorShape = Literal["message", "text", "empty"]


def _status_path(path: str) -> str:
    if not path.startswith("/") or "{paymentOrderNo}" not in path:
        raise ValueError("must be a path with {paymentOrderNo} in it")
    return path


class Config(BankConfig):
    """The bank's one partner, and how the bank behaves; all times are in seconds.

    `api_key` says which spelling of the partner's key is taken: `bare`, `basic` (behind `Basic `) or `either`.
    `user_token_seconds` is how long a user's token lives. `requests_per_second` are allowed for each partner or user
    (0: no limit).

    `status_path` is where the SCA API answers with a payment's status; the bank's own path is not published.

    Callbacks: `token` goes in the header `token_header`; `timestamp` is in `seconds`, `milliseconds` or an `iso` time.
    `type_field` is the field that names the type, `casing` how it is written, and `envelope` whether the ids stand
    beside it (`flat`) or in `data`. After `failures_allowed` failed ones the next switches the service off, until it is
    switched on. With `automatic` each change of a payment's status is announced by itself.
    """

    retry_delays: SecondsTuple = RETRY_DELAYS
    client_key: str = "ConnectPay"
    client_secret: str = Field(default="EasyBanking", repr=False)
    api_key: Literal["either", "bare", "basic"] = "either"
    user_token_seconds: Seconds = 300.0
    requests_per_second: Whole = 2
    status_path: Annotated[str, AfterValidator(_status_path)] = (
        "/baas-sca/payments/partner/payments/{paymentOrderNo}/status"
    )
    error_shape: ErrorShape = "message"
    token: str = Field(default=EXAMPLE_TOKEN, repr=False)
    token_header: str = "x-connectpay-token"  # noqa: S105 - a header's name
    timestamp: Literal["seconds", "milliseconds", "iso"] = "seconds"
    type_field: Literal["eventType", "type", "event"] = "eventType"
    casing: Literal["usual", "lower", "upper"] = "usual"
    envelope: Literal["flat", "data"] = "flat"
    failures_allowed: Whole = 99
    automatic: bool = True
    payment_script: StatusScript = PAYMENT_SCRIPT


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
