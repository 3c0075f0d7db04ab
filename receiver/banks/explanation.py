"""What a bank's package may do besides: find out how a captured callback was signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from receiver.banks.bank import Callback, Profile


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
