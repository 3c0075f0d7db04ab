"""Who may call the bank."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

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

    def admits(self, address: str) -> bool:
        """Tell whether the client may call from `address` (an IP address as text).

        The list holds comma-separated addresses and CIDR ranges; none, an empty one and `*` mean all.
        """
        allowed = (self.allowed_ips or "").strip()
        if allowed in ("", "*"):
            return True
        caller = ip_address(address)
        return any(caller in ip_network(entry.strip(), strict=False) for entry in allowed.split(",") if entry.strip())
