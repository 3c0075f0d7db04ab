"""What a simulated Banqup is started with."""

from typing import Annotated, Literal

from pydantic import Field

from receiver.simulator.options import FIXED, BankConfig
from receiver.simulator.scripts import Script
from receiver.simulator.validation import Port, Seconds, StatusScript

EXAMPLE_SPACE = "0f5b0e6e-5d5c-4f0f-9a57-7c1f0b2d3e4f"

PAYMENT_SCRIPT = Script.of(("RECEIVED", 1), ("PAID", 0))

ErrorShape = Literal["rfc1123", "iso"]


class Config(BankConfig):
    """The bank's one app, and how the bank behaves; all times are in seconds.

    Fixed at the start: `folder` (where `ca.pem` is written; a temporary one without) and `control_port`.

    Authorization: `token_path` is `gettoken`, `accesstoken` (the older page's) or `both`; `expiry` says how a token's
    end is written: as `expires_at`, as `expires_in` or in the `jwt` alone.

    Answers: `access` `forbidden` answers 403 to all but token requests, `not-whitelisted` answers with empty data, as
    an `object`, a `list` or `nothing` (`empty`). `status_form` shows a payment's status `nested` (`status.payment`) or
    `plain`. Errors write their time in `rfc1123` or as an `iso` time.

    Callbacks go to `{callback_url}/messages`, or below the listener that was registered; `header_token`, where there is
    one, in the header `token_header`. `status_in` says where in a message the status stands, `data` or at the `top`.
    With `automatic` each change of a payment's status is announced by itself. A status `PAID INFORMATIONAL` in a script
    is PAID, which may still change.
    """

    folder: Annotated[str | None, FIXED] = None
    control_port: Annotated[Port, FIXED] = 0
    client_id: str = "simulator-client"
    client_secret: str = Field(default="simulator-secret", repr=False)
    token_path: Literal["both", "gettoken", "accesstoken"] = "both"  # noqa: S105 - no secret
    token_lifetime_seconds: Seconds = 300.0
    expiry: Literal["expires_at", "expires_in", "jwt"] = "expires_at"
    access: Literal["granted", "forbidden", "not-whitelisted"] = "granted"
    empty: Literal["object", "list", "nothing"] = "object"
    status_form: Literal["nested", "plain"] = "nested"
    error_shape: ErrorShape = "rfc1123"
    space: str = EXAMPLE_SPACE
    header_token: str | None = Field(default=None, repr=False)
    token_header: str = "x-banqup-token"  # noqa: S105 - a header's name
    status_in: Literal["data", "top"] = "data"
    automatic: bool = True
    payment_script: StatusScript = PAYMENT_SCRIPT
