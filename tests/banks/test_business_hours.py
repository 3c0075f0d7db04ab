"""Of how long a source is quiet, only the bank's business hours count."""

from datetime import UTC, datetime, timedelta

import pytest

from receiver.banks import business_hours
from receiver.banks.banking_circle import BANK as BANKING_CIRCLE

OFFICE = "mon-fri,08:00-18:00,Europe/Copenhagen"

FRIDAY = datetime(2026, 3, 6, 16, 0, tzinfo=UTC)
"""17:00 in Copenhagen."""


@pytest.mark.parametrize(
    ("text", "hours", "now", "since"),
    [
        (business_hours.ALWAYS, 24, FRIDAY, FRIDAY - timedelta(hours=24)),
        (OFFICE, 2, FRIDAY, FRIDAY - timedelta(hours=2)),
        # An hour is left of Friday, the others lie in Monday.
        (
            OFFICE,
            2,
            datetime(2026, 3, 9, 8, 0, tzinfo=UTC),
            datetime(2026, 3, 6, 17, 0, tzinfo=UTC) - timedelta(hours=1),
        ),
        # On Sunday all that counts is before the week-end.
        (OFFICE, 1, datetime(2026, 3, 8, 12, 0, tzinfo=UTC), datetime(2026, 3, 6, 16, 0, tzinfo=UTC)),
        # Twenty hours are two whole days at work.
        (OFFICE, 20, datetime(2026, 3, 10, 17, 0, tzinfo=UTC), datetime(2026, 3, 9, 7, 0, tzinfo=UTC)),
        # Over a week-end in which the clocks go forward: 18:00 on Friday is 17:00 UTC, 08:00 on Monday 06:00 UTC.
        (OFFICE, 1, datetime(2026, 3, 30, 6, 30, tzinfo=UTC), datetime(2026, 3, 27, 16, 30, tzinfo=UTC)),
        ("sat-mon,00:00-24:00,UTC", 1, FRIDAY, datetime(2026, 3, 2, 23, 0, tzinfo=UTC)),
        ("sun,10:00-11:00,UTC", 2, FRIDAY, datetime(2026, 2, 22, 10, 0, tzinfo=UTC)),
    ],
)
def test_so_many_business_hours_ago(text: str, hours: int, now: datetime, since: datetime) -> None:
    assert business_hours.read(text).ago(hours * 3600, now) == since


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon-fri",
        "mon-fri,08:00-18:00",
        "mon-fri,18:00-08:00,UTC",
        "mon-fri,08:00-08:00,UTC",
        "mon-fri,08:00-24:30,UTC",
        "mo-fr,08:00-18:00,UTC",
        "xxx,08:00-18:00,UTC",
        "mon-fri,08:00-18:00,Moon/Base",
        "mon-fri,08:00-18:00,../etc",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"business hours|is no zone"):
        business_hours.read(text)


def test_more_hours_than_there_are_in_a_year_are_never_waited_for() -> None:
    assert business_hours.read("sun,10:00-11:00,UTC").ago(10**9, FRIDAY) == FRIDAY - timedelta(days=400)


def test_banking_circle_is_quiet_by_its_own_business_day_where_the_source_says_no_other() -> None:
    sunday = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
    assert BANKING_CIRCLE.silent_since({}, sunday) is None
    assert BANKING_CIRCLE.silent_since({"quiet_hours": 19}, sunday) == datetime(2026, 3, 5, 23, 0, tzinfo=UTC)
    always = {"quiet_hours": 19, "business_hours": business_hours.ALWAYS}
    assert BANKING_CIRCLE.silent_since(always, sunday) == sunday - timedelta(hours=19)
