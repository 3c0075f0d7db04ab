"""What can be set for a BCB source."""

from collections.abc import Mapping
from typing import Any

from receiver.banks.bank import OptionsWrong


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `encoding`: how the signing secret becomes a key, `base64` (default) or `utf8`.
    `channels`: comma-separated; only these may follow the source's name in the path.
    `requests_per_window`: how many requests the bank takes in an hour (default 300).

    Raises:
        OptionsWrong
    """
    stored: dict[str, Any] = {}
    for name, value in given.items():
        if name == "encoding" and value in ("base64", "utf8"):
            stored[name] = value
        elif name == "channels" and (channels := _channels(value)):
            stored[name] = channels
        elif name == "requests_per_window" and str(value).isascii() and str(value).isdecimal() and int(value) > 0:
            stored[name] = int(value)
        else:
            raise OptionsWrong(f"{name}={value} is not an option of bcb: {_ACCEPTED}")
    return stored


def _channels(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    return [stripped for part in parts if (stripped := str(part).strip(" /"))]


_ACCEPTED = "encoding=base64|utf8, channels=NAME[,NAME…], requests_per_window=NUMBER"
