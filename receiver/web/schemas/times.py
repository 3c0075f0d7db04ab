"""Times as the API reads and writes them (RFC 3339)."""

import re
from datetime import UTC, datetime

YEARS = (1971, 9998)
"""Times that still are times after a little is added or taken away."""

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)

_BEGINS_LIKE_DATE = re.compile(r"[0-9]{4}-?(?:[0-9]{2}|[Ww])")

TAKES = "a time with its zone, such as 2026-01-31T12:00:00Z"


def rfc3339(time: datetime) -> str:
    """Write a time in UTC to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Read a time (RFC 3339), with its zone or without; of a second's fraction the first six digits count.

    Its letters may be small (section 5.6), of which Python takes no `z`. Python takes much else that is ISO 8601.

    Raises:
        ValueError
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"not {TAKES}")
    return datetime.fromisoformat(text.upper())


def is_meant_as_time(text: str) -> bool:
    """Tell whether a text is a time, or was to be one; no cursor begins so."""
    return _BEGINS_LIKE_DATE.match(text) is not None


def asked_time(given: object) -> datetime:
    """Read a time with its zone (RFC 3339), in UTC.

    Raises:
        ValueError: it has no zone, is out of range, or is no time; the text says what a time looks like.
    """
    try:
        found = read_time(given) if isinstance(given, str) else None
        in_utc = found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None or not YEARS[0] <= in_utc.year <= YEARS[1]:
        raise ValueError(TAKES)
    return in_utc
