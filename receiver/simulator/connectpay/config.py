"""What a simulated ConnectPay is started with."""

from dataclasses import dataclass, field
from typing import Literal

from receiver.simulator.calling import Calling
from receiver.simulator.scripts import Script

EXAMPLE_TOKEN = "6f1c0c2e-7d0b-4c0e-9b7a-2f4f8f7f5a10"  # noqa: S105 - 36 characters, as the bank's are
RETRY_DELAYS = (5.0, 5.0, 30.0, 300.0, 3600.0, 86400.0)
"""The bank's schedule: 5 s, 5 s, 30 s, 5 min, 60 min, 24 h."""

PAYMENT_SCRIPT = Script.of(("RCVD", 1), ("PDNG", 1), ("ACSC", 0))


@dataclass(frozen=True)
class Config(Calling):
    """The bank's one partner, and how the bank behaves; all times are in seconds.

    `api_key` says which spelling of the partner's key is taken: `bare`, `basic` (behind `Basic `) or `either`.
    `user_token_seconds` is how long a user's token lives. `requests_per_second` are allowed for each partner or user
    (0: no limit).

    `status_path` is where the SCA API tells of a payment; the bank's own path is not published.

    Callbacks: `token` goes in the header `token_header`; `timestamp` is told in `seconds`, `milliseconds` or as an
    `iso` time. `type_field` is the field that names the type, `casing` how it is written, and `envelope` whether the
    ids stand beside it (`flat`) or in `data`. After `failures_allowed` failed ones the next switches the service off,
    until it is switched on again. With `automatic` each change of a payment's status is told by itself.
    """

    retry_delays: tuple[float, ...] = RETRY_DELAYS
    client_key: str = "ConnectPay"
    client_secret: str = field(default="EasyBanking", repr=False)
    api_key: Literal["either", "bare", "basic"] = "either"
    user_token_seconds: float = 300.0
    requests_per_second: int = 2
    status_path: str = "/baas-sca/payments/partner/payments/{paymentOrderNo}/status"
    error_shape: Literal["message", "text", "empty"] = "message"
    token: str = field(default=EXAMPLE_TOKEN, repr=False)
    token_header: str = "x-connectpay-token"  # noqa: S105 - a header's name
    timestamp: Literal["seconds", "milliseconds", "iso"] = "seconds"
    type_field: Literal["eventType", "type", "event"] = "eventType"
    casing: Literal["usual", "lower", "upper"] = "usual"
    envelope: Literal["flat", "data"] = "flat"
    failures_allowed: int = 99
    automatic: bool = True
    payment_script: Script = PAYMENT_SCRIPT

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.status_path.startswith("/") or "{paymentOrderNo}" not in self.status_path:
            raise ValueError("status_path must be a path with {paymentOrderNo} in it")
