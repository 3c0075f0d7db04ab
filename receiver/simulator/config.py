"""What a simulated bank is started with."""

from dataclasses import dataclass, field
from typing import Literal

from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import SecretEncoding, key
from receiver.simulator.answers import Shape
from receiver.simulator.courier import DELAYS_SECONDS, TIMEOUT_SECONDS
from receiver.simulator.scripts import Script

Method = Literal["hmac", "rsa"]
"""How callbacks are signed."""

METHODS: tuple[Method, ...] = ("hmac", "rsa")

EXAMPLE_SECRET = "HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs="  # noqa: S105 - published by the bank as an example
EXAMPLE_ACCOUNT = "1046406142"

PAYMENT_SCRIPT = Script.of(("Pending", 2), ("Completed", 0))
JOB_SCRIPT = Script.of(("Pending", 1), ("InProgress", 1), ("Completed", 0))

PERMISSIONS = frozenset(
    {
        "get-account",
        "get-all-accounts",
        "get-fx-quote",
        "get-payment-status",
        "get-transactions",
        "get-virtual-account-transactions",
        "make-internal-transfer",
        "make-payment-swift",
        "manage-credentials",
    }
)
"""Every permission key that the bank's documentation shows."""


@dataclass(frozen=True)
class SimulatorConfig:
    """The bank's one client at the start, and how the bank behaves; all times are in seconds.

    `callback_url` is the registered address of the receiver, used where no other is named. `rate_limit` requests are
    allowed in `rate_window_seconds` for each client (0: no limit). `allowed_ips` is comma-separated addresses and CIDR
    ranges (None, empty or `*`: all). `fresh_each_try` gives each try of a callback its own nonce and timestamp.
    `error_shape` is the shape of the bank's error bodies.

    Raises:
        ValueError: where the signing secret does not fit its encoding.
    """

    client_id: str = "simulator-client"
    client_secret: str = field(default="simulator-secret", repr=False)
    signing_secret: str = field(default=EXAMPLE_SECRET, repr=False)
    secret_encoding: SecretEncoding = "base64"  # noqa: S105 - no secret
    signing_method: Method = "hmac"
    callback_url: str | None = None
    allowed_ips: str | None = None
    permissions: frozenset[str] = PERMISSIONS
    accounts: tuple[str, ...] = (EXAMPLE_ACCOUNT,)
    token_lifetime_seconds: float = 2400
    rate_limit: int = 300
    rate_window_seconds: float = 3600
    virtual_account_gap_seconds: float = 2
    payment_script: Script = PAYMENT_SCRIPT
    job_script: Script = JOB_SCRIPT
    retry_delays: tuple[float, ...] = DELAYS_SECONDS
    callback_timeout_seconds: float = TIMEOUT_SECONDS
    fresh_each_try: bool = False
    verify_tls: bool | str = True
    error_shape: Shape = "full"

    def __post_init__(self) -> None:
        try:
            key(self.client_id, self.signing_secret, self.secret_encoding)
        except Refusal as refusal:
            raise ValueError(f"signing secret: {refusal.detail}") from refusal
