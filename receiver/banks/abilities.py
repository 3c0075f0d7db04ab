"""What only some banks have. A bank's package has an ability by having its members; nothing else names it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from receiver.banks.certificate import ClientCertificate
from receiver.banks.connection import Connection


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

    def accounts(self, connection: Connection) -> Sequence[Account]:
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
