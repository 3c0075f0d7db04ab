"""What a simulated Banking Circle is started with."""

import base64
import binascii
import itertools
import random
import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self, cast, get_args

from pydantic import Field, model_validator
from werkzeug.wrappers import Response

from receiver.simulator.answers import dumps, json_answer
from receiver.simulator.bank import FixedWindow, SimulatedBank, current_bank
from receiver.simulator.banking_circle import payments
from receiver.simulator.banking_circle.notifications import encrypt, kinds_of, notification, subject_of
from receiver.simulator.banking_circle.payments import Account, Classification, Payment, Payments
from receiver.simulator.options import FIXED, BankConfig
from receiver.simulator.outbox import REPEATED, Callback, Message, Sending
from receiver.simulator.scripts import Clock, Script, Sleep
from receiver.simulator.tls import CertificateFiles
from receiver.simulator.validation import Port, Seconds, SecondsTuple, Whole

EXAMPLE_KEY = "simulator-key-of-32-characters-!"
"""Thirty-two characters, as a client chooses them at subscription."""

RETRY_DELAYS = (15.0, 30.0, 60.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 43200.0, 86400.0, 172800.0)
"""The bank's schedule: 15 s, 30 s, 1 m, 10 m, 30 m, 1 h, 2 h, 6 h, 12 h, 24 h, 48 h."""

KeyEncoding = Literal["utf8", "base64"]

ErrorShape = Literal["errors", "validation", "properties", "problem", "code", "empty"]


class Config(BankConfig):
    """The bank's one user and one subscription, and how the bank behaves; all times are in seconds.

    Fixed at the start: `username`, `password`, `passcode` (of the PFX files), `folder` (where the certificates are
    written; a temporary one without), `certificate_days` (how long the client's certificate lasts), `tls_version` (the
    newest spoken; the oldest is 1.2), `accounts` (how many there are), `control_port`.

    Authorization: `token_requests` are allowed in `token_window_seconds` for each address (0: no limit; the bank's own
    numbers are not published). `expires_in` is a `text` or a `number`; `token_type` is there `sometimes` (in every
    other answer), `always` or `never`.

    Answers: lists spell their names `lower` (`result`), `upper` (`Result`) or `alternate`; without `row_count` it is
    null; `accounts_shape` `bare` answers with the first account alone; `errors_form` is how a rejected payment says
    why.

    Callbacks: `encryption_key` is 32 characters as they are (`utf8`) or the Base64 of 32 bytes. With `automatic` each
    change of a payment's status is announced by itself, `batch_size` notifications in a callback at most. `booked` says
    when, beside Processed, Booked is sent: `after`, `before` or `never`. `envelope` is an `object` or a bare `array`.

    `speed` also speeds up what the sandbox amounts do; `pending_seconds` is how long a payment is PendingProcessing.
    """

    retry_delays: SecondsTuple = RETRY_DELAYS
    username: Annotated[str, FIXED] = "simulator-user"
    password: Annotated[str, FIXED] = Field(default="simulator-password", repr=False)
    passcode: Annotated[str, FIXED] = Field(default="simulator-passcode", repr=False)
    folder: Annotated[str | None, FIXED] = None
    certificate_days: Annotated[Seconds, FIXED] = 365.0
    tls_version: Annotated[Literal["1.2", "1.3"], FIXED] = "1.2"
    accounts: Annotated[Whole, FIXED] = 3
    control_port: Annotated[Port, FIXED] = 0
    token_lifetime_seconds: Seconds = 300.0
    token_requests: Whole = 10
    token_window_seconds: Seconds = 60.0
    expires_in: Literal["text", "number"] = "text"
    token_type: Literal["sometimes", "always", "never"] = "sometimes"  # noqa: S105 - no secret
    spelling: Literal["lower", "upper", "alternate"] = "lower"
    row_count: bool = True
    accounts_shape: Literal["page", "bare"] = "page"
    error_shape: ErrorShape = "errors"
    errors_form: Literal["array", "text"] = "array"
    encryption_key: str = Field(default=EXAMPLE_KEY, repr=False)
    key_encoding: KeyEncoding = "utf8"
    subscription_version: Whole = 1
    automatic: bool = True
    batch_size: Annotated[int, Field(ge=1, le=1000)] = 1000
    booked: Literal["after", "before", "never"] = "after"
    envelope: Literal["object", "array"] = "object"
    byte_order_mark: bool = False
    pending_seconds: Seconds = 2.0

    @model_validator(mode="after")
    def _key_fits(self) -> Self:
        self.key()
        return self

    def key(self) -> bytes:
        """Return the 32 bytes that callbacks are encrypted with.

        Raises:
            ValueError: where there are not 32.
        """
        try:
            encoded = self.key_encoding == "base64"
            key = base64.b64decode(self.encryption_key, validate=True) if encoded else self.encryption_key.encode()
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError("encryption_key must be Base64 where key_encoding says so") from error
        if len(key) != 32:
            raise ValueError(f"encryption_key must be 32 bytes, not {len(key)}")
        return key


REENCRYPTED = "again-encrypted"
"""The variant whose text is that of the callback before, newly encrypted."""

BatchOrder = Literal["kept", "reversed", "shuffled"]


class Bank(SimulatedBank[Config]):
    """The user's tokens, accounts and payments, and the limit on token requests."""

    error_shapes = get_args(ErrorShape)
    repeating = frozenset({REPEATED, REENCRYPTED})

    def __init__(self, config: Config, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up, with accounts and no payment; its server says where the certificates lie."""
        super().__init__(config, clock, sleep)
        self.certificates: CertificateFiles | None = None
        self.payments = Payments()
        self.accounts: list[Account] = payments.made_up_accounts(config.accounts)
        self.answers = itertools.count()
        self._numbers = itertools.count(1)
        self._limit = FixedWindow(clock)

    def token_wait(self, address: str) -> float | None:
        """Count one token request of `address`; return None where it is allowed, else the seconds to wait."""
        return self._limit.take(address, self.config.token_requests, self.config.token_window_seconds)

    def add_payment(
        self,
        payment_id: str | None = None,
        *,
        amount: Decimal = Decimal("100.00"),
        currency: str = "EUR",
        classification: Classification = "Outgoing",
        reference: str | None = None,
        account_id: str | None = None,
        script: Script | None = None,
        remittance: Sequence[str] = ("Invoice 1",),
        is_return: bool = False,
        announced: bool = True,
    ) -> Payment:
        """Take up a payment, or replace the one with its id; without a script it goes the way of its amount."""
        now, config = self.clock(), self.config
        outgoing = classification == "Outgoing"
        sandbox = payments.sandbox_script(amount, config.pending_seconds).faster(config.speed)
        comes_back = script is None and amount == payments.RETURNED and outgoing
        account = self.accounts[0].account_id if self.accounts else str(uuid.uuid4())
        payment = Payment(
            payment_id or str(uuid.uuid4()),
            reference or self._reference(now),
            account_id or account,
            amount,
            currency,
            classification,
            script or (sandbox if outgoing else Script.of(("Processed", 0))),
            now,
            tuple(remittance),
            is_return,
            payments.SANDBOX_SECONDS / config.speed if comes_back else None,
            announced,
        )
        self.payments.put(payment.payment_id, payment)
        return payment

    def announce_changes(self) -> None:
        """Send notifications of what has changed, money that comes back among it."""
        now, config = self.clock(), self.config
        for original in self.payments.take_returned(now):
            returned = original.returned(str(uuid.uuid4()), self._reference(now), now)
            self.payments.put(returned.payment_id, returned)
        changes = self.payments.take_changes(now)
        if config.automatic and config.callback_url is not None:
            made = [
                notification(payment, kind, config, now)
                for payment, status in changes
                for kind in kinds_of(payment, status, config.booked)
            ]
            if made:
                self.outbox.spawn(self.batches(made))

    def batches(
        self, notifications: Sequence[dict[str, object]], size: int | None = None, order: BatchOrder = "kept"
    ) -> list[Message]:
        """Return messages of `size` notifications at most (None: as the options say), in the given order."""
        ordered = list(notifications)
        if order == "reversed":
            ordered.reverse()
        elif order == "shuffled":
            random.SystemRandom().shuffle(ordered)
        size = size or self.config.batch_size
        return [self._message(ordered[first : first + size]) for first in range(0, len(ordered), size)]

    def failures_allowed(self) -> int:
        """Return 0: the first callback that is given up switches the subscription off."""
        return 0

    def compose(self, message: Message, sending: Sending, url: str) -> Callback:  # noqa: ARG002 - no address is signed
        """Return a message encrypted, or spoilt as the variant says; each try is the same."""
        text = self.outbox.earlier(message).message.text if sending.variant == REENCRYPTED else message.text
        content, headers = encrypt(text, self.config, sending.variant)
        return Callback(content, lambda: headers)

    def render_error(self, status: int, error: str, message: str, shape: str) -> Response:
        """Return an error; the bank has no one format, so any of six may come."""
        if shape == "empty":
            return Response(b"", status)
        answer = json_answer(_error_body(status, error, message, shape), status)
        if shape == "problem":
            answer.content_type = "application/problem+json"
        return answer

    def _message(self, batch: list[dict[str, object]]) -> Message:
        envelope = {"notifications": batch} if self.config.envelope == "object" else batch
        return Message(subject_of(batch[0]), dumps(envelope, ascii_only=False), len(batch))

    def _reference(self, now: datetime) -> str:
        return payments.reference(next(self._numbers), now)


def bank() -> Bank:
    """Return the bank that serves the current request."""
    return cast(Bank, current_bank())


def _error_body(status: int, error: str, message: str, shape: str) -> object:
    match shape:
        case "validation":
            kind = "https://tools.ietf.org/html/rfc7231#section-6.5.1"
            return {"type": kind, "title": error, "status": status, "errors": {"request": [message]}}
        case "properties":
            return {"errors": [{"propertyName": "request", "errorCode": error, "errorDescription": message}]}
        case "problem":
            return {"type": "about:blank", "title": error, "status": status, "detail": message}
        case "code":
            return {"errorCode": error, "errorMessage": message}
        case _:
            return {"errors": [{"httpStatus": status, "errorCode": error, "keyOrMessage": message}]}
