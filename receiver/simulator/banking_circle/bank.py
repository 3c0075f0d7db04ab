"""The state of the bank: its user's accounts and payments, and the encrypted batches that tell of them."""

import itertools
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, cast, get_args

from werkzeug.wrappers import Response

from receiver.simulator.bank import FixedWindow, SimulatedBank, current_bank
from receiver.simulator.banking_circle import payments
from receiver.simulator.banking_circle.config import Config, ErrorShape
from receiver.simulator.banking_circle.notifications import encrypt, kinds_of, notification, subject_of
from receiver.simulator.banking_circle.payments import Account, Classification, Payment, Payments
from receiver.simulator.json_bodies import dumps, json_answer
from receiver.simulator.outbox import REPEATED, Callback, Message, Sending
from receiver.simulator.scripts import Clock, Script, Sleep
from receiver.simulator.tls import CertificateFiles

REENCRYPTED = "again-encrypted"
"""The variant whose text is that of the callback before, newly encrypted."""

BatchOrder = Literal["kept", "reversed", "shuffled"]


@dataclass
class Subscription:
    """One subscription; `receiver.simulator.banking_circle.subscriptions` has its endpoints."""

    endpoint: str
    status: int
    key: str = field(repr=False)
    description: str | None = None
    version: int = 1
    events: dict[int, list[str]] = field(default_factory=dict)
    subscription_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def as_json(self) -> dict[str, object]:
        """Return the subscription as the bank shows it."""
        return {
            "subscriptionId": self.subscription_id,
            "endpoint": self.endpoint,
            "status": self.status,
            "description": self.description,
            "rowVersion": f"v{self.version}",
            "subscriptionEvents": [
                {"eventType": event, "targetIds": targets} for event, targets in self.events.items()
            ],
        }


class Bank(SimulatedBank[Config]):
    """The user's tokens, accounts and payments, and the limit on token requests."""

    error_shapes = get_args(ErrorShape)
    repeating = frozenset({REPEATED, REENCRYPTED})

    def __init__(self, config: Config, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up, with accounts and no payment; its server says where the certificates lie."""
        super().__init__(config, clock, sleep)
        self.certificates: CertificateFiles | None = None
        self.payments = Payments()
        self.subscriptions: dict[str, Subscription] = {}
        self.accounts: list[Account] = payments.made_up_accounts(config.accounts)
        self.rows: list[object] = []
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
        at: datetime | None = None,
        is_known: bool = True,
    ) -> Payment:
        """Take up a payment, or replace the one with its id; without a script it goes the way of its amount.

        It was made `at` (UTC; None: now). One that is not known is made, and the bank knows nothing of it.
        """
        now, config = at or self.clock(), self.config
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
            self.number_of(account_id or account),
        )
        if is_known:
            self.payments.put(payment.payment_id, payment)
        return payment

    def number_of(self, account_id: str) -> str | None:
        """Return by what an account is known outside the bank: its IBAN."""
        return next((account.iban for account in self.accounts if account.account_id == account_id), None)

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
