"""What every bank is to the rest of the house: read a callback, ask the bank."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from receiver.banks.connection import Connection
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import Key, SecretEncoding, key
from receiver.store.subjects import STATUSES

FINAL_STATUSES = frozenset(STATUSES) - {"pending", "unknown"}


class OptionsWrong(Exception):
    """A source's option is unknown to its bank or has a value that the bank's package does not take."""


class KeysNotKnown(Exception):
    """The callback may be genuine; the public key to tell is not here yet, or has been replaced at the bank."""


@dataclass(frozen=True)
class Callback:
    """One request as the bank sent it; all bytes, nothing decoded but the body's content coding.

    `path` is the absolute public path without the query; `channel` is what follows the source's name in it: none for
    the source's own path, the empty string for a slash alone. Header names are lower case.
    """

    method: bytes
    path: bytes
    channel: str | None
    headers: Mapping[str, bytes]
    body: bytes = field(repr=False)
    peer: str


@dataclass(frozen=True)
class Profile:
    """A source as its bank's package sees it: options, and the keys that prove its callbacks."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """Version and text, newest first."""
    jwks: str | None = None
    longer_names: Sequence[str] = ()
    """Other sources whose names start with this one's: what is signed for them must not pass here, cut differently."""

    def hmac_keys(self, encoding: SecretEncoding) -> list[Key]:
        """Return the signing secrets as keys; one that makes none must not stop those that do.

        Raises:
            Refusal: `secret_malformed` where there are secrets, and none is in this encoding.
        """
        keys: list[Key] = []
        malformed: Refusal | None = None
        for version, text in self.secrets:
            try:
                keys.append(key(f"secret:{version}", text, encoding))
            except Refusal as refusal:
                malformed = refusal
        if malformed is not None and not keys:
            raise malformed
        return keys


@dataclass(frozen=True)
class Claim:
    """One thing that a callback tells. It is a claim until the bank's API has confirmed it."""

    type: str
    identity: tuple[str, ...]
    """What makes it this one and no other, within its source."""
    content: str
    """What it says, free of how it was written; the same identity with another content is a conflict."""
    kind: str = "none"
    """What it is about: `payment`, `job` or `none`."""
    subject: str | None = None
    payment_id: str | None = None
    status: str | None = None
    """The claimed status, one of `STATUSES`."""
    amount: Decimal | None = None
    currency: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def unrecognised(bank: str, content: bytes) -> Claim:
    """Return the claim for genuine content that can't be understood: it is stored and shown all the same."""
    digest = hashlib.sha256(content).hexdigest()
    return Claim(type=f"{bank}.unrecognised", identity=("unrecognised", digest), content=digest)


@dataclass(frozen=True)
class Proof:
    """That a callback is genuine, and by what."""

    strength: str
    """`signature`, `encryption`, `token`, `address` or `none`."""
    key_id: str
    """Which key it was, such as `secret:3`."""
    content: bytes = field(repr=False)
    """What was proven: the body, decrypted where it came encrypted."""
    nonce: str | None = None
    signed_at: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What the bank says of a payment or job; `bank_status` in its own words, `status` in ours."""

    bank_status: str
    status: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class Bank(Protocol):
    """One bank. A package below `receiver.banks` holds one as `BANK`."""

    name: str
    credential_names: tuple[str, ...]
    """What its API asks for, such as a client's id and secret."""
    hosts: Mapping[str, str]
    """The API's address in each environment."""
    requests: int
    """How many requests the bank takes ..."""
    window_seconds: int
    """... in a fixed window of this length."""

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options as they are to be stored.

        Raises:
            OptionsWrong
        """

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """Accept a signing secret's text.

        Raises:
            Refusal: it makes no key.
        """

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """Prove a callback genuine.

        Raises:
            Refusal: it is not proven genuine.
            KeysNotKnown: that can't be told yet.
        """

    def read(self, content: bytes) -> Sequence[Claim]:
        """Return what proven content tells.

        Raises:
            NotUnderstood: it is of a shape not known here.
        """

    def nonce_of(self, callback: Callback) -> str | None:
        """Return what the sender gave as the delivery's unique value, unproven."""

    def new_token(self, connection: Connection, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """Fetch an access token and the time at which it ends, where the bank says it.

        Raises:
            BankError
        """

    token_seconds: int
    """How long a token lives where the bank does not say."""

    def ask(self, connection: Connection, kind: str, subject: str) -> Answer:
        """Ask for the real state of a payment or job.

        Raises:
            BankError
        """

    def fetch_public_keys(self, connection: Connection) -> str | None:
        """Return the bank's JWKS; none where it has none.

        Raises:
            BankError
        """

    def clock(self, connection: Connection) -> datetime | None:
        """Return the bank's own time, where it tells it.

        Raises:
            BankError
        """
