"""What a bank's package may do besides: hand out, rotate and disable API credentials, and tell their permissions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from receiver.banks.connection import Connection


class AddressesWrong(Exception):
    """A list of allowed addresses that the bank would not take, or not as it was meant."""


@dataclass(frozen=True)
class NewCredentials:
    """What the bank shows once."""

    client_id: str
    client_secret: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    """None where the bank gave none with them."""


@dataclass(frozen=True)
class Permission:
    """What a client may do."""

    key: str
    description: str


@runtime_checkable
class IssuesCredentials(Protocol):
    """A bank whose API credentials are managed over its API. `key` is an idempotency key: a UUID.

    The same call with the same key gets the same answer, however often it is made.
    """

    needed_permissions: Mapping[str, str]
    """What each permission that a source needs is for."""

    def check_addresses(self, text: str) -> str:
        """Return a list of allowed addresses as it is to be sent.

        Raises:
            AddressesWrong
        """

    def create_credentials(self, connection: Connection, key: str, allowed_ips: str | None) -> NewCredentials:
        """Make a new client.

        Raises:
            BankError
        """

    def rotate_credentials(self, connection: Connection, key: str, client_id: str) -> NewCredentials:
        """Replace a client's secrets; the old ones die at once.

        Raises:
            BankError
        """

    def disable_credentials(self, connection: Connection, key: str, client_id: str) -> None:
        """Disable a client for good.

        Raises:
            BankError
        """

    def permissions(self, connection: Connection, client_id: str) -> Sequence[Permission]:
        """Return what a client may do, by key.

        Raises:
            BankError
        """
