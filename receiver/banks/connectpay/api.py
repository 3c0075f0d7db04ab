"""ConnectPay's API: the status of payments, and what it means."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from receiver.banks import json_values, urls
from receiver.banks.connectpay import options
from receiver.banks.errors import AnswerUnreadable, NotKnown
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, status_in

PAYMENT_STATUSES = {"rcvd": "pending", "pdng": "pending", "acsc": "completed", "rjct": "rejected"}

API_KEY = "x-connectpay-api-key"

NO_PAYMENT = "0"
"""No payment order has this number: asking for it shows that the API is reached and the key is taken."""


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
    fields = client.get(_status_path(client, order))
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
        client.get(_status_path(client, NO_PAYMENT))


def _status_path(client: HttpClient, order: str) -> str:
    template = str(client.options.get("status_path", options.STATUS_PATH))
    return template.replace("{paymentOrderNo}", urls.segment(order))
