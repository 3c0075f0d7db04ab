"""What goes out: JSON with a token in a header and a time, which nothing binds to each other."""

import uuid
from datetime import datetime
from typing import Literal, get_args

from receiver.simulator.connectpay.config import Config
from receiver.simulator.courier import Attempt
from receiver.simulator.parcels import Message, Parcel

Variant = Literal["genuine", "again", "forged", "no-token", "no-timestamp", "not-json"]
"""`forged` shows another token; `not-json` is cut in half."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)


def accepts(attempt: Attempt) -> bool:
    """Tell whether the bank counts an answer as a success: exactly 200 with the body `OK`, nothing else."""
    return attempt.status == 200 and attempt.body == b"OK"


def wrap(told: Message, variant: str, config: Config, now: datetime) -> Parcel:
    """Return the callback of something that happened at `now`; each try is the same."""
    headers = {
        "Content-Type": "application/json",
        config.token_header: str(uuid.uuid4()) if variant == "forged" else config.token,
        "x-connectpay-timestamp": _time(now, config.timestamp),
    }
    if variant == "no-token":
        del headers[config.token_header]
    if variant == "no-timestamp":
        del headers["x-connectpay-timestamp"]
    text = told.text[: len(told.text) // 2] if variant == "not-json" else told.text
    return Parcel(text.encode(), lambda: headers)


def _time(moment: datetime, form: str) -> str:
    match form:
        case "milliseconds":
            return str(int(moment.timestamp() * 1000))
        case "iso":
            return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        case _:
            return str(int(moment.timestamp()))
