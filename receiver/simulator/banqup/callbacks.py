"""What goes out: JSON, proven by nothing but a token in a header where one is set, or a secret in the address."""

import secrets
from typing import Literal, get_args

from receiver.simulator.banqup.config import Config
from receiver.simulator.parcels import Message, Parcel

Variant = Literal["genuine", "again", "forged", "no-token", "not-json"]
"""`forged` shows another token; `not-json` is cut in half."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)


def wrap(told: Message, variant: str, config: Config) -> Parcel:
    """Return the callback of a message; each try is the same."""
    headers = {"Content-Type": "application/json"}
    if variant == "forged":
        headers[config.token_header] = secrets.token_urlsafe(24)
    elif config.header_token is not None and variant != "no-token":
        headers[config.token_header] = config.header_token
    text = told.text[: len(told.text) // 2] if variant == "not-json" else told.text
    return Parcel(text.encode(), lambda: headers)
