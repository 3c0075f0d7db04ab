"""Who may call the bank."""

import secrets
import uuid
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from receiver.signing.encoding import to_base64
from receiver.signing.hmac_sha256 import SecretEncoding
from receiver.simulator.config import SimulatorConfig


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
    def first(cls, config: SimulatorConfig) -> "Client":
        """Return the client that the configuration describes."""
        return cls(
            config.client_id,
            config.client_secret,
            config.signing_secret,
            config.secret_encoding,
            config.allowed_ips,
            config.permissions,
        )

    def with_permissions(self, permissions: frozenset[str]) -> "Client":
        """Return the same client with other permissions; tokens already issued keep theirs."""
        return replace(self, permissions=permissions)

    @classmethod
    def new(cls, allowed_ips: str | None, like: "Client") -> "Client":
        """Return a new client with secrets of its own, and the encoding and permissions of another one."""
        return cls(str(uuid.uuid4()), _secret(), _signing_secret(), like.secret_encoding, allowed_ips, like.permissions)

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


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _signing_secret() -> str:
    return to_base64(secrets.token_bytes(32)).decode()
