"""Which banks can be asked what they know of a window, and what the others say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from receiver import banks
from receiver.banks.abilities import ListsPayments
from receiver.banks.business_days import Window
from receiver.banks.errors import AnswerUnreadable
from receiver.banks.listing import Moment, Place, moment
from receiver.banks.protocol import Bank

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", banks.names())
def test_a_bank_that_lists_nothing_says_why(name: str) -> None:
    bank = banks.named(name)
    assert isinstance(bank, ListsPayments) == (name in ("bcb", "banking_circle"))
    assert isinstance(bank, ListsPayments) or bank.why_no_lists != Bank.why_no_lists


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-03-04T12:00:00Z", Moment(NOON)),
        ("2026-03-04t12:00:00z", Moment(NOON)),
        ("2026-03-04T13:00:00.1234567+01:00", Moment(NOON + timedelta(microseconds=123456))),
        ("2026-03-04T12:00:00", Moment(NOON)),
        ("2026-03-04T00:00:00", Moment(NOON - timedelta(hours=12))),
        ("2026-03-04", Moment(NOON - timedelta(hours=12), NOON + timedelta(hours=12))),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read_as_a_moment_and_a_day_as_the_whole_of_it(text: str | None, found: Moment | None) -> None:
    assert moment(text) == found


def test_a_day_is_in_every_window_that_it_reaches_into() -> None:
    day = moment("2026-03-04")
    assert day is not None
    hour = timedelta(hours=1)
    assert day.is_in(Window(NOON, NOON + hour))
    assert day.is_in(Window(NOON - 13 * hour, NOON - 11 * hour))
    assert not day.is_in(Window(NOON - 13 * hour, NOON - 12 * hour))
    assert not day.is_in(Window(NOON + 12 * hour, NOON + 13 * hour))


@pytest.mark.parametrize(
    ("page", "is_end"),
    [
        ({"total": 3, "size": 3}, True),
        ({"total": 3, "size": None, "token": "2"}, False),
        ({"total": 3, "size": 3, "token": "2"}, False),
        # There may be more, or the bank is wrong about how many there are.
        ({"total": 4, "size": 3}, False),
        ({"total": 2, "size": 3}, False),
        ({"total": None, "size": 3}, False),
    ],
)
def test_a_full_page_that_comes_twice_is_the_whole_list_where_the_bank_says_so(
    page: dict[str, Any], is_end: bool
) -> None:
    lines = [{"id": number} for number in range(3)]
    _, second = Place().turn(lines, "GET /list", asked=3, **page)
    assert second is not None
    if is_end:
        assert second.turn(lines, "GET /list", asked=3, **page) == ([], None)
        # Another page of it that says the same is read as ever.
        assert second.turn([{"id": 3}], "GET /list", asked=3, **page) == ([{"id": 3}], None)
    else:
        with pytest.raises(AnswerUnreadable, match="the same page comes again"):
            second.turn(lines, "GET /list", asked=3, **page)


def test_a_place_survives_being_written_down() -> None:
    for place in (Place(), Place(NOON.date(), 7, 6000, "100,7", "abc")):
        assert Place.read(place.written()) == place
