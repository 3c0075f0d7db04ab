"""What a simulated BCB is started with."""

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import SecretEncoding, key
from receiver.simulator.json_bodies import Seconds, StatusScript, TextTuple, Whole
from receiver.simulator.options import FIXED, BankConfig
from receiver.simulator.scripts import Script

Method = Literal["hmac", "rsa"]
"""How callbacks are signed."""

ErrorShape = Literal["full", "error", "string"]
"""`{"error","message"}`, `{"error"}` alone, or the message as a bare JSON string."""

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


def is_allow_list(text: str) -> bool:
    """Tell whether `text` is comma-separated addresses and CIDR ranges; an empty one and `*` mean all."""
    try:
        return text.strip() in ("", "*") or all(ip_network(entry.strip(), strict=False) for entry in text.split(","))
    except ValueError:
        return False


def _allow_list(text: str) -> str:
    if not is_allow_list(text):
        raise ValueError("must be comma-separated addresses and CIDR ranges")
    return text


def _set(value: object) -> object:
    return frozenset(value) if isinstance(value, list) and all(isinstance(key, str) for key in value) else value


class Config(BankConfig):
    """The bank's one client at the start, and how the bank behaves; all times are in seconds.

    Fixed at the start: the client with its secrets, `allowed_ips` (comma-separated addresses and CIDR ranges; None,
    empty or `*`: all) and `permissions`; `accounts`; `job_script` (a job plan changes it).

    `rate_limit` requests are allowed in `rate_window_seconds` for each client (0: no limit), one creation of virtual
    accounts in `virtual_account_gap_seconds`. `fresh_each_try` gives each try of a callback its own nonce and
    timestamp. `error_shape` is the shape of the bank's error bodies.

    `transactions_order` is which entry of an account comes first; `moving_rows` of them go from the beginning of the
    list to its end whenever a page of it was given.
    """

    client_id: Annotated[str, FIXED] = "simulator-client"
    client_secret: Annotated[str, FIXED] = Field(default="simulator-secret", repr=False)
    signing_secret: Annotated[str, FIXED] = Field(default=EXAMPLE_SECRET, repr=False)
    secret_encoding: Annotated[SecretEncoding, FIXED] = "base64"  # noqa: S105 - no secret
    signing_method: Method = "hmac"
    allowed_ips: Annotated[Annotated[str, AfterValidator(_allow_list)] | None, FIXED] = None
    permissions: Annotated[frozenset[str], BeforeValidator(_set), FIXED] = PERMISSIONS
    accounts: Annotated[TextTuple, FIXED] = (EXAMPLE_ACCOUNT,)
    token_lifetime_seconds: Seconds = 2400.0
    rate_limit: Whole = 300
    rate_window_seconds: Seconds = 3600.0
    virtual_account_gap_seconds: Seconds = 2.0
    payment_script: StatusScript = PAYMENT_SCRIPT
    job_script: Annotated[StatusScript, FIXED] = JOB_SCRIPT
    fresh_each_try: bool = False
    error_shape: ErrorShape = "full"
    transactions_order: Literal["oldest", "newest"] = "oldest"
    moving_rows: Whole = 0

    @model_validator(mode="after")
    def _secret_fits(self) -> Self:
        try:
            key(self.client_id, self.signing_secret, self.secret_encoding)
        except Refusal as refusal:
            raise ValueError(f"the signing secret does not fit its encoding: {refusal.detail}") from refusal
        return self
