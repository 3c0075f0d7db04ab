"""A callback as banks' packages see it: what came, what is known of its source, what proves it, what it claims."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from receiver.signing import addresses, concatenation
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import Key, SecretEncoding, key

Made = TypeVar("Made")

LEAVES_OPEN = {
    "signature": "whoever has the secret (with a public key nobody but the sender); what is signed is not hidden",
    "encryption": "whoever has the key",
    "token": "whoever has seen one callback: it may be altered, made up, or sent again at any time; use HTTPS",
    "address": "whoever can send from an address of the list, and whatever was altered on its way; use HTTPS",
    "none": "everybody: a callback may come from anyone and say anything",
}
"""The kinds of proof (their strength), the strongest first, and what each leaves open; docs/callbacks.md says more."""


def strongest_proof(proofs: Sequence[str]) -> str:
    """Return the strength of a source whose callbacks are proven by all of these, the strongest first."""
    return proofs[0] if proofs else "none"


@dataclass(frozen=True)
class Callback:
    """One HTTP request as the bank sent it; all bytes, nothing decoded but the body's content coding.

    `path` is the absolute public path without the query; `channel` is what follows the source's name in it: none for
    the source's own path, the empty string for a slash alone. Header names are lower case.
    """

    method: bytes
    path: bytes
    channel: str | None
    headers: Mapping[str, bytes]
    body: bytes = field(repr=False)
    peer: str
    """The sender's IP address."""
    is_partial: bool = False
    """Only the beginning of its body was read, because its head was refused."""
    hidden: bool = False
    """It comes out of the store, where tokens (`Bank.carried`) stand as `static_token.hide` left them."""

    def header(self, name: str) -> bytes:
        """Return the value of a header that must be there; `name` is in lower case.

        Raises:
            Refusal: `header_missing` where it is not, or is empty.
        """
        value = self.headers.get(name, b"")
        if not value:
            raise Refusal("header_missing", f"no {name}")
        return value


@dataclass(frozen=True)
class Carried:
    """Where a callback carries its token in the clear: it is redacted there before it is stored."""

    headers: frozenset[str] = frozenset()
    """Names in lower case."""
    in_channel: bool = False
    """Whether the channel's first segment is one."""
    plain: frozenset[str] = frozenset()
    """Headers of the bank's own that hold none, and are read from what was stored: names in lower case."""
    everywhere: bool = False
    """Whether it may come elsewhere too, where the bank was told, or set up, otherwise than the source says."""

    @property
    def shows_token(self) -> bool:
        """Whether there is anything to be redacted."""
        return self.everywhere or self.in_channel or bool(self.headers)


@dataclass(frozen=True)
class Profile:
    """A source as its bank's package sees it: options, and the keys that prove its callbacks."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """Version and text, newest first."""
    jwks: str | None = None
    """The bank's public keys (JSON Web Key Set, RFC 7517), as fetched last."""
    longer_names: Sequence[str] = ()
    """Other sources whose names start with this one's: what is signed for them must not pass here, cut differently."""
    environment: str = "sandbox"

    _hmac_keys: dict[SecretEncoding, list[Key]] = field(default_factory=dict, repr=False, compare=False)

    def named_secrets(self, what: str) -> list[tuple[str, str]]:
        """Return the secrets as pairs of a key's id (`secret:3`) and its text, newest first.

        Raises:
            Refusal: `secret_not_set` where there are none; `what` is the bank's word for one.
        """
        if not self.secrets:
            raise Refusal("secret_not_set", f"the source has no {what}: set one with `receiver secret set`")
        return [(f"secret:{version}", text) for version, text in self.secrets]

    def hmac_keys(self, encoding: SecretEncoding) -> list[Key]:
        """Return the signing secrets as HMAC keys; one that makes none must not stop those that do.

        Raises:
            Refusal: `secret_not_set` where there are no secrets; `secret_malformed` where none is in this encoding.
        """
        if encoding not in self._hmac_keys:
            self._hmac_keys[encoding] = self.keys("signing secret", partial(key, encoding=encoding))
        return self._hmac_keys[encoding]

    def keys(self, what: str, *makers: Callable[[str, str], Made]) -> list[Made]:
        """Return the keys that `makers` make of ids and texts; a secret that makes none must not stop those that do.

        `what` is the bank's word for a secret. All keys of the first maker come before those of the next.

        Raises:
            Refusal: `secret_not_set` where there are no secrets; that of the newest where none makes a key.
        """
        keys: list[Made] = []
        malformed: list[Refusal] = []
        for make in makers:
            for key_id, text in self.named_secrets(what):
                try:
                    keys.append(make(key_id, text))
                except Refusal as refusal:
                    malformed.append(refusal)
        if malformed and not keys:
            raise malformed[0]
        return keys

    def allows(self, peer: str) -> bool:
        """Tell whether an address is on the source's allow-list `allowed_addresses`, or there is none."""
        try:
            addresses.check(peer, self.options.get("allowed_addresses", ()))
        except Refusal:
            return False
        return True

    def check_address(self, callback: Callback) -> None:
        """Accept a sender on the source's allow-list `allowed_addresses`, where there is one; to be called last.

        Raises:
            Refusal: `address_not_allowed`, marked as proven.
        """
        if allowed := self.options.get("allowed_addresses"):
            addresses.match(callback.peer, allowed, proven=True)


@dataclass(frozen=True)
class Proof:
    """That a callback is genuine, and by what."""

    strength: str
    """One of those in `LEAVES_OPEN`."""
    key_id: str
    """Which key it was, such as `secret:3`."""
    content: bytes = field(repr=False)
    """What was proven: the body, decrypted where it came encrypted."""
    nonce: str | None = None
    """The delivery's unique value: another delivery with the same one is a repeat, or a replay attack."""
    signed_at: datetime | None = None
    """UTC."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the bank tells in headers that its package reads, such as an id or a time."""
    left_out: frozenset[str] = frozenset()
    """Facts that the source does not want to be stored with its events."""


class Stale(Refusal):
    """All is proven but that the callback is fresh: its timestamp is too old, or too far ahead.

    It is a refusal, so that whoever does not know of it refuses. It may wait for a confirmation as *late*, but for
    one whose signature fits another cut of its text too (`has_one_cut` is false).
    """

    def __init__(self, proof: Proof, detail: str, *, has_one_cut: bool = True) -> None:
        super().__init__("timestamp_stale", detail, proven=True)
        self.proof = proof
        self.has_one_cut = has_one_cut


def check_fresh(proof: Proof, now: datetime, *, has_one_cut: bool = True) -> Proof:
    """Return a proof whose time is at most 300 s before or after `now`; to be called last.

    Raises:
        Stale
    """
    assert proof.signed_at is not None  # noqa: S101 - for banks whose callbacks bear a time
    try:
        concatenation.check_fresh(int(proof.signed_at.timestamp()), now)
    except Refusal as refusal:
        raise Stale(proof, refusal.detail, has_one_cut=has_one_cut) from refusal
    return proof


class Claim(NamedTuple):
    """One event that a callback tells. It is a claim until the bank's API has confirmed it."""

    type: str
    identity: tuple[str, ...]
    """Its idempotency key: what makes it this one and no other, within its source."""
    content: str
    """What it says, free of how it was written; the same identity with another content is a conflict."""
    kind: str = "none"
    """What it is about: `payment`, `job`, `reference` (a payment, by another name than its id) or `none`."""
    subject: str | None = None
    payment_id: str | None = None
    status: str | None = None
    """The claimed status, one of `STATUSES`."""
    amount: Decimal | None = None
    currency: str | None = None
    facts: Mapping[str, Any] = MappingProxyType({})
    claimed_at: datetime | None = None
    """When the bank told it, in UTC, where that orders its claims: an earlier one takes nothing back from a later."""


def identity(sent: bytes, *parts: str | None) -> tuple[str, ...]:
    """Return an event's identity of its parts; where one can't be read (None), the bytes sent are part of it too.

    So what can't be read never makes two events one, as it would if it counted as empty; and the same bytes are one
    event all the same.
    """
    readable = tuple([part or "" for part in parts])
    return (*readable, hashlib.sha256(sent).hexdigest()) if None in parts else readable


def unrecognised(bank: str, content: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> Claim:
    """Return the claim for genuine content that can't be understood: it is stored and shown all the same.

    `headers` are those of its proof: what they tell sets events apart like the content.
    """
    digest = hashlib.sha256(content).hexdigest()
    said = [value for _, value in sorted(headers.items()) if value]
    return Claim(type=f"{bank}.unrecognised", identity=("unrecognised", digest, *said), content=digest)


def known_facts(**facts: Any) -> dict[str, Any]:
    """Return the facts that a callback tells; those that are None are left out.

    An event is found by what its facts hold, as their names say: whole numbers of accounts (`account`, `iban`, or a
    name that ends in `_account`, `account_number`, `account_id`), references (`reference`, `case`, `mandate`, or a
    name that ends in `_reference`, `_id`, `_no`), the words of texts (`remittance`, `details`, `parties`, `name`).
    The bank's own words (a name that ends in `errors`, `reason`) are not searched for, and shown to whom texts are.
    Lists show the end of an account's number alone. Where the value is an object, its own names count.
    """
    return {name: fact for name, fact in facts.items() if fact is not None}


_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(word: str) -> str:
    """Write a bank's `CompletedWithErrors` as `completed_with_errors`, as the types of events are written.

    Capitals in a row are one word: `COMPLETED` is `completed`.
    """
    return _WORD_BEGINS.sub("_", word).lower()
