"""The bank's store of clients and their secrets, and of its answers by idempotency key."""

import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Literal

from receiver.signing.hmac_sha256 import SecretEncoding, to_base64
from receiver.simulator.bcb.config import Config

OldTokens = Literal["stored-answer", "kept", "revoked"]
"""What a token from before a rotation is still good for: to ask once more for a stored answer, all, or nothing.

The bank does not say. `stored-answer` is the strictest under which a lost answer can be asked for once more.
"""

Stored = tuple[int, dict[str, object]]
"""A status and a body."""


@dataclass(frozen=True)
class Client:
    """One set of API credentials, with the secret that signs the callbacks meant for it."""

    client_id: str
    client_secret: str = field(repr=False)
    signing_secret: str = field(repr=False)
    secret_encoding: SecretEncoding
    allowed_ips: str | None
    permissions: frozenset[str]
    is_active: bool = True
    generation: int = 1
    """Counts up with each rotation; a token belongs to the generation that it was issued in."""

    @classmethod
    def first(cls, config: Config) -> "Client":
        """Return the client that the configuration describes."""
        return cls(
            config.client_id,
            config.client_secret,
            config.signing_secret,
            config.secret_encoding,
            config.allowed_ips,
            config.permissions,
        )

    @classmethod
    def new(cls, allowed_ips: str | None, like: "Client") -> "Client":
        """Return a new client with secrets of its own, and the encoding and permissions of another one."""
        return cls(str(uuid.uuid4()), _secret(), _signing_secret(), like.secret_encoding, allowed_ips, like.permissions)

    def with_permissions(self, permissions: frozenset[str]) -> "Client":
        """Return the same client with other permissions; tokens already issued have theirs for good."""
        return replace(self, permissions=permissions)

    def rotated(self) -> "Client":
        """Return the client with new secrets; the old ones are gone."""
        return replace(self, client_secret=_secret(), signing_secret=_signing_secret(), generation=self.generation + 1)

    def disabled(self) -> "Client":
        """Return the client, unable to get a token from now on."""
        return replace(self, client_secret="", is_active=False)

    def admits(self, address: str) -> bool:
        """Tell whether the client may call from `address` (an IP address as text).

        The list holds comma-separated addresses and CIDR ranges; none, an empty one and `*` mean all.
        """
        allowed = (self.allowed_ips or "").strip()
        if allowed in ("", "*"):
            return True
        caller = ip_address(address)
        return any(caller in ip_network(entry.strip(), strict=False) for entry in allowed.split(",") if entry.strip())

    def as_json(self, *, with_secrets: bool = True) -> dict[str, object]:
        """Return the client as the bank shows it, once; a disabled one has no secrets any more."""
        return {
            "clientId": self.client_id,
            "clientSecret": self.client_secret if with_secrets else "",
            "isActive": self.is_active,
            "allowedIps": self.allowed_ips,
            "messageSigningSecret": self.signing_secret if with_secrets else None,
        }


class CredentialAnswers:
    """What was answered to which idempotency key, and how often something was really done."""

    def __init__(self) -> None:
        """Start with nothing done."""
        self.old_tokens: OldTokens = "stored-answer"
        self.done: Counter[str] = Counter()
        self._answers: dict[tuple[str, str], Stored] = {}
        # One at a time, so that the same key at the same moment does something once.
        self._lock = threading.Lock()

    def answer(self, call: str, key: str | None, make: Callable[[], Stored]) -> Stored:
        """Return the stored answer to `key` at this call, or make it; without a key it is made each time."""
        with self._lock:
            if key is None:
                return make()
            if (call, key) not in self._answers:
                self._answers[call, key] = make()
            return self._answers[call, key]

    def has_answer(self, call: str, key: str | None) -> bool:
        """Tell whether this key was answered at this call before."""
        return key is not None and (call, key) in self._answers


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _signing_secret() -> str:
    return to_base64(secrets.token_bytes(32)).decode()
