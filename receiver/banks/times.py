"""Times as banks write them."""

import re
from datetime import UTC, datetime

_SECONDS = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_MILLISECONDS = re.compile(r"[0-9]{12,14}")


def read(text: str) -> datetime | None:
    """Read Unix seconds, Unix milliseconds or ISO 8601 (UTC where it names no zone); none where it is none."""
    try:
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        if _MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        found = datetime.fromisoformat(text.strip())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
