"""What only some banks can do, each an optional protocol: accounts, client certificates, credentials, explaining."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from receiver.banks.business_days import Window
from receiver.banks.errors import BankError
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, Callback, Profile
from receiver.banks.tls import ClientCertificate
from receiver.model import ReceiverError, Status


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


@dataclass(frozen=True)
class Subscription:
    """A request for callbacks, as the bank has it."""

    id: str
    address: str | None
    """Where its callbacks go."""
    topics: Sequence[str]
    """What they are about, in the bank's words; one without any stays silent."""
    is_active: bool


@dataclass(frozen=True)
class NewSubscription:
    """A request for callbacks to be made."""

    address: str
    topics: Sequence[str]
    secret: str | None = field(default=None, repr=False)
    """The source's current secret, where the bank is told by what its callbacks are to be proven."""


class SubscriptionIncomplete(BankError):
    """A subscription was made, and not all that it is to tell was added to it."""

    outcome = "incomplete"


@runtime_checkable
class Subscribes(Protocol):
    """A bank that is told by its API where callbacks go, and what about (subscriptions)."""

    topics: tuple[str, ...]
    """Those that it has, in its own words."""
    secret_in_subscription: bool
    """Whether the client says with a subscription by what callbacks are proven."""

    def list_subscriptions(self, client: HttpClient, /) -> Sequence[Subscription]:
        """Return them all, active or not.

        Raises:
            BankError
        """

    def subscribe(self, client: HttpClient, wanted: NewSubscription, /) -> Sequence[Subscription]:
        """Make what is wanted: one subscription, or one for each topic.

        Raises:
            BankError: `SubscriptionIncomplete` where a part of it was made.
        """

    def unsubscribe(self, client: HttpClient, subscription_id: str, /) -> None:
        """Deactivate a subscription.

        Raises:
            BankError
        """


@dataclass(frozen=True)
class Listed:
    """One line of what a bank knows (a transaction): what is not told is None; being listed proves no status."""

    type: str
    """What a callback about it would be called, in the words of our event types: `bcb.deposit`."""
    payment_id: str | None = None
    reference: str | None = None
    """By what it is known where the list has no id of it."""
    account: str | None = None
    direction: str | None = None
    """`incoming` or `outgoing`."""
    amount: Decimal | None = None
    """Without a sign."""
    currency: str | None = None
    bank_status: str | None = None
    """In the bank's word, where the list has one."""
    status: Status = Status.UNKNOWN
    """What that claims, in ours."""
    at: datetime | None = None
    """The bank's own time of it (UTC)."""
    named_day: date | None = None
    """The day, by the bank's calendar, that it names where it tells no time; `at` is a beginning of it then."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What else staff may want to see; written as JSON."""


@dataclass(frozen=True)
class ListPage:
    """One page of a bank's list, whole; `next` is where the page after it begins, none after the last one."""

    lines: Sequence[Listed]
    next: str | None = None


@runtime_checkable
class ListsPayments(Protocol):
    """A bank that lists what it knows of a window of time (the sweep): one list, or several beside each other."""

    def lists(self, client: HttpClient, /) -> Sequence[str]:
        """Return the names of its lists: one for each account where the bank lists by account.

        Raises:
            BankError: `Forbidden` where the credentials may not.
        """

    def list_page(self, client: HttpClient, name: str, window: Window, place: str | None, /) -> ListPage:
        """Return a page of one list of what happened in `window`; `place` is the `next` of the page before.

        Pages may overlap, and lines may move between them while they are read.

        Raises:
            BankError
        """


@dataclass(frozen=True)
class AnswerPage:
    """One page of a bank's answers about many payments; `next` is as in `ListPage`."""

    answers: Sequence[tuple[str, Answer]]
    """Each with the payment's id; one id may have several, of both sides of a transfer, say."""
    next: str | None = None


@runtime_checkable
class AnswersInBulk(Protocol):
    """A bank that tells the states of many payments by one question: of all that are on an account (in bulk)."""

    def answer_page(self, client: HttpClient, account: str, place: str | None, /) -> AnswerPage:
        """Return a page of the payments of an account; `place` is the `next` of the page before.

        What can't be read is left out, for it can be asked for alone.

        Raises:
            BankError: `Forbidden` where the credentials may not.
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
