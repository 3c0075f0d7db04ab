"""A cursor leads back to its place, in the list that gave it out and in no other."""

import pytest
from web.reading import spoilt

from receiver.feed.cursors import CursorInvalid, Cursors
from receiver.feed.reader import PositionUnknown, check_given_out
from receiver.store.consumers import ConsumerPlace

KEYS = ["n" * 43, "o" * 43]


def test_a_cursor_leads_back_to_its_place() -> None:
    cursors = Cursors(KEYS, "feed")
    assert cursors.read_number(cursors.make(7)) == 7
    assert cursors.read_text(cursors.make("evt_1")) == "evt_1"


@pytest.mark.parametrize("place", [ConsumerPlace(7), ConsumerPlace(7, 5)])
def test_a_cursor_of_a_consumer_leads_back_to_its_place_and_is_a_number_to_whoever_asks_for_one(
    place: ConsumerPlace,
) -> None:
    cursors = Cursors(KEYS, "consumer:ledger")
    made = cursors.make_place(place)
    assert (cursors.read_place(made), cursors.read_number(made)) == (place, 7)


def test_a_cursor_of_the_release_before_is_a_place_of_no_generation() -> None:
    cursors = Cursors(KEYS, "consumer:ledger")
    assert cursors.read_place(cursors.make(7)) == ConsumerPlace(7, 0)


def test_a_cursor_of_an_older_key_is_still_read() -> None:
    assert Cursors(KEYS, "feed").read_number(Cursors(KEYS[1:], "feed").make(7)) == 7


def test_a_cursor_of_another_list_is_invalid() -> None:
    with pytest.raises(CursorInvalid, match="was not given out by this list"):
        Cursors(KEYS, "feed").read_number(Cursors(KEYS, "events").make(7))


def test_a_cursor_that_holds_another_kind_of_place_is_invalid() -> None:
    cursors = Cursors(KEYS, "feed")
    with pytest.raises(CursorInvalid):
        cursors.read_number(cursors.make("evt_1"))
    with pytest.raises(CursorInvalid):
        cursors.read_text(cursors.make(7))


@pytest.mark.parametrize("cursor", spoilt(Cursors(KEYS, "feed").make(7)))
def test_a_spoilt_cursor_is_invalid(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        Cursors(KEYS, "feed").read_number(cursor)


def test_a_position_beyond_the_last_one_is_unknown() -> None:
    check_given_out(7, 7)
    with pytest.raises(PositionUnknown, match="behind the end of the feed"):
        check_given_out(8, 7)
