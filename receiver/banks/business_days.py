"""A bank's business days: to which of them a moment belongs, and from when to when one of them lasts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo

from receiver.banks.business_hours import DAYS, zone_named

OPTION = "business_days"
"""What the option of a source is called that says which they are."""

EVERY_DAY = "mon-sun,24:00,UTC"

_TEXT = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?,([0-2][0-9]):([0-5][0-9]),([A-Za-z0-9_+/-]{1,64})")

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """A span of time (UTC): `begin` belongs to it, `end` does not."""

    begin: datetime
    end: datetime

    def __contains__(self, at: datetime) -> bool:
        """Tell whether a moment is within it."""
        return self.begin <= at < self.end


@dataclass(frozen=True)
class BusinessDays:
    """The days of the week that are business days (Monday is 0), and when and where each of them ends.

    What comes after the end, or on another day, belongs to the next business day. Where days were closed by another
    calendar they last as they did then, and no other has anything of them: each begins where the one before it ends.
    """

    weekdays: frozenset[int]
    ends: timedelta
    """Since midnight, by the clock on the wall."""
    zone: tzinfo
    closed: Mapping[date, Window] = field(default_factory=dict, hash=False)
    """The closed days within a week of what is asked, and from when to when each lasts."""

    def day_of(self, at: datetime) -> date:
        """Return the day that a moment belongs to: the one whose window holds it, else the next one that is not closed.

        The latter is so of what lies between two closed days that have no day between them by now.
        """
        for day, window in self.closed.items():
            if at in window:
                return day
        # The one before may last longer than the calendar says, to where a closed one begins.
        day = self.before(at.astimezone(self.zone).date())
        while not self.is_day(day) or day in self.closed or at >= self._end(day):
            day += _DAY
        return day

    def day_named(self, day: date) -> date:
        """Return the day that a date means: itself, or the one that its last moment belongs to."""
        return day if day in self.closed else self.day_of(self._calendar_end(day) - timedelta(microseconds=1))

    def is_day(self, day: date) -> bool:
        """Tell whether it is a business day by its day of the week; the bank's holidays are not known here."""
        return day.weekday() in self.weekdays

    def window(self, day: date) -> Window:
        """Return from when to when a business day lasts: from the end of the one before, closed or not.

        Raises:
            ValueError: it is no business day.
        """
        if day in self.closed:
            return self.closed[day]
        if not self.is_day(day):
            raise ValueError(f"{day} is no business day")
        begin = self._end(max([self.before(day), *(each for each in self.closed if each < day)]))
        return Window(begin, max(begin, self._end(day)))

    def before(self, day: date) -> date:
        """Return the last business day before `day`."""
        day -= _DAY
        while not self.is_day(day):
            day -= _DAY
        return day

    def after(self, day: date) -> date:
        """Return the first business day after `day`."""
        day += _DAY
        while not self.is_day(day):
            day += _DAY
        return day

    def on_or_after(self, day: date) -> date:
        """Return the business day that a date means: itself, or the first one after it."""
        return day if self.is_day(day) else self.after(day)

    def _end(self, day: date) -> datetime:
        """Return when a day ends: where the next one begins, if that is closed, else by the calendar."""
        if day in self.closed:
            return self.closed[day].end
        ends = [window.end for each, window in self.closed.items() if each < day]
        behind = {each: window.begin for each, window in self.closed.items() if each > day}
        if behind and min(behind) <= self.after(day):
            return behind[min(behind)]
        return min([max([self._calendar_end(day), *ends]), *behind.values()])

    def _calendar_end(self, day: date) -> datetime:
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the clock on the wall, its zone follows
        return (midnight + self.ends).replace(tzinfo=self.zone).astimezone(UTC)


def read(text: str) -> BusinessDays:
    """Read `DAYS,HH:MM,ZONE`, such as `mon-fri,19:00,Europe/Copenhagen`; a zone of IANA's database.

    Raises:
        ValueError
    """
    parts = _TEXT.fullmatch(text)
    if parts is None or not {parts[1], parts[2] or parts[1]} <= set(DAYS):
        raise ValueError(f"{text!r} are no business days")
    first, last = DAYS.index(parts[1]), DAYS.index(parts[2] or parts[1])
    ends = timedelta(hours=int(parts[3]), minutes=int(parts[4]))
    if not timedelta(0) < ends <= _DAY:
        raise ValueError(f"{text!r} are no business days")
    weekdays = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    return BusinessDays(weekdays, ends, zone_named(parts[5]))
