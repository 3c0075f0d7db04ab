"""To which business day of a bank a moment belongs, and from when to when a day lasts."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from receiver.banks import business_days
from receiver.banks.business_days import Window
from receiver.store.days import BELONGS_WITHIN

BANKING_CIRCLE = business_days.read("mon-fri,19:00,Europe/Copenhagen")
EVERY_DAY = business_days.read(business_days.EVERY_DAY)


@pytest.mark.parametrize(
    ("at", "day"),
    [
        # A Friday in November, an hour ahead of UTC.
        (datetime(2026, 11, 27, 17, 59, 59, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 11, 27, 18, 0, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 28, 12, 0, tzinfo=UTC), date(2026, 11, 30)),
        # In summer two hours ahead.
        (datetime(2026, 7, 1, 16, 59, tzinfo=UTC), date(2026, 7, 1)),
        (datetime(2026, 7, 1, 17, 0, tzinfo=UTC), date(2026, 7, 2)),
    ],
)
def test_what_comes_after_the_end_or_at_the_week_end_belongs_to_the_next_business_day(at: datetime, day: date) -> None:
    assert BANKING_CIRCLE.day_of(at) == day


def test_a_day_lasts_from_the_end_of_the_one_before() -> None:
    monday = BANKING_CIRCLE.window(date(2026, 11, 30))
    assert monday == Window(datetime(2026, 11, 27, 18, tzinfo=UTC), datetime(2026, 11, 30, 18, tzinfo=UTC))
    assert monday.begin in monday
    assert monday.end not in monday
    assert BANKING_CIRCLE.after(date(2026, 11, 27)) == date(2026, 11, 30)
    assert BANKING_CIRCLE.before(date(2026, 11, 30)) == date(2026, 11, 27)


def test_the_windows_of_business_days_leave_no_gap_where_the_clocks_are_changed() -> None:
    day = date(2026, 10, 20)
    while day < date(2026, 11, 5):
        following = BANKING_CIRCLE.after(day)
        assert BANKING_CIRCLE.window(day).end == BANKING_CIRCLE.window(following).begin
        day = following


def test_every_day_is_one_where_nothing_else_is_known() -> None:
    assert EVERY_DAY.day_of(datetime(2026, 11, 29, 23, 59, tzinfo=UTC)) == date(2026, 11, 29)
    assert EVERY_DAY.day_of(datetime(2026, 11, 30, tzinfo=UTC)) == date(2026, 11, 30)


def test_a_day_of_the_week_end_has_no_window() -> None:
    with pytest.raises(ValueError, match="2026-11-28 is no business day"):
        BANKING_CIRCLE.window(date(2026, 11, 28))


@pytest.mark.parametrize("text", ["", "mon-fri", "mon-fry,19:00,UTC", "mon-fri,00:00,UTC", "mon-fri,25:00,UTC"])
def test_what_names_no_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="business days"):
        business_days.read(text)


CALENDARS = [
    "mon-sun,24:00,UTC",
    "mon-sun,12:00,UTC",
    "mon-fri,24:00,UTC",
    "mon-fri,19:00,Europe/Copenhagen",
    "mon-fri,12:00,UTC",
    "sat-sat,24:00,UTC",
    "mon-sun,24:00,Pacific/Kiritimati",
    "mon-sun,20:00,Pacific/Pago_Pago",
]


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("after", CALENDARS)
@pytest.mark.parametrize("before", CALENDARS)
def test_each_moment_is_in_the_window_of_its_day_whatever_days_were_closed_by_another_calendar(
    before: str, after: str, number: int
) -> None:
    then, now = business_days.read(before), business_days.read(after)
    for first in (0, 4, 6):
        closed = {}
        day = then.on_or_after(date(2026, 3, 2) + timedelta(days=first))
        for _ in range(number):
            closed[day] = then.window(day)
            day = then.after(day)
        days = replace(now, closed=closed)
        # As far around them as closed days are looked for.
        begin = min(window.begin for window in closed.values()) - timedelta(days=7)
        moments = [begin + timedelta(hours=2 * each) for each in range(12 * (14 + 7 * number))]
        for at in moments:
            near = replace(days, closed=_near(closed, at.date()))
            day = near.day_of(at)
            assert at in replace(days, closed=_near(closed, day)).window(day), (first, at, day)
        in_order = [days.day_of(at) for at in moments]
        assert in_order == sorted(in_order)


def _near(closed: dict[date, Window], day: date) -> dict[date, Window]:
    return {each: window for each, window in closed.items() if abs(each - day) <= BELONGS_WITHIN}
