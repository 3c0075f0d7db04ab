from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.signing import concatenation
from receiver.signing.errors import Refusal

TIMESTAMP = 1_733_400_000
SIGNED_AT = datetime(2024, 12, 5, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [-300, -299.999, -1, 0, 0.5, 299.999, 300])
def test_it_accepts_up_to_five_minutes_on_either_side(seconds: float) -> None:
    concatenation.check_fresh(TIMESTAMP, SIGNED_AT + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [300.000001, 300.5, 301, 86_400, 10**9])
def test_it_refuses_a_timestamp_that_is_too_old(seconds: float) -> None:
    with pytest.raises(Refusal, match=r"^timestamp_stale: \d+ s old, 300 s allowed$"):
        concatenation.check_fresh(TIMESTAMP, SIGNED_AT + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [300.000001, 300.5, 301, 86_400, 10**9])
def test_it_refuses_a_timestamp_that_is_too_far_ahead(seconds: float) -> None:
    with pytest.raises(Refusal, match=r"^timestamp_stale: \d+ s ahead, 300 s allowed$"):
        concatenation.check_fresh(TIMESTAMP, SIGNED_AT - timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301])
def test_its_refusal_is_marked_as_proven(seconds: int) -> None:
    with pytest.raises(Refusal) as caught:
        concatenation.check_fresh(TIMESTAMP, SIGNED_AT + timedelta(seconds=seconds))
    assert caught.value.proven


@pytest.mark.parametrize("timestamp", [0, 1, 1_000_000_000, 9_999_999_999, -(10**12), 10**15])
def test_it_refuses_the_far_past_and_the_far_future(timestamp: int) -> None:
    with pytest.raises(Refusal, match=r"^timestamp_stale: "):
        concatenation.check_fresh(timestamp, SIGNED_AT)


@pytest.mark.parametrize("year", [1, 1970, 2038, 9999])
def test_it_refuses_at_a_clock_that_is_far_off(year: int) -> None:
    with pytest.raises(Refusal, match=r"^timestamp_stale: "):
        concatenation.check_fresh(TIMESTAMP, datetime(year, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize("hours", [-12, -4, 9, 14])
def test_it_reads_a_clock_of_any_time_zone(hours: int) -> None:
    concatenation.check_fresh(TIMESTAMP, SIGNED_AT.astimezone(timezone(timedelta(hours=hours))))


def test_it_takes_another_window() -> None:
    concatenation.check_fresh(TIMESTAMP, SIGNED_AT + timedelta(seconds=900), window_seconds=900)


def test_it_refuses_beyond_another_window() -> None:
    with pytest.raises(Refusal, match=r"61 s old, 60 s allowed$"):
        concatenation.check_fresh(TIMESTAMP, SIGNED_AT + timedelta(seconds=61), window_seconds=60)


@settings(deadline=None)
@given(microseconds=st.integers(-400_000_000, 400_000_000), timestamp=st.integers(1_000_000_000, 4_000_000_000))
def test_it_draws_the_line_at_the_microsecond(microseconds: int, timestamp: int) -> None:
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=timestamp, microseconds=microseconds)
    try:
        concatenation.check_fresh(timestamp, now)
    except Refusal:
        assert abs(microseconds) > 300_000_000
    else:
        assert abs(microseconds) <= 300_000_000
