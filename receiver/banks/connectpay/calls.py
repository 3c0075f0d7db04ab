"""Calls of ConnectPay's API: a partner's, which show the key, and a user's, which show the user's token and address."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from receiver.banks import urls
from receiver.banks.errors import BankError, NothingShown
from receiver.banks.http import HttpClient
from receiver.model import ReceiverError
from receiver.signing import addresses

CLIENT = "/client/"
"""What stands in the path of every call in a user's name."""
TOKEN_LIVES = timedelta(minutes=5)
"""A user's token."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]{0,1000}(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]{0,1000})?")
_WORD = re.compile(r"[\x21-\x7e]{1,4096}")


class CallWrong(ReceiverError):
    """A call that is none of the bank's API."""


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


@dataclass(frozen=True)
class Call:
    """One call of the API: a method, an absolute path with a query where there is one, and a JSON object as body."""

    method: str
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def needs_user(self) -> bool:
        """Whether it is made in a user's name."""
        return CLIENT in self.path.partition("?")[0]

    def check(self, user: User | None, now: datetime) -> None:
        """Accept a call that goes to the bank's own API and has what it needs.

        Raises:
            CallWrong
            UserNeeded
        """
        if self.method not in METHODS:
            raise CallWrong(f"a method is one of {', '.join(METHODS)}, not {self.method[:20]!r}")
        if self.method == "GET" and self.body is not None:
            raise CallWrong("a GET takes no body")
        check_path(self.path)
        if self.needs_user:
            _check_user(self.path, user, now)
        elif user is not None:
            raise UserNeeded(f"{self.path} is a partner call: a user's token is never sent with one")

    def make(self, client: HttpClient, user: User | None = None) -> Any:
        """Return the parsed JSON of the answer; None where it is empty.

        Raises:
            CallWrong
            UserNeeded: nothing is sent.
            BankError
        """
        self.check(user, client.clock())
        headers = None
        if user is not None:
            headers = {"Authorization": f"Bearer {user.token}", "PSU-IP-Address": user.psu_address}
        try:
            return client.call(self.method, self.path, self.body, headers)
        except NothingShown:
            return None


def check_path(path: str) -> None:
    """Accept a path of the API that no reader takes for another one, or for another host (RFC 3986).

    Raises:
        CallWrong
    """
    bare = path.partition("?")[0]
    if not _PATH.fullmatch(path) or "//" in bare:
        raise CallWrong(f"{path[:80]!r} is no path of the API: it begins with one /, and holds no host and no fragment")
    try:
        readings = urls.readings(bare)
    except ValueError as error:
        raise CallWrong(f"{path[:80]!r} is {error}") from None
    for reading in readings:
        if urls.has_dots(reading) or "\\" in reading or not reading.isprintable():
            raise CallWrong(f"{path[:80]!r} leads out of itself")
        if (CLIENT in reading.lower()) != (CLIENT in bare):
            raise CallWrong(f"{path[:80]!r} can be read with {CLIENT} and without: write it as it is meant")


def _check_user(path: str, user: User | None, now: datetime) -> None:
    if user is None or not _WORD.fullmatch(user.token):
        raise UserNeeded(f"{path} is a client call: it needs the token of a user who has logged in, for this one call")
    if not user.psu_address or addresses.address(user.psu_address) is None:
        raise UserNeeded(f"{path} is a client call: it needs the user's own IP address (PSU-IP-Address)")
    if now - user.given_at >= TOKEN_LIVES:
        raise UserNeeded(f"{path} is a client call: the user's token is older than 5 minutes and must be refreshed")


def call(client: HttpClient, path: str, user: User | None = None) -> Any:
    """Return the parsed JSON of `GET path`, a partner's call or a user's; a user is not shown where none is needed.

    Raises:
        CallWrong
        UserNeeded
        BankError
    """
    wanted = Call("GET", path)
    return wanted.make(client, user if wanted.needs_user else None)
