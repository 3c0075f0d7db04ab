"""ConnectPay's API: payments, calls in a user's name, and what its statuses mean."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from receiver.banks import json_values, urls
from receiver.banks.connectpay import options
from receiver.banks.errors import AnswerUnreadable, BankError, NotKnown
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, status_in
from receiver.signing import addresses

PAYMENT_STATUSES = {"rcvd": "pending", "pdng": "pending", "acsc": "completed", "rjct": "rejected"}

API_KEY = "x-connectpay-api-key"

NO_PAYMENT = "0"
"""No payment order has this number: asking for it shows that the API is reached and the key is taken."""

CLIENT = "/client/"
"""What stands in the path of every call in a user's name."""
TOKEN_LIVES = timedelta(minutes=5)
"""A user's token."""


def new_token(_client: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """Make the API key, which partner calls show in place of a token: Base64 of `ClientKey:ClientSecret`."""
    return base64.b64encode(f"{credentials['client_key']}:{credentials['client_secret']}".encode()).decode(), None


def authorization(key: str, given: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the header of a partner call: the bank's documents show the key both bare and behind `Basic `."""
    return {API_KEY: f"Basic {key}" if given.get("api_key") == "basic" else key}


def ask(client: HttpClient, _kind: str, order: str, _facts: Mapping[str, Any]) -> Answer:
    """Ask for the status of a payment order.

    Raises:
        BankError
    """
    fields = call(client, _status_path(client, order))
    found = json_values.first(fields, "paymentStatus", "transactionStatus") if isinstance(fields, dict) else None
    if found is None:
        raise AnswerUnreadable("the payment's status has neither `paymentStatus` nor `transactionStatus`")
    return Answer(found, status_in(PAYMENT_STATUSES, found))


def clock(client: HttpClient) -> None:
    """Make a call that the bank answers only where it takes the key; it tells no time.

    Raises:
        BankError
    """
    with suppress(NotKnown):
        call(client, _status_path(client, NO_PAYMENT))


def _status_path(client: HttpClient, order: str) -> str:
    template = str(client.options.get("status_path", options.STATUS_PATH))
    return template.replace("{paymentOrderNo}", urls.segment(order))


class UserNeeded(BankError):
    """A client call lacks the user's token, or the user's address, or the token is too old."""

    outcome = "user_needed"


@dataclass(frozen=True)
class User:
    """A user for one call: the token that a login with SMS code gave, when it was given, and the user's own address."""

    token: str = field(repr=False)
    given_at: datetime
    """UTC."""
    psu_address: str


def call(client: HttpClient, path: str, user: User | None = None) -> Any:
    """Return the parsed JSON of `GET path`: with the user's token and `PSU-IP-Address` where it is a client call.

    A partner call never carries a user's token.

    Raises:
        UserNeeded: it is a client call, and what it needs is missing. Nothing is sent then.
        BankError
    """
    if CLIENT not in path:
        return client.get(path)
    if user is None or not user.token:
        raise UserNeeded(f"{path} is a client call: it needs the token of a user who has logged in, for this one call")
    if not user.psu_address or addresses.address(user.psu_address) is None:
        raise UserNeeded(f"{path} is a client call: it needs the user's own IP address (PSU-IP-Address)")
    if client.clock() - user.given_at >= TOKEN_LIVES:
        raise UserNeeded(f"{path} is a client call: the user's token is older than 5 minutes and must be refreshed")
    return client.get(path, {"Authorization": f"Bearer {user.token}", "PSU-IP-Address": user.psu_address})
