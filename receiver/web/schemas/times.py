"""Times as the API reads and writes them (RFC 3339)."""

from datetime import UTC, datetime

YEARS = (1971, 9998)
"""Times that still are times after a little is added or taken away."""

TAKES = "a time with its zone, such as 2026-01-31T12:00:00Z"


def rfc3339(time: datetime) -> str:
    """Write a time in UTC to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Read a time (RFC 3339), with its zone or without.

    Its letters may be small (section 5.6), of which Python takes no `z`.

    Raises:
        ValueError
    """
    return datetime.fromisoformat(text.upper())


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
