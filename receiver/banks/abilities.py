"""What only some banks can do, each an optional protocol: accounts, client certificates, credentials, explaining."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from receiver.banks.http import HttpClient
from receiver.banks.protocol import Callback, Profile
from receiver.banks.tls import ClientCertificate
from receiver.model import ReceiverError


@dataclass(frozen=True)
class Account:
    """One account at a bank; what the bank does not tell is None."""

    id: str
    number: str | None = None
    """By what it is known outside the bank: an IBAN, or the bank's own number."""
    name: str | None = None
    currency: str | None = None
    status: str | None = None
    balance: Decimal | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class KeepsAccounts(Protocol):
    """A bank that lists the accounts that the credentials see."""

    def accounts(self, client: HttpClient, /) -> Sequence[Account]:
        """Return them all, from every page.

        Raises:
            BankError
        """


@runtime_checkable
class PresentsCertificate(Protocol):
    """A bank whose API wants a TLS client certificate (mutual TLS)."""

    def certificate(self, credentials: Mapping[str, str], /) -> ClientCertificate:
        """Return the certificate among the credentials.

        Raises:
            CertificateUnusable
        """


class AddressesWrong(ReceiverError):
    """A list of allowed addresses that the bank would not take, or not as it was meant."""


@dataclass(frozen=True)
class NewCredentials:
    """A client's credentials as the bank shows them once, when they are made or rotated."""

    client_id: str
    client_secret: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    """None where the bank gave none with them."""

    @property
    def for_source(self) -> dict[str, str]:
        """What a source stores of them to get into the API."""
        return {"client_id": self.client_id, "client_secret": self.client_secret}


@dataclass(frozen=True)
class Permission:
    """Something that an API client may do."""

    key: str
    description: str


@runtime_checkable
class IssuesCredentials(Protocol):
    """A bank whose API credentials are managed over its API. `key` is an idempotency key: a UUID.

    The same call with the same key gets the same answer, however often it is made.
    """

    needed_permissions: Mapping[str, str]
    """What each permission that a source needs is for."""

    def check_addresses(self, text: str, /) -> str:
        """Return a list of allowed addresses as it is to be sent.

        Raises:
            AddressesWrong
        """

    def create_credentials(self, client: HttpClient, key: str, allowed_ips: str | None, /) -> NewCredentials:
        """Make a new API client.

        Raises:
            BankError
        """

    def rotate_credentials(self, client: HttpClient, key: str, client_id: str, /) -> NewCredentials:
        """Replace a client's secrets; the old ones die at once.

        Raises:
            BankError
        """

    def disable_credentials(self, client: HttpClient, key: str, client_id: str, /) -> None:
        """Disable a client for good.

        Raises:
            BankError
        """

    def permissions(self, client: HttpClient, client_id: str, /) -> Sequence[Permission]:
        """Return what a client may do, by key.

        Raises:
            BankError
        """


@dataclass(frozen=True)
class Match:
    """One way of verifying that fits the signature."""

    key_id: str
    """`secret:<version>`, or the public key's."""
    encoding: str | None
    """How the secret's text becomes a key; none for public keys."""
    path: str


@dataclass(frozen=True)
class Explanation:
    """How a callback was signed: what fits, how far its clock was off, and what else is wrong with it."""

    matches: Sequence[Match]
    clock_seconds: float | None
    """How long before its receipt it was signed; negative: ahead of it."""
    remarks: Sequence[str]


@runtime_checkable
class Explains(Protocol):
    """A bank whose callbacks can be looked into, to find out why a signature does not fit."""

    def explain(
        self, callback: Callback, profile: Profile, paths: Sequence[bytes], received_at: datetime
    ) -> Explanation:
        """Find the key and path by which a callback was signed: every key is tried, in every encoding, over each path.

        No key and no signature stands in what is returned.
        """
