"""ConnectPay's API: partner calls, which show the credentials themselves."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from receiver.banks import payload
from receiver.banks.bank import Answer
from receiver.banks.connection import Connection
from receiver.banks.connectpay import options
from receiver.banks.connectpay.statuses import payment_status
from receiver.banks.connectpay.user import call
from receiver.banks.errors import AnswerUnreadable, NotKnown

API_KEY = "x-connectpay-api-key"

NO_PAYMENT = "0"
"""No payment order has this number: asking for it shows that the API is reached and the key is taken."""


def key(credentials: Mapping[str, str]) -> str:
    """Return Base64 of `ClientKey:ClientSecret`."""
    return base64.b64encode(f"{credentials['client_key']}:{credentials['client_secret']}".encode()).decode()


def authorization(made_key: str, given: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the header of a partner call: the bank's documents show the key both bare and behind `Basic `."""
    return {API_KEY: f"Basic {made_key}" if given.get("api_key") == "basic" else made_key}


def payment(connection: Connection, order: str) -> Answer:
    """Ask for the status of a payment order.

    Raises:
        BankError
    """
    fields = call(connection, _status_path(connection, order))
    found = payload.first(fields, "paymentStatus", "transactionStatus") if isinstance(fields, dict) else None
    if found is None:
        raise AnswerUnreadable("the payment's status has neither `paymentStatus` nor `transactionStatus`")
    return Answer(found, payment_status(found))


def reach(connection: Connection) -> None:
    """Make a call that the bank answers only where it takes the key.

    Raises:
        BankError
    """
    try:
        call(connection, _status_path(connection, NO_PAYMENT))
    except NotKnown:
        return


def _status_path(connection: Connection, order: str) -> str:
    template = str(connection.options.get("status_path", options.STATUS_PATH))
    return template.replace("{paymentOrderNo}", quote(order, safe=""))
