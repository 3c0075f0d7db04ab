"""What can be set for a ConnectPay source: its options, and its token."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from receiver.banks import options, urls
from receiver.banks.connectpay.calls import CLIENT
from receiver.banks.protocol import Callback, Carried, OptionsWrong
from receiver.signing import static_token

TOKEN_HEADER = "x-connectpay-token"  # noqa: S105 - a header's name
TIMESTAMP_HEADER = "x-connectpay-timestamp"
STATUS_PATH = "/ob/payments/{paymentOrderNo}/status"

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
    *options.watch(),
)


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `token_header`: the header that shows the token (default `x-connectpay-token`).
    `allowed_addresses`: in place of the published ones of the environment; `0.0.0.0/0,::/0` takes any.
    `api_key`: whether the API's key stands `bare` (default) in its header or behind `Basic `.
    `status_path`: where the status of a payment is asked for.
    `quiet_hours`: after how long without a callback a warning is given (default 24; 0 for never).
    `business_hours`: which of these hours count, `DAYS,HH:MM-HH:MM,ZONE` (default all).
    `business_days`: its business days and when each ends, `DAYS,HH:MM,ZONE` (default every day, UTC).

    Raises:
        OptionsWrong
    """
    stored = options.check("connectpay", given, _KNOWN)
    if token_header(stored) == TIMESTAMP_HEADER:
        raise OptionsWrong(f"token_header={TIMESTAMP_HEADER}: that header holds the time, and never the token")
    _check_status_path(stored.get("status_path", ""))
    return stored


def _check_status_path(path: str) -> None:
    try:
        readings = urls.readings(path)
    except ValueError as error:
        raise OptionsWrong(f"status_path={path} is {error}") from None
    if any(CLIENT in reading.lower().replace("\\", "/") for reading in readings):
        raise OptionsWrong("status_path is a client call, which needs the user's token: a background job has none")


def check_secret(secret: str, _given: Mapping[str, Any]) -> None:
    """Accept a static token for a header.

    Raises:
        Refusal: `secret_malformed`.
    """
    static_token.check(secret)


def token_header(given: Mapping[str, Any]) -> str:
    """Return the name of the header that shows the token, in lower case."""
    return options.spelling(given.get("token_header", TOKEN_HEADER))


def allowed_addresses(given: Mapping[str, Any], environment: str) -> Sequence[str]:
    """Return the allow-list: the addresses and ranges that callbacks may come from."""
    return given.get("allowed_addresses") or ADDRESSES.get(environment, ())


def proofs(given: Mapping[str, Any]) -> Sequence[str]:
    """Return by what callbacks are proven: the token, and the sender's address unless the list takes any."""
    takes_any = options.takes_any_address(given.get("allowed_addresses", ()))
    return ("token",) if takes_any else ("token", "address")


def carried(given: Mapping[str, Any]) -> Carried:
    """Return the header that holds the token in the clear, to be redacted; it may come in any other too."""
    return Carried(headers=frozenset({token_header(given)}), plain=frozenset({TIMESTAMP_HEADER}), everywhere=True)


def alternatives(callback: Callback, given: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield every header in which a token may have come."""
    for name in callback.headers:
        if name not in options.RESERVED_HEADERS and name != token_header(given):
            yield {"token_header": name}
