"""What can be set for a BCB source: its options, and its signing secret."""

from collections.abc import Mapping
from typing import Any

from receiver.banks import options
from receiver.banks.options import Option
from receiver.signing import hmac_sha256

ENCODING = "base64"
"""How the signing secret becomes a key where the option `encoding` does not say."""


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `encoding`: how the signing secret becomes a key, `base64` (default) or `utf8`.
    `channels`: comma-separated; only these may follow the source's name in the path.
    `requests_per_window`: how many requests the bank takes in an hour (default 300).
    `allowed_addresses`: callbacks from elsewhere are refused.
    `quiet_hours`: after how long without a callback a warning is given (default 0, for never).
    `business_hours`: which of these hours count, `DAYS,HH:MM-HH:MM,ZONE` (default all).
    `business_days`: its business days and when each ends, `DAYS,HH:MM,ZONE` (default every day, UTC).

    Raises:
        OptionsWrong
    """
    return options.check("bcb", given, _KNOWN)


def check_secret(secret: str, given: Mapping[str, Any]) -> None:
    """Accept a signing secret that makes an HMAC key in the source's encoding, one that nobody can guess.

    Raises:
        Refusal: `secret_malformed`, `secret_weak`.
    """
    hmac_sha256.check_strength(hmac_sha256.key("new", secret, given.get("encoding", ENCODING)))


def _channels(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    found = [stripped for part in parts if (stripped := str(part).strip(" /"))]
    if not found:
        raise ValueError("no channel")
    return found


_KNOWN = (
    options.choice("encoding", "base64", "utf8"),
    Option("channels", _channels, "NAME[,NAME…]"),
    options.number("requests_per_window"),
    options.allowed_addresses(),
    *options.watch(),
)
