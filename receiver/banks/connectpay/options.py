"""What can be set for a ConnectPay source."""

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.banks import options
from receiver.banks.protocol import OptionsWrong

TOKEN_HEADER = "x-connectpay-token"  # noqa: S105 - a header's name
STATUS_PATH = "/ob/payments/{paymentOrderNo}/status"
QUIET_HOURS = 24

ADDRESSES = {
    "sandbox": ("52.31.71.221", "54.74.228.210"),
    "production": (
        "34.254.62.56",
        "54.195.165.25",
        "52.31.241.30",
        "54.75.225.162",
        "46.137.64.9",
        "54.171.90.128",
    ),
}
"""Where callbacks come from, as published."""

_KNOWN = (
    options.header("token_header"),
    options.allowed_addresses(),
    options.choice("api_key", "bare", "basic"),
    options.path("status_path", "paymentOrderNo"),
    options.number("quiet_hours", least=0),
)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `token_header`: the header that shows the token (default `x-connectpay-token`).
    `allowed_addresses`: in place of the published ones of the environment; `0.0.0.0/0,::/0` takes any.
    `api_key`: whether the API's key stands `bare` (default) in its header or behind `Basic `.
    `status_path`: where the status of a payment is asked for.
    `quiet_hours`: after how long without a callback a warning is given (default 24; 0 for never).

    Raises:
        OptionsWrong
    """
    stored = options.check("connectpay", given, _KNOWN)
    if "/client/" in stored.get("status_path", ""):
        raise OptionsWrong("status_path is a client call, which needs the user's token: a background job has none")
    return stored


def token_header(given: Mapping[str, Any]) -> str:
    """Return the name of the header that shows the token, in lower case."""
    return str(given.get("token_header", TOKEN_HEADER))


def allowed_addresses(given: Mapping[str, Any], environment: str) -> Sequence[str]:
    """Return the addresses and ranges that callbacks may come from."""
    return given.get("allowed_addresses") or ADDRESSES.get(environment, ())


def takes_any_address(given: Mapping[str, Any]) -> bool:
    """Tell whether the list of addresses leaves none out."""
    return any(text.endswith("/0") for text in given.get("allowed_addresses", ()))


def silence_seconds(given: Mapping[str, Any]) -> float | None:
    """Return after how long without a callback a warning is given; none for never."""
    hours = int(given.get("quiet_hours", QUIET_HOURS))
    return hours * 3600 if hours else None
