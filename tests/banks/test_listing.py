"""Which banks can be asked what they know of a window, and what the others say."""

from datetime import UTC, datetime, timedelta

import pytest

from receiver import banks
from receiver.banks.abilities import ListsPayments
from receiver.banks.business_days import Window
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


def test_a_place_survives_being_written_down() -> None:
    for place in (Place(), Place(NOON.date(), 7, 6000, "100,7", "abc")):
        assert Place.read(place.written()) == place
