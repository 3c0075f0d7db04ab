"""What a simulated Banking Circle is started with."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Literal

from receiver.simulator.calling import Calling
from receiver.simulator.options import FIXED

EXAMPLE_KEY = "simulator-key-of-32-characters-!"
"""Thirty-two characters, as a client chooses them at subscription."""

RETRY_DELAYS = (15.0, 30.0, 60.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 43200.0, 86400.0, 172800.0)
"""The bank's schedule: 15 s, 30 s, 1 m, 10 m, 30 m, 1 h, 2 h, 6 h, 12 h, 24 h, 48 h."""

KeyEncoding = Literal["utf8", "base64"]

ErrorShape = Literal["errors", "validation", "properties", "problem", "code", "empty"]


@dataclass(frozen=True)
class Config(Calling):
    """The bank's one user and one subscription, and how the bank behaves; all times are in seconds.

    Fixed at the start: `username`, `password`, `passcode` (of the PFX files), `folder` (where the certificates are
    written; a temporary one without), `certificate_days` (how long the client's certificate lasts), `tls_version` (the
    newest spoken; the oldest is 1.2), `accounts` (how many there are), `control_port`.

    Authorization: `token_requests` are allowed in `token_window_seconds` for each address (0: no limit; the bank's own
    numbers are not published). `expires_in` is a `text` or a `number`; `token_type` is there `sometimes` (in every
    other answer), `always` or `never`.

    Answers: lists spell their names `lower` (`result`), `upper` (`Result`) or `alternate`; without `row_count` it is
    null; `accounts_shape` `bare` answers with the first account alone; `errors_form` is how a rejected payment says
    why.

    Callbacks: `encryption_key` is 32 characters as they are (`utf8`) or the Base64 of 32 bytes. With `automatic` each
    change of a payment's status is told by itself, `batch_size` notifications in a callback at most. `booked` says
    when, beside Processed, Booked is told: `after`, `before` or `never`. `envelope` is an `object` or a bare `array`.

    `speed` also speeds up what the sandbox amounts do; `pending_seconds` is how long a payment is PendingProcessing.
    """

    retry_delays: tuple[float, ...] = RETRY_DELAYS
    username: str = field(default="simulator-user", metadata={FIXED: True})
    password: str = field(default="simulator-password", repr=False, metadata={FIXED: True})
    passcode: str = field(default="simulator-passcode", repr=False, metadata={FIXED: True})
    folder: str | None = field(default=None, metadata={FIXED: True})
    certificate_days: float = field(default=365.0, metadata={FIXED: True})
    tls_version: Literal["1.2", "1.3"] = field(default="1.2", metadata={FIXED: True})
    accounts: int = field(default=3, metadata={FIXED: True})
    control_port: int = field(default=0, metadata={FIXED: True})
    token_lifetime_seconds: float = 300.0
    token_requests: int = 10
    token_window_seconds: float = 60.0
    expires_in: Literal["text", "number"] = "text"
    token_type: Literal["sometimes", "always", "never"] = "sometimes"  # noqa: S105 - no secret
    spelling: Literal["lower", "upper", "alternate"] = "lower"
    row_count: bool = True
    accounts_shape: Literal["page", "bare"] = "page"
    error_shape: ErrorShape = "errors"
    errors_form: Literal["array", "text"] = "array"
    encryption_key: str = field(default=EXAMPLE_KEY, repr=False)
    key_encoding: KeyEncoding = "utf8"
    subscription_version: int = 1
    automatic: bool = True
    batch_size: int = 1000
    booked: Literal["after", "before", "never"] = "after"
    envelope: Literal["object", "array"] = "object"
    byte_order_mark: bool = False
    pending_seconds: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.batch_size <= 1000:
            raise ValueError("batch_size must be from 1 to 1000")
        self.key()

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
