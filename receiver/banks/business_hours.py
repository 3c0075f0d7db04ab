"""A bank's business hours: of how long a source is quiet, only what falls into them counts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

ALWAYS = "mon-sun,00:00-24:00,UTC"

_TEXT = re.compile(
    r"([a-z]{3})(?:-([a-z]{3}))?,([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9]),([A-Za-z0-9_+/-]{1,64})"
)

_MIDNIGHT = timedelta(hours=24)

DAYS_BACK_MAX = 400
"""Longer ago nothing is looked for: a source that was quiet for a year is quiet."""

_FIXED = {"UTC": UTC, "Europe/Copenhagen": timezone(timedelta(hours=1), "CET")}
"""In place of a zone that a machine without a database of zones (tzdata) can't name."""


@dataclass(frozen=True)
class BusinessHours:
    """On which days of the week a bank is at work (Monday is 0), from when to when, and where."""

    days: frozenset[int]
    opens: timedelta
    """Since midnight."""
    closes: timedelta
    zone: tzinfo

    def ago(self, seconds: float, now: datetime) -> datetime:
        """Return the time before `now` since which so many seconds of business hours have passed (UTC)."""
        left = timedelta(seconds=seconds)
        for opened, closed in self._backwards(now):
            if closed - opened >= left:
                return closed - left
            left -= closed - opened
        return now - timedelta(days=DAYS_BACK_MAX)

    def _backwards(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield when the bank opened and closed on each of its days, the latest first, as far as that is past."""
        today = now.astimezone(self.zone).date()
        for days_ago in range(DAYS_BACK_MAX):
            day = today - timedelta(days=days_ago)
            if day.weekday() not in self.days:
                continue
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the clock on the wall, its zone follows
            opened, closed = (self._utc(midnight + since) for since in (self.opens, self.closes))
            if opened < now:
                yield opened, min(closed, now)

    def _utc(self, on_the_wall: datetime) -> datetime:
        return on_the_wall.replace(tzinfo=self.zone).astimezone(UTC)


def read(text: str) -> BusinessHours:
    """Read `DAYS,HH:MM-HH:MM,ZONE`, such as `mon-fri,08:00-18:00,Europe/Copenhagen`; a zone of IANA's database.

    Raises:
        ValueError
    """
    parts = _TEXT.fullmatch(text)
    if parts is None or not {parts[1], parts[2] or parts[1]} <= set(DAYS):
        raise ValueError(f"{text!r} are no business hours")
    first, last = DAYS.index(parts[1]), DAYS.index(parts[2] or parts[1])
    length = (last - first) % 7 + 1
    opens = timedelta(hours=int(parts[3]), minutes=int(parts[4]))
    closes = timedelta(hours=int(parts[5]), minutes=int(parts[6]))
    if not opens < closes <= _MIDNIGHT:
        raise ValueError(f"{text!r} are no business hours")
    return BusinessHours(frozenset((first + step) % 7 for step in range(length)), opens, closes, zone_named(parts[7]))


def zone_named(name: str) -> tzinfo:
    """Return a zone of IANA's database by its name.

    Raises:
        ValueError
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        if name in _FIXED:
            return _FIXED[name]
        raise ValueError(f"{name!r} is no zone of IANA's database") from error
