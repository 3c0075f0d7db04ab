"""What can be set for a Banking Circle source."""

import re
from collections.abc import Mapping
from typing import Any

from receiver.banks.protocol import OptionsWrong
from receiver.signing import addresses

HEADERS = {"nonce_header": "nonce", "tag_header": "authenticationtag", "checksum_header": "checksum"}
"""The options that name headers, and the bank's own names, in lower case."""

_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `encoding`: how the encryption key's text becomes a key, `utf8` (default) or `base64`.
    `allowed_addresses`: comma-separated addresses or networks; callbacks from any other are refused.
    `authorization_url`: where tokens are given out, where it is not the bank's own host for the environment.
    `nonce_header`, `tag_header`, `checksum_header`: other names of the headers of a callback.
    `requests_per_window`: how many requests the bank takes in a minute (default 300).

    Raises:
        OptionsWrong
    """
    stored: dict[str, Any] = {}
    for name, value in given.items():
        if name == "encoding" and value in ("base64", "utf8"):
            stored[name] = value
        elif name == "allowed_addresses" and (networks := _networks(value)):
            stored[name] = networks
        elif name == "authorization_url" and _URL.fullmatch(str(value)):
            stored[name] = str(value).rstrip("/")
        elif name in HEADERS and _HEADER.fullmatch(str(value)):
            stored[name] = str(value).lower()
        elif name == "requests_per_window" and re.fullmatch(r"[1-9][0-9]{0,8}", str(value)):
            stored[name] = int(value)
        else:
            raise OptionsWrong(f"{name}={value} is not an option of banking_circle: {_ACCEPTED}")
    return stored


def header(name: str, options: Mapping[str, Any]) -> str:
    """Return what a header is called, by the name of its option."""
    return str(options.get(name, HEADERS[name]))


def _networks(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    texts = [stripped for part in parts if (stripped := str(part).strip())]
    try:
        return [str(addresses.network(text)) for text in texts]
    except ValueError:
        return []


_ACCEPTED = (
    "encoding=utf8|base64, allowed_addresses=ADDRESS|NETWORK[,…], authorization_url=URL, nonce_header=NAME, "
    "tag_header=NAME, checksum_header=NAME, requests_per_window=NUMBER"
)
