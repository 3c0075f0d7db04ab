"""How old, or how far ahead, a signed timestamp may be."""

from datetime import datetime

from receiver.signing.errors import Refusal

WINDOW_SECONDS = 300


def check(timestamp: int, now: datetime, window_seconds: int = WINDOW_SECONDS) -> None:
    """Accept a timestamp (Unix seconds) at most `window_seconds` before or after `now` (an aware datetime).

    Raises:
        Refusal: `timestamp_stale`, marked as proven: call this only once the signature was found right.
    """
    age = now.timestamp() - timestamp
    if abs(age) > window_seconds:
        side = "old" if age > 0 else "ahead"
        raise Refusal("timestamp_stale", f"{abs(age):.0f} s {side}, {window_seconds} s allowed", proven=True)
