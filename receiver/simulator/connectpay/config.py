"""What a simulated ConnectPay is started with."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from receiver.simulator.options import BankConfig
from receiver.simulator.scripts import Script
from receiver.simulator.validation import Seconds, SecondsTuple, StatusScript, Whole

EXAMPLE_TOKEN = "6f1c0c2e-7d0b-4c0e-9b7a-2f4f8f7f5a10"  # noqa: S105 - 36 characters, as the bank's are
RETRY_DELAYS = (5.0, 5.0, 30.0, 300.0, 3600.0, 86400.0)
"""The bank's schedule: 5 s, 5 s, 30 s, 5 min, 60 min, 24 h."""

PAYMENT_SCRIPT = Script.of(("RCVD", 1), ("PDNG", 1), ("ACSC", 0))

ErrorShape = Literal["message", "text", "empty"]


def _status_path(path: str) -> str:
    if not path.startswith("/") or "{paymentOrderNo}" not in path:
        raise ValueError("must be a path with {paymentOrderNo} in it")
    return path


class Config(BankConfig):
    """The bank's one partner, and how the bank behaves; all times are in seconds.

    `api_key` says which spelling of the partner's key is taken: `bare`, `basic` (behind `Basic `) or `either`.
    `user_token_seconds` is how long a user's token lives. `requests_per_second` are allowed for each partner or user
    (0: no limit).

    `status_path` is where the SCA API answers with a payment's status; the bank's own path is not published.

    Callbacks: `token` goes in the header `token_header`; `timestamp` is in `seconds`, `milliseconds` or an `iso` time.
    `type_field` is the field that names the type, `casing` how it is written, and `envelope` whether the ids stand
    beside it (`flat`) or in `data`. After `failures_allowed` failed ones the next switches the service off, until it is
    switched on. With `automatic` each change of a payment's status is announced by itself.
    """

    retry_delays: SecondsTuple = RETRY_DELAYS
    client_key: str = "ConnectPay"
    client_secret: str = Field(default="EasyBanking", repr=False)
    api_key: Literal["either", "bare", "basic"] = "either"
    user_token_seconds: Seconds = 300.0
    requests_per_second: Whole = 2
    status_path: Annotated[str, AfterValidator(_status_path)] = (
        "/baas-sca/payments/partner/payments/{paymentOrderNo}/status"
    )
    error_shape: ErrorShape = "message"
    token: str = Field(default=EXAMPLE_TOKEN, repr=False)
    token_header: str = "x-connectpay-token"  # noqa: S105 - a header's name
    timestamp: Literal["seconds", "milliseconds", "iso"] = "seconds"
    type_field: Literal["eventType", "type", "event"] = "eventType"
    casing: Literal["usual", "lower", "upper"] = "usual"
    envelope: Literal["flat", "data"] = "flat"
    failures_allowed: Whole = 99
    automatic: bool = True
    payment_script: StatusScript = PAYMENT_SCRIPT
