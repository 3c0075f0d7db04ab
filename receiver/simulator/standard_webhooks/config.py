"""What a simulated sender of Standard Webhooks is started with."""

from dataclasses import dataclass, field
from typing import Literal

from receiver.simulator.calling import Calling
from receiver.simulator.standard_webhooks.signatures import private_key, secret

EXAMPLE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - published as an example
RETRY_DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""The schedule that the specification suggests: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""


@dataclass(frozen=True)
class Config(Calling):
    """One endpoint of one sender; all times are in seconds.

    `secret` is `whsec_` and Base64. `previous_secret`, where there is one, signs too, as while secrets are rotated.
    `signatures` are `v1` (HMAC-SHA256), `v1a` (Ed25519) or `both`. `private_key` is `whsk_` and the Base64 of 32 bytes;
    one is made up without. With `fresh_each_try` each try has a time, and so a signature, of its own. The headers begin
    with `webhook` or, as the service did that the standard grew out of, `svix`.

    Raises:
        ValueError: for a secret or a key that is none.
    """

    retry_delays: tuple[float, ...] = RETRY_DELAYS
    secret: str = field(default=EXAMPLE_SECRET, repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    signatures: Literal["v1", "v1a", "both"] = "v1"
    fresh_each_try: bool = True
    headers: Literal["webhook", "svix"] = "webhook"

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in (self.secret, self.previous_secret):
            if text is not None:
                secret(text)
        if self.private_key is not None:
            private_key(self.private_key)
