"""An outage is told in a few lines, however many requests it costs."""

import logging

import pytest
from timers import Timer

from receiver.web.problems import Outages


@pytest.fixture
def timer() -> Timer:
    return Timer(50.0)


@pytest.fixture
def outages(timer: Timer) -> Outages:
    return Outages(timer)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


FIRST = ("ERROR", "the database is unavailable: disk full")


def test_the_first_refusal_is_told_at_once(outages: Outages, caplog: pytest.LogCaptureFixture) -> None:
    outages.refused("disk full")
    assert lines(caplog) == [FIRST]


def test_those_after_it_are_told_by_their_number_every_ten_seconds(
    outages: Outages, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(250):
        outages.refused("disk full")
        timer.now += 0.125
    still = ("ERROR", "the database is still unavailable, 80 more requests refused: disk full")
    assert lines(caplog) == [FIRST, still, still, still]


def test_its_end_is_told_once(outages: Outages, timer: Timer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(4):
        outages.refused("disk full")
        timer.now += 1
    timer.now += 5
    outages.succeeded()
    outages.succeeded()
    over = ("WARNING", "the database is available again: 4 requests were refused within 3 s")
    assert lines(caplog) == [FIRST, over]


def test_success_amid_refusals_is_no_end(outages: Outages, timer: Timer, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(90):
        outages.refused("disk full")
        timer.now += 0.1
        outages.succeeded()
    assert lines(caplog) == [FIRST]


def test_the_next_outage_is_told_at_once_again(
    outages: Outages, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        outages.refused("disk full")
        timer.now += 6
        outages.succeeded()
    assert [line for line in lines(caplog) if line == FIRST] == [FIRST] * 2


def test_without_an_outage_nothing_is_told(outages: Outages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outages.succeeded()
    assert lines(caplog) == []
