"""The banks of a rehearsal: simulators on loopback in this process, that make callbacks anew and answer about payments.

Ids, amounts and references are made up; of a captured day types and sizes alone are taken over. Each callback is
signed, encrypted or marked by the simulator exactly as the bank does it.
"""

import base64
import random
import secrets
import string
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from receiver.simulator import banking_circle, banqup, bcb, connectpay, standard_webhooks
from receiver.simulator.banking_circle.notifications import KINDS, notification
from receiver.simulator.banqup.bank import Payment as BanqupPayment
from receiver.simulator.banqup.bank import message as banqup_message
from receiver.simulator.bcb.payments import ItemResult, Job
from receiver.simulator.bcb.payments import Payment as BcbPayment
from receiver.simulator.connectpay.bank import EVENTS
from receiver.simulator.connectpay.bank import Payment as ConnectPayPayment
from receiver.simulator.connectpay.bank import message as connectpay_message
from receiver.simulator.json_bodies import dumps
from receiver.simulator.outbox import Callback, Message, Sending
from receiver.simulator.scripts import Script
from receiver.simulator.sender import Attempt
from receiver.simulator.server import BankServer
from receiver.simulator.standard_webhooks.bank import message_id

REQUESTS = "1000000"
"""How many requests of the banks' APIs a source may use: the limits of a whole day have no place in minutes."""

ACCOUNT = "1046406142"


@dataclass(frozen=True)
class Made:
    """One callback: what goes over the wire, and what each thing that it tells is about."""

    callback: Callback
    url: str
    subjects: tuple[str, ...]


class RehearsedBank(ABC):
    """One source's bank."""

    bank: ClassVar[str]
    sends_batches: ClassVar[bool] = False
    dates_signatures: ClassVar[bool] = False
    """Whether what it signed too long ago is late, and its API can confirm it."""
    rotates: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {}
    """Of the source at the receiver."""

    simulator: BankServer[Any, Any]
    secret: str

    @property
    def base_url(self) -> str | None:
        """Where its API is, on loopback; none where it has none."""
        return self.simulator.url

    @property
    def credentials(self) -> dict[str, str]:
        """The API credentials as the receiver stores them."""
        return {"client_id": "simulator-client", "client_secret": "simulator-secret"}

    def make(self, url: str, types: Sequence[str], size: int, rng: random.Random, *, forged: bool = False) -> Made:
        """Make one callback about new things for the source's address, and let the API know of them, unless forged.

        `types` are our names of the events' types, as far as the bank's simulator can make them; others become its
        usual one. `size` is how many bytes the body has, where that is more than it needs.
        """
        message, subjects = self.compose(types, size, rng, is_known=not forged)
        url += message.path
        sending = Sending("forged" if forged else "genuine")
        return Made(self.simulator.bank.compose(message, sending, url), url, subjects)

    @abstractmethod
    def compose(
        self, types: Sequence[str], size: int, rng: random.Random, *, is_known: bool
    ) -> tuple[Message, tuple[str, ...]]:
        """Return a message and what it is about."""

    def takes(self, attempt: Attempt) -> bool:
        """Tell whether the bank is content with an answer."""
        accepted: bool = self.simulator.bank.accepts(attempt)
        return accepted


class Bcb(RehearsedBank):
    """Deposits, and webhooks of jobs."""

    bank, dates_signatures, rotates = "bcb", True, True
    options: ClassVar[Mapping[str, str]] = {"requests_per_window": REQUESTS}

    def __init__(self) -> None:
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self.simulator = bcb.Simulator(bcb.Config(signing_secret=self.secret, rate_limit=0))

    def compose(
        self, types: Sequence[str], size: int, rng: random.Random, *, is_known: bool
    ) -> tuple[Message, tuple[str, ...]]:
        """Return a deposit's notification, or a job's webhook where that is asked for."""
        bank = self.simulator.bank
        if types[0].startswith("bcb.job"):
            job_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
            items = (ItemResult(201, None, {"accountNumber": "2000000001"}),)
            job = Job(job_id, Script.of(("Completed", 0)), bank.clock(), items)
            if is_known:
                bank.jobs.put(job_id, job)
            return bank.job_message(job), (job_id,)
        made = BcbPayment(
            f"FT{_name(rng, 12)}",
            ACCOUNT,
            _amount(rng),
            "USD",
            Script.of(("Completed", 0)),
            bank.clock(),
            details=_padding("Invoice", size - 300),
        )
        if is_known:
            bank.add_payment(made)
        return bank.deposit_message(made), (made.transaction_id,)


class BankingCircle(RehearsedBank):
    """Encrypted batches of notifications, and an API behind mutual TLS."""

    bank, sends_batches = "banking_circle", True
    options: ClassVar[Mapping[str, str]] = {"requests_per_window": REQUESTS}

    def __init__(self) -> None:
        letters = string.ascii_letters + string.digits
        self.secret = "".join(secrets.choice(letters) for _ in range(32))
        self.simulator = banking_circle.Simulator(
            banking_circle.Config(encryption_key=self.secret, automatic=False, token_requests=0)
        )

    @property
    def credentials(self) -> dict[str, str]:
        """Those of the simulator, with the client certificate of this run."""
        files = self.simulator.certificates  # type: ignore[attr-defined]
        return {
            "username": "simulator-user",
            "password": "simulator-password",
            "certificate": base64.b64encode(files.client_pfx.read_bytes()).decode(),
            "passcode": "simulator-passcode",
            "ca_certificate": base64.b64encode(files.ca.read_bytes()).decode(),
        }

    def compose(
        self, types: Sequence[str], size: int, rng: random.Random, *, is_known: bool
    ) -> tuple[Message, tuple[str, ...]]:
        """Return a batch of notifications, each about a payment of its own."""
        bank, made, subjects = self.simulator.bank, [], []
        for type_ in types:
            kind = _KINDS.get(type_.removeprefix("banking_circle."), "IncomingPaymentProcessed")
            status = "Rejected" if kind == "OutgoingPaymentRejected" else "Processed"
            payment = bank.add_payment(
                str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                amount=_amount(rng),
                classification="Incoming" if kind.startswith("Incoming") else "Outgoing",
                script=Script.of((status, 0)),
                # UTF-16 takes two bytes for a letter.
                remittance=[_padding("Invoice", size // len(types) // 2 - 900)],
                announced=False,
                is_known=is_known,
            )
            made.append(notification(payment, kind, bank.config, bank.clock()))
            subjects.append(payment.payment_id)
        (message,) = bank.batches(made)
        return message, tuple(subjects)


_ABOUT_PAYMENTS = ("IncomingPaymentProcessed", "OutgoingPaymentProcessed", "OutgoingPaymentRejected")
_KINDS = {
    "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_"): kind
    for kind in KINDS
    if kind in _ABOUT_PAYMENTS
}
"""Our name of each kind of notification that is about a payment's end."""


class ConnectPay(RehearsedBank):
    """A bare token in a header, answered by exactly `OK`; two questions a second at most."""

    bank = "connectpay"
    options: ClassVar[Mapping[str, str]] = {
        "allowed_addresses": "127.0.0.1/32",
        "status_path": "/baas-sca/payments/partner/payments/{paymentOrderNo}/status",
    }

    def __init__(self) -> None:
        self.secret = str(uuid.uuid4())
        self.simulator = connectpay.Simulator(connectpay.Config(token=self.secret, automatic=False))

    @property
    def credentials(self) -> dict[str, str]:
        """The partner's of the simulator."""
        return {"client_key": "ConnectPay", "client_secret": "EasyBanking"}

    def compose(
        self, types: Sequence[str], size: int, rng: random.Random, *, is_known: bool
    ) -> tuple[Message, tuple[str, ...]]:
        """Return an event of a payment order."""
        bank = self.simulator.bank
        event = types[0].rpartition(".")[2].capitalize()
        status = next((each for each, name in EVENTS.items() if name == event), "ACSC")
        payment = ConnectPayPayment(
            f"PO{_name(rng, 10)}",
            _amount(rng),
            "EUR",
            "Outgoing",
            Script.of((status, 0)),
            bank.clock(),
            announced=False,
        )
        if is_known:
            bank.payments.put(payment.order, payment)
        ids = {**payment.ids(), "paymentDetails": _padding("Invoice", size - 200)}
        return connectpay_message(f"OutgoingPayment.{EVENTS[status]}", ids, bank.config), (payment.order,)


class Banqup(RehearsedBank):
    """Messages with a token in a header, and an API behind TLS."""

    bank = "banqup"
    options: ClassVar[Mapping[str, str]] = {"token_in": "header"}

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(24)
        self.simulator = banqup.Simulator(banqup.Config(header_token=self.secret, automatic=False))

    @property
    def credentials(self) -> dict[str, str]:
        """The client's of the simulator, and the authority of its certificate."""
        ca = self.simulator.ca  # type: ignore[attr-defined]
        return {**super().credentials, "ca_certificate": base64.b64encode(ca.read_bytes()).decode()}

    def compose(
        self, types: Sequence[str], size: int, rng: random.Random, *, is_known: bool
    ) -> tuple[Message, tuple[str, ...]]:
        """Return a message about a payment."""
        bank = self.simulator.bank
        status = "FAILED" if types[0].endswith(".failed") else "PAID"
        payment = BanqupPayment(
            str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            bank.config.space,
            _amount(rng),
            "EUR",
            ("BANK_PROCESSING_ERROR",),
            Script.of((status, 0)),
            bank.clock(),
            announced=False,
        )
        if is_known:
            bank.payments.put(payment.payment_id, payment)
        fields = {"note": _padding("Invoice", size - 500)}
        message = banqup_message("payment", payment.payment_id, bank.config, fields, payment.state(status))
        return message, (payment.payment_id,)


class StandardWebhooks(RehearsedBank):
    """Signed messages of any type; there is no API to ask."""

    bank = "standard_webhooks"

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self.simulator = standard_webhooks.Simulator(standard_webhooks.Config(secret=self.secret))

    base_url = None

    @property
    def credentials(self) -> dict[str, str]:
        """None, as there is no API."""
        return {}

    def compose(
        self, types: Sequence[str], size: int, rng: random.Random, *, is_known: bool
    ) -> tuple[Message, tuple[str, ...]]:
        """Return a message with an id of its own; nobody can ask about it."""
        del is_known
        name = types[0].removeprefix("standard_webhooks.").removesuffix("unrecognised")
        data = {"amount": str(_amount(rng)), "currency": "EUR", "note": _padding("Invoice", size - 200)}
        found = message_id()
        return Message(found, dumps({"type": name or "payment.completed", "data": data})), (found,)


BANKS: dict[str, type[RehearsedBank]] = {
    each.bank: each for each in (Bcb, BankingCircle, StandardWebhooks, ConnectPay, Banqup)
}
"""Every bank that has a simulator, by the name that sources call it."""


def _name(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(string.ascii_uppercase + string.digits, k=length))


def _amount(rng: random.Random) -> Decimal:
    return Decimal(rng.randint(1, 10 ** rng.randint(3, 7))) / 100


def _padding(text: str, size: int) -> str:
    return text + " x" * max(0, (size - len(text)) // 2)
