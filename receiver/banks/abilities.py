"""What only some banks can do (optional protocols): accounts, certificates, credentials, explaining."""

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
    """One account at a bank; what the bank does not tell is none."""

    id: str
    number: str | None = None
    """Under which it is known outside the bank: an IBAN, or the bank's own number."""
    name: str | None = None
    currency: str | None = None
    status: str | None = None
    balance: Decimal | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class KeepsAccounts(Protocol):
    """A bank that lists the accounts that the credentials see."""

    def accounts(self, connection: HttpClient) -> Sequence[Account]:
        """Return them all, from every page.

        Raises:
            BankError
        """


@runtime_checkable
class PresentsCertificate(Protocol):
    """A bank whose API wants a TLS client certificate on every connection."""

    credential_files: tuple[str, ...]
    """Credentials that are files: given by their path, stored as Base64."""
    credentials_optional: tuple[str, ...]

    def certificate(self, credentials: Mapping[str, str]) -> ClientCertificate:
        """Return the certificate among the credentials.

        Raises:
            CertificateUnusable
        """


@runtime_checkable
class AuthorizesElsewhere(Protocol):
    """A bank that gives out its tokens on another host than the one that takes them."""

    def authorization_url(self, environment: str, base_url: str | None, options: Mapping[str, Any]) -> str:
        """Return the address for tokens; `base_url` is the source's own, where it has one."""


@runtime_checkable
class SendsLargeBodies(Protocol):
    """A bank whose callbacks are larger than others'."""

    body_bytes: int
    """The largest callback that it documents."""


class AddressesWrong(ReceiverError):
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

    def create_credentials(self, connection: HttpClient, key: str, allowed_ips: str | None) -> NewCredentials:
        """Make a new client.

        Raises:
            BankError
        """

    def rotate_credentials(self, connection: HttpClient, key: str, client_id: str) -> NewCredentials:
        """Replace a client's secrets; the old ones die at once.

        Raises:
            BankError
        """

    def disable_credentials(self, connection: HttpClient, key: str, client_id: str) -> None:
        """Disable a client for good.

        Raises:
            BankError
        """

    def permissions(self, connection: HttpClient, client_id: str) -> Sequence[Permission]:
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
    """A bank whose callbacks can be looked into."""

    def explain(
        self, callback: Callback, profile: Profile, paths: Sequence[bytes], received_at: datetime
    ) -> Explanation:
        """Try every key of the profile, in every encoding, over each of the paths; never a key or a signature in it."""
