"""What every bank is to the rest of the house: a callback is proven and read, and the bank's API is asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from receiver.banks import business_days, business_hours, urls
from receiver.banks.business_days import BusinessDays
from receiver.banks.callback import Callback, Carried, Claim, Profile, Proof, unrecognised
from receiver.banks.errors import NotOffered
from receiver.banks.http import HttpClient
from receiver.model import ReceiverError, Status

__all__ = [
    "CA_CERTIFICATE",
    "FINAL_STATUSES",
    "Answer",
    "Bank",
    "Callback",
    "Carried",
    "Claim",
    "KeysNotKnown",
    "Money",
    "OptionsWrong",
    "Pauses",
    "Profile",
    "Proof",
    "RegistrationNotOffered",
    "status_in",
    "unrecognised",
]

CA_CERTIFICATE = "ca_certificate"
"""The credential that is none: the CA (PEM) by which the bank's own certificate is checked, where no public one did."""

FINAL_STATUSES = frozenset(str(status) for status in Status if status.is_final)


def status_in(table: Mapping[str, str], bank_status: str) -> str:
    """Translate a bank's status into one of `Status` by a table with lower-case keys; `unknown` if not there."""
    return table.get(bank_status.strip().lower(), "unknown")


class OptionsWrong(ReceiverError):
    """A source's option is unknown to its bank or has a value that the bank's package does not take."""


class RegistrationNotOffered(ReceiverError):
    """The bank has no way to be told by its API where callbacks go, or none that is built here."""


class KeysNotKnown(Exception):
    """The callback may be genuine; the public key to tell is not here yet, or has been replaced at the bank."""


@dataclass(frozen=True)
class Pauses:
    """The least pauses (backoff) between two questions about one payment, in seconds: the first, and the longest."""

    first: float = 0
    longest: float = 0


class Money(NamedTuple):
    """An amount, and its currency where the bank says it."""

    amount: Decimal
    currency: str | None


@dataclass(frozen=True)
class Answer:
    """What the bank says of a payment or job; `bank_status` in its own words, `status` in ours."""

    bank_status: str
    status: str
    """One of `Status`."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What else staff may want to see; written as JSON."""
    recheck_after: Sequence[timedelta] = ()
    """When to look once more at a final state that may change all the same, counted from when it was first seen."""
    payment_id: str | None = None
    """The payment's own id, where it was asked for by a reference."""
    returns: str | None = None
    """The id of the payment that this one returns."""
    amounts: Sequence[Money] = ()
    """What the payment is worth by the bank: one amount, or one for each side where they are told apart."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What it tells of account, direction and references, by the names that facts of events have."""


class Bank(Protocol):
    """One bank. A package below `receiver.banks` holds one as `BANK`; nothing else has to know it.

    What has a value or a body here need not be said by a bank that derives from this class. What only some banks can
    do is in `receiver.banks.abilities`.
    """

    name: str
    acknowledgement: str | None = None
    """The text that the bank takes for "I have it"; none where any 2xx will do, so that it gets JSON."""
    codings: tuple[str, ...] = ()
    """The content codings (`Content-Encoding`) that it documents: `gzip`, `deflate`."""
    body_bytes: int = 0
    """The largest callback that it documents; less than what is allowed to every bank changes nothing."""
    credential_names: tuple[str, ...] = ()
    """What its API asks for, such as a client's id and secret; none where there is no API."""
    credential_files: tuple[str, ...] = (CA_CERTIFICATE,)
    """Those of them that are files: given by their path, stored as Base64."""
    credentials_optional: tuple[str, ...] = (CA_CERTIFICATE,)
    """Those of them that may be left out."""
    has_jobs: bool = False
    """Whether its API tells of jobs too."""
    hosts: Mapping[str, str] = MappingProxyType({})
    """The API's address in each environment, where it is known."""
    requests: int = 60
    """Its rate limit: how many requests the bank takes ..."""
    window_seconds: float = 60
    """... in a fixed window of this length."""
    token_seconds: float = 300
    """How long a token lives (its TTL) where the bank does not say."""
    renews_tokens: bool = True
    """Whether another token may do where one was refused; false where the credentials themselves are sent."""
    signs_path: bool = False
    """Whether a callback's proof covers its path. Where it does not, one secret at two sources would let each callback
    of the one be sent to the other as a new one."""
    publishes_keys: bool = False
    """Whether `fetch_public_keys` gives any."""
    pauses: Pauses = Pauses()
    event_types: frozenset[str] | None = None
    """Every type that its events may have, where that is a closed vocabulary; `.*` stands for any further words."""
    silence_means: str = "the bank may have stopped sending them, or sends them elsewhere"
    """What it may mean that no callback has come for long."""
    gives_up_after: timedelta | None = None
    """How long after the first refusal it tries on, where that is known: then it stops sending."""
    gives_up_failures: int | None = None
    """After how many refusals in a row it stops sending, where it counts them."""
    incoming_net_of_fees: bool = False
    """Whether an amount that comes in may be less than what was sent, by the fees of banks on the way."""
    quiet_hours: int = 0
    """After how many hours without a callback staff are warned, where the source does not say; 0 for never."""
    why_no_lists: str = "its API has no list of payments"
    """Why it can't be asked what it knows of a day, where it has not the ability `ListsPayments`."""
    at_work: str = business_hours.ALWAYS
    """Its business hours, where the source does not say."""
    business_days: str = business_days.EVERY_DAY
    """Its business days and when each of them ends, where the source does not say."""

    # A source's settings

    def check_options(self, options: Mapping[str, Any], /) -> dict[str, Any]:
        """Return a source's options as they are to be stored.

        Raises:
            OptionsWrong
        """

    def check_base_url(self, url: str, /) -> None:
        """Accept an address of the API.

        Raises:
            OptionsWrong
        """
        try:
            urls.check(url)
        except ValueError as error:
            raise OptionsWrong(f"{error}; not {url!r}") from None

    def check_secret(self, secret: str, options: Mapping[str, Any], /) -> None:
        """Accept a signing secret's text.

        Raises:
            Refusal: it makes no key; `secret_weak` where it makes one that could be guessed.
        """

    def key_material(self, secret: str, options: Mapping[str, Any], /) -> bytes:
        """Return the bytes that a secret's text stands for: two texts with the same ones prove the same callbacks."""
        return secret.encode("utf-8", "surrogateescape")

    def allowed_addresses(self, options: Mapping[str, Any], environment: str, /) -> Sequence[str]:
        """Return the allow-list that a source's callbacks must come from; empty where they may come from anywhere."""
        found: Sequence[str] = options.get("allowed_addresses", ())
        return found

    def alternatives(self, callback: Callback, options: Mapping[str, Any], /) -> Iterable[Mapping[str, str]]:
        """Yield options, as they are typed, by which the source of a refused callback may have been meant to be set up.

        Those with the fewest changes come first. Each is tried out, so that one that makes no sense does no harm.
        """
        return ()

    def needs_secret(self, options: Mapping[str, Any], /) -> bool:
        """Tell whether nothing is proven without a secret that was set."""
        return True

    def proofs(self, options: Mapping[str, Any], /) -> Sequence[str]:
        """Return by what a source's callbacks are proven, the strongest first; all of it is asked for."""
        return ("signature", *(("address",) if options.get("allowed_addresses") else ()))

    def carried(self, options: Mapping[str, Any], /) -> Carried:
        """Return where callbacks carry a token in the clear, to be redacted."""
        return Carried()

    def silent_since(self, options: Mapping[str, Any], now: datetime, /) -> datetime | None:
        """Return since when no callback must have come for staff to be warned (UTC); none for never.

        It is `quiet_hours` before `now`, of which only those count in which the bank is at work.
        """
        quiet = int(options.get("quiet_hours", self.quiet_hours))
        at_work = business_hours.read(options.get("business_hours", self.at_work))
        return at_work.ago(quiet * 3600, now) if quiet else None

    def days(self, options: Mapping[str, Any], /) -> BusinessDays:
        """Return the business days of a source's bank."""
        return business_days.read(options.get("business_days", self.business_days))

    def listener_path(self, options: Mapping[str, Any], secret: str | None, /) -> str:
        """Return what follows the source's own path in the address that the bank is given, with the slash before it."""
        return ""

    # Callbacks

    def check_head(self, callback: Callback, profile: Profile, /) -> None:
        """Refuse what can't be genuine by its address, path and headers alone, before its body is read or unpacked.

        Whatever passes `prove` passes here too.

        Raises:
            Refusal
        """

    def prove(self, callback: Callback, profile: Profile, now: datetime, /) -> Proof:
        """Prove a callback genuine: verify its signature, decrypt it, or compare its token.

        Raises:
            Refusal: it is not proven genuine.
            Stale: only that it is fresh is not proven (`receiver.banks.callback.check_fresh`).
            KeysNotKnown: that can't be told yet.
        """

    def read(self, proof: Proof, /) -> Sequence[Claim]:
        """Return what a proven callback tells: its events, as claims.

        Raises:
            NotUnderstood: it is of a shape not known here.
        """

    def opened(self, callback: Callback, profile: Profile, /) -> bytes:
        """Return the text of a stored callback that was proven genuine once, decrypted where the bank encrypts.

        Raises:
            Refusal: none of the profile's keys opens it.
        """
        return callback.body

    def notifications(self, content: bytes, /) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the notifications in such a text, each with its event's identity where there are several.

        Raises:
            NotUnderstood
        """
        yield (), content.decode("utf-8-sig", "replace")

    # The API

    def authorization_url(self, environment: str, base_url: str | None, options: Mapping[str, Any], /) -> str:
        """Return the address that tokens are fetched from; `base_url` is the source's own for the API, if any."""
        return base_url or self.hosts.get(environment, "")

    def new_token(self, client: HttpClient, credentials: Mapping[str, str], /) -> tuple[str, datetime | None]:
        """Fetch an access token and the time at which it ends (UTC), where the bank says it.

        Raises:
            BankError
        """
        raise NotOffered(f"{self.name} has no API")

    def authorization(self, token: str, options: Mapping[str, Any], /) -> Mapping[str, str]:
        """Return the headers that show a token."""
        return {"Authorization": f"Bearer {token}"}

    def ask(self, client: HttpClient, kind: str, subject: str, facts: Mapping[str, Any], /) -> Answer:
        """Ask for the real state of a payment or job; `facts` is what events about it told, the latest word on each.

        Raises:
            BankError
        """
        raise NotOffered(f"{self.name} has no API")

    def why_unasked(self, kind: str, options: Mapping[str, Any], facts: Mapping[str, Any], /) -> str | None:
        """Return in words why it can't be asked about a payment or job at all, else none; `facts` as for `ask`."""
        if not self.credential_names:
            return f"{self.name} has no API"
        return f"the API of {self.name} tells of payments alone" if kind == "job" and not self.has_jobs else None

    def fetch_public_keys(self, client: HttpClient, /) -> str | None:
        """Return the bank's public keys as a JWKS (RFC 7517); none where it publishes none.

        Raises:
            BankError
        """
        return None

    def clock(self, client: HttpClient, /) -> datetime | None:
        """Make a request that the API answers only where it takes the token; return the bank's time, where it tells it.

        No request is made where that the bank gave a token shows it already.

        Raises:
            BankError
        """
        return None

    def register(self, client: HttpClient, listener_url: str, /) -> str:
        """Tell the bank where its callbacks go; return the bank's own id of that, or what else it says.

        Raises:
            BankError
            RegistrationNotOffered
        """
        raise RegistrationNotOffered(f"{self.name} is told in another way where callbacks go: see its documentation")
