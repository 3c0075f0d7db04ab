"""A simulated Banqup: its options at the start, its payments, and what it tells of them."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Annotated, Literal, cast, get_args

from pydantic import Field
from werkzeug.wrappers import Response

from receiver.simulator.bank import SimulatedBank, current_bank
from receiver.simulator.json_bodies import Port, Seconds, StatusScript, dumps, json_answer
from receiver.simulator.options import FIXED, BankConfig
from receiver.simulator.outbox import Callback, Message, Sending
from receiver.simulator.scripts import Clock, Registry, Script, Scripted, Sleep

EXAMPLE_SPACE = "0f5b0e6e-5d5c-4f0f-9a57-7c1f0b2d3e4f"

PAYMENT_SCRIPT = Script.of(("RECEIVED", 1), ("PAID", 0))

ErrorShape = Literal["rfc1123", "iso"]


class Config(BankConfig):
    """The bank's one app, and how the bank behaves; all times are in seconds.

    Fixed at the start: `folder` (where `ca.pem` is written; a temporary one without) and `control_port`.

    Authorization: `token_path` is `gettoken`, `accesstoken` (the older page's) or `both`; `expiry` says how a token's
    end is written: as `expires_at`, as `expires_in` or in the `jwt` alone.

    Answers: `access` `forbidden` answers 403 to all but token requests, `not-whitelisted` answers with empty data, as
    an `object`, a `list` or `nothing` (`empty`). `status_form` shows a payment's status `nested` (`status.payment`) or
    `plain`. Errors write their time in `rfc1123` or as an `iso` time.

    Callbacks go to `{callback_url}/messages`, or below the listener that was registered; `header_token`, where there is
    one, in the header `token_header`. `status_in` says where in a message the status stands, `data` or at the `top`.
    With `automatic` each change of a payment's status is announced by itself. A status `PAID INFORMATIONAL` in a script
    is PAID, which may still change.
    """

    folder: Annotated[str | None, FIXED] = None
    control_port: Annotated[Port, FIXED] = 0
    client_id: str = "simulator-client"
    client_secret: str = Field(default="simulator-secret", repr=False)
    token_path: Literal["both", "gettoken", "accesstoken"] = "both"  # noqa: S105 - no secret
    token_lifetime_seconds: Seconds = 300.0
    expiry: Literal["expires_at", "expires_in", "jwt"] = "expires_at"
    access: Literal["granted", "forbidden", "not-whitelisted"] = "granted"
    empty: Literal["object", "list", "nothing"] = "object"
    status_form: Literal["nested", "plain"] = "nested"
    error_shape: ErrorShape = "rfc1123"
    space: str = EXAMPLE_SPACE
    header_token: str | None = Field(default=None, repr=False)
    token_header: str = "x-banqup-token"  # noqa: S105 - a header's name
    status_in: Literal["data", "top"] = "data"
    automatic: bool = True
    payment_script: StatusScript = PAYMENT_SCRIPT


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
