"""What a simulated Banking Circle is started with."""

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from receiver.simulator.json_bodies import Days, Port, Seconds, SecondsTuple, Whole
from receiver.simulator.options import FIXED, BankConfig

EXAMPLE_KEY = "simulator-key-of-32-characters-!"
"""Thirty-two characters, as a client chooses them at subscription."""

RETRY_DELAYS = (15.0, 30.0, 60.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 43200.0, 86400.0, 172800.0)
"""The bank's schedule: 15 s, 30 s, 1 m, 10 m, 30 m, 1 h, 2 h, 6 h, 12 h, 24 h, 48 h."""

KeyEncoding = Literal["utf8", "base64"]

ErrorShape = Literal["errors", "validation", "properties", "problem", "code", "empty"]


class Config(BankConfig):
    """The bank's one user and one subscription, and how the bank behaves; all times are in seconds.

    Fixed at the start: `username`, `password`, `passcode` (of the PFX files; empty for none), `folder` (where the
    certificates are written; a temporary one without), `certificate_days` (how long the client's certificate lasts),
    `tls_version` (the newest spoken; the oldest is 1.2), `accounts` (how many there are), `control_port`.

    Authorization: `token_requests` are allowed in `token_window_seconds` for each address (0: no limit; the bank's own
    numbers are not published). `expires_in` is a `text` or a `number`; `token_type` is there `sometimes` (in every
    other answer), `always` or `never`.

    Answers: lists spell their names `lower` (`result`), `upper` (`Result`) or `alternate`; without `row_count` it is
    null; `accounts_shape` `bare` answers with the first account alone; `errors_form` is how a rejected payment says
    why.

    Callbacks: `encryption_key` is 32 characters as they are (`utf8`) or the Base64 of 32 bytes. With `automatic` each
    change of a payment's status is announced by itself, `batch_size` notifications in a callback at most. `booked` says
    when, beside Processed, Booked is sent: `after`, `before` or `never`. `envelope` is an `object` or a bare `array`.

    Reports are `granted` to the user or `refused`; `moving_rows` go from the beginning of the reconciliation report to
    its end whenever a page of it was given.

    `speed` also speeds up what the sandbox amounts do; `pending_seconds` is how long a payment is PendingProcessing.
    """

    retry_delays: SecondsTuple = RETRY_DELAYS
    username: Annotated[str, FIXED] = "simulator-user"
    password: Annotated[str, FIXED] = Field(default="simulator-password", repr=False)
    passcode: Annotated[str, FIXED] = Field(default="simulator-passcode", repr=False)
    folder: Annotated[str | None, FIXED] = None
    certificate_days: Annotated[Days, FIXED] = 365.0
    tls_version: Annotated[Literal["1.2", "1.3"], FIXED] = "1.2"
    accounts: Annotated[Whole, FIXED] = 3
    control_port: Annotated[Port, FIXED] = 0
    token_lifetime_seconds: Seconds = 300.0
    token_requests: Whole = 10
    token_window_seconds: Seconds = 60.0
    expires_in: Literal["text", "number"] = "text"
    token_type: Literal["sometimes", "always", "never"] = "sometimes"  # noqa: S105 - no secret
    spelling: Literal["lower", "upper", "alternate"] = "lower"
    row_count: bool = True
    accounts_shape: Literal["page", "bare"] = "page"
    error_shape: ErrorShape = "errors"
    errors_form: Literal["array", "text"] = "array"
    encryption_key: str = Field(default=EXAMPLE_KEY, repr=False)
    key_encoding: KeyEncoding = "utf8"
    subscription_version: Whole = 1
    automatic: bool = True
    batch_size: Annotated[int, Field(ge=1, le=1000)] = 1000
    booked: Literal["after", "before", "never"] = "after"
    envelope: Literal["object", "array"] = "object"
    byte_order_mark: bool = False
    pending_seconds: Seconds = 2.0
    reports: Literal["granted", "refused"] = "granted"
    moving_rows: Whole = 0

    @model_validator(mode="after")
    def _key_fits(self) -> Self:
        self.key()
        return self

    def key(self) -> bytes:
        """Return the 32 bytes that callbacks are encrypted with.

        Raises:
            ValueError: where there are not 32.
        """
        try:
            encoded = self.key_encoding == "base64"
            key = base64.b64decode(self.encryption_key, validate=True) if encoded else self.encryption_key.encode()
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError("encryption_key must be Base64 where key_encoding says so") from error
        if len(key) != 32:
            raise ValueError(f"encryption_key must be 32 bytes, not {len(key)}")
        return key
