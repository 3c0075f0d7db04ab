"""Calls to ConnectPay in a user's name, which no background job can make: they need the user."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from receiver.banks.connection import Connection
from receiver.banks.errors import BankError
from receiver.signing import addresses

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


def call(connection: Connection, path: str, user: User | None = None) -> Any:
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
