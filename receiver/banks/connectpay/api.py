"""ConnectPay's API: payments, calls in a user's name, and what its statuses mean."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from receiver.banks import json_values
from receiver.banks.connectpay import options
from receiver.banks.errors import AnswerUnreadable, BankError, NotKnown
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer
from receiver.signing import addresses

PAYMENT_STATUSES = {"RCVD": "pending", "PDNG": "pending", "ACSC": "completed", "RJCT": "rejected"}


@dataclass(frozen=True)
class Kind:
    """A type of event: its name here, and the bank's status that it claims of a payment."""

    name: str
    bank_status: str | None = None


KINDS = {
    "outgoingpayment.created": Kind("outgoing_payment.created", "RCVD"),
    "outgoingpayment.processing": Kind("outgoing_payment.processing", "PDNG"),
    "outgoingpayment.completed": Kind("outgoing_payment.completed", "ACSC"),
    "outgoingpayment.rejected": Kind("outgoing_payment.rejected", "RJCT"),
    "incomingpayment.completed": Kind("incoming_payment.completed", "ACSC"),
    "account.balancechanged": Kind("account.balance_changed"),
    "baaspersonidv.approved": Kind("person_idv.approved"),
    "baaspersonidv.declined": Kind("person_idv.declined"),
    "baasperson.docexpiry": Kind("person.doc_expiry"),
    "baasapplication.compliancereview": Kind("application.compliance_review"),
    "baasapplication.applicationapproved": Kind("application.approved"),
    "baasapplication.applicationdeclined": Kind("application.declined"),
}
"""By the bank's name in small letters, because its casing varies."""

FAMILIES = {"baascardapplication": "card_application", "baascard": "card"}
"""Documented as `BaaSCardApplication.*` and `BaaSCard.*`: whatever stands behind the full stop."""

_WORD = re.compile(r"[a-z0-9_]{1,40}")


def kind(event_type: str) -> Kind | None:
    """Return what a type of event means here, however it is cased; none where it is not known."""
    written = event_type.strip().lower()
    family, _, word = written.partition(".")
    if family in FAMILIES and _WORD.fullmatch(word):
        return Kind(f"{FAMILIES[family]}.{word}")
    return KINDS.get(written)


def payment_status(bank_status: str) -> str:
    """Return our word for a payment's state."""
    return PAYMENT_STATUSES.get(bank_status.strip().upper(), "unknown")


API_KEY = "x-connectpay-api-key"

NO_PAYMENT = "0"
"""No payment order has this number: asking for it shows that the API is reached and the key is taken."""


def key(credentials: Mapping[str, str]) -> str:
    """Return Base64 of `ClientKey:ClientSecret`."""
    return base64.b64encode(f"{credentials['client_key']}:{credentials['client_secret']}".encode()).decode()


def authorization(made_key: str, given: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the header of a partner call: the bank's documents show the key both bare and behind `Basic `."""
    return {API_KEY: f"Basic {made_key}" if given.get("api_key") == "basic" else made_key}


def payment(connection: HttpClient, order: str) -> Answer:
    """Ask for the status of a payment order.

    Raises:
        BankError
    """
    fields = call(connection, _status_path(connection, order))
    found = json_values.first(fields, "paymentStatus", "transactionStatus") if isinstance(fields, dict) else None
    if found is None:
        raise AnswerUnreadable("the payment's status has neither `paymentStatus` nor `transactionStatus`")
    return Answer(found, payment_status(found))


def reach(connection: HttpClient) -> None:
    """Make a call that the bank answers only where it takes the key.

    Raises:
        BankError
    """
    try:
        call(connection, _status_path(connection, NO_PAYMENT))
    except NotKnown:
        return


def _status_path(connection: HttpClient, order: str) -> str:
    template = str(connection.options.get("status_path", options.STATUS_PATH))
    return template.replace("{paymentOrderNo}", quote(order, safe=""))


CLIENT = "/client/"
TOKEN_LIVES = timedelta(minutes=5)


class UserNeeded(BankError):
    """A client call lacks the user's token, or the user's address, or the token is too old."""

    outcome = "user_needed"


@dataclass(frozen=True)
class User:
    """A user for one call: the token that a login with SMS code gave, when it was given, and the user's own address."""

    token: str = field(repr=False)
    given_at: datetime
    psu_address: str


def call(connection: HttpClient, path: str, user: User | None = None) -> Any:
    """Return the parsed JSON of `GET path`: with the user's token and `PSU-IP-Address` where it is a client call.

    A partner call never carries a user's token.

    Raises:
        UserNeeded: it is a client call, and what it needs is missing. Nothing is sent then.
        BankError
    """
    if CLIENT not in path:
        return connection.get(path)
    if user is None or not user.token:
        raise UserNeeded(f"{path} is a client call: it needs the token of a user who has logged in, for this one call")
    if not user.psu_address or addresses.address(user.psu_address) is None:
        raise UserNeeded(f"{path} is a client call: it needs the user's own IP address (PSU-IP-Address)")
    if connection.clock() - user.given_at >= TOKEN_LIVES:
        raise UserNeeded(f"{path} is a client call: the user's token is older than 5 minutes and must be refreshed")
    return connection.get(path, {"Authorization": f"Bearer {user.token}", "PSU-IP-Address": user.psu_address})
