"""The worker removes what is old enough a little at a time, and looks once a minute whether anything is."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from conftest import StandingClock
from store.made import delivery, event
from store.test_retention import DAY, has_payload, stored_for, told

from receiver.admin import retention as acts
from receiver.model import NotPossible
from receiver.projection.projector import catch_up
from receiver.retention.clock import GAP, SETTLED, ClockDoubt
from receiver.retention.run import Run
from receiver.runtime import Runtime
from receiver.store import intake, retention, retention_parts
from receiver.store.sources import SourceRecord
from receiver.worker import chores
from receiver.worker.loop import Worker

Taking = Callable[[int], list[str]]


@pytest.fixture(autouse=True)
def _a_look_does_all_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(chores, "RETENTION_SECONDS", 600)


@pytest.fixture
def taken(parts: Runtime, source: SourceRecord, clock: StandingClock) -> Taking:
    """Take so many events in, and let two days pass."""

    def take(number: int) -> list[str]:
        made = [(delivery(parts, source), [event(parts, f"FT{n}", kind="none")]) for n in range(number)]
        with parts.database.write() as connection:
            intake.record_all(connection, made)
        catch_up(parts.database)
        clock.forward(2 * DAY)
        return [events[0].id for _, events in made]

    return take


def test_a_worker_does_all_that_is_due_and_then_waits_a_minute(
    parts: Runtime, clock: StandingClock, taken: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A round ends with each part.
    monkeypatch.setattr(chores, "RETENTION_SECONDS", 0)
    stored_for(parts, payload=1)
    first = taken(retention_parts.PART + 5)
    chore = chores.Retention(parts)
    assert chore.look() == retention_parts.PART
    while chore.look():
        pass
    assert not any(has_payload(parts, each) for each in first)
    with parts.database.read() as connection:
        assert retention.looked_at(connection) == clock()
    # What becomes old enough within the minute waits for its end.
    stored_for(parts, payload=0, headers=0)
    assert chore.look() == 0
    stored_for(parts, payload=1, headers=1)
    assert chore.look() == 0
    clock.forward(61)
    assert chore.look() > 0


def test_worker_once_ends_when_nothing_is_left_to_remove(parts: Runtime, taken: Taking) -> None:
    stored_for(parts, payload=1)
    made = taken(7)
    assert Worker(parts).run_once() >= 7
    assert not any(has_payload(parts, each) for each in made)


def test_nothing_is_written_where_everything_is_stored_for_ever(
    parts: Runtime, taken: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = taken(3)
    monkeypatch.setattr(retention, "take", lambda *_: pytest.fail("nothing is to be taken away"))
    assert chores.Retention(parts).look() == 0
    assert all(has_payload(parts, each) for each in made)


class Timer:
    """A clock that nobody sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


YEARS = 5 * 365 * DAY


def test_a_clock_that_is_years_ahead_removes_nothing_and_once_it_is_put_right_all_goes_on(
    parts: Runtime, clock: StandingClock, taken: Taking, caplog: pytest.LogCaptureFixture
) -> None:
    stored_for(parts, payload=30)
    made = taken(3)
    assert chores.Retention(parts).look() == 0
    clock.forward(YEARS)
    # So a process finds it that starts anew, too.
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert Worker(parts).run_once() == 0
    assert all(has_payload(parts, each) for each in made)
    assert "retention waits" in caplog.text
    clock.forward(61 - YEARS)
    caplog.clear()
    assert Worker(parts).run_once() == 0
    assert "retention waits" not in caplog.text
    with parts.database.read() as connection:
        assert retention.looked_at(connection) == clock()


def test_a_receiver_that_was_stopped_for_a_month_goes_on_once_its_clock_has_run_evenly(
    parts: Runtime, clock: StandingClock, taken: Taking
) -> None:
    stored_for(parts, payload=30)
    made = taken(3)
    assert chores.Retention(parts).look() == 0
    clock.forward(30 * DAY)
    timer = Timer()
    chore = chores.Retention(parts, ClockDoubt(timer))

    def pass_by(seconds: float) -> int:
        clock.forward(seconds)
        timer.seconds += seconds
        return chore.look()

    settled = SETTLED.total_seconds()
    assert [pass_by(61), pass_by(settled - 61)] == [0, 0]
    # It jumps once more, so that all begins anew.
    clock.forward(GAP.total_seconds() + 1)
    assert [pass_by(61), pass_by(settled - 61)] == [0, 0]
    assert pass_by(61) == len(made)
    assert not any(has_payload(parts, each) for each in made)


def test_while_another_worker_is_at_work_by_a_clock_that_is_right_one_that_is_ahead_never_removes(
    clock: StandingClock,
) -> None:
    timer = Timer()
    doubt = ClockDoubt(timer)
    found = []
    for _ in range(3):
        # The other one looks; this one's clock is a month ahead of it.
        clock.forward(SETTLED.total_seconds())
        timer.seconds += SETTLED.total_seconds()
        found.append(doubt.is_open(clock() - timedelta(days=30), clock()))
    assert found == [True] * 3


def test_a_run_that_takes_longer_than_a_day_leaves_no_doubt(
    parts: Runtime, clock: StandingClock, taken: Taking, caplog: pytest.LogCaptureFixture
) -> None:
    stored_for(parts, payload=1)
    made = taken(3)
    timer = Timer()

    def rest(_: float) -> None:
        clock.forward(2 * GAP.total_seconds())
        timer.seconds += 2 * GAP.total_seconds()

    steps = Run(parts, clock(), rest=rest, timer=timer).steps()
    assert sum(step.removed for step in steps) == len(made)
    clock.forward(61)
    assert chores.Retention(parts).look() == 0
    assert "retention waits" not in caplog.text


@pytest.mark.parametrize("days", [5 * 365, -5 * 365])
def test_a_run_ends_where_the_clock_is_set_meanwhile(
    days: int, parts: Runtime, clock: StandingClock, taken: Taking, caplog: pytest.LogCaptureFixture
) -> None:
    stored_for(parts, payload=1)
    taken(retention_parts.PART + 5)
    steps = Run(parts, clock(), rest=lambda _: clock.forward(days * DAY)).steps()
    assert [step.removed for step in steps] == [retention_parts.PART]
    assert "retention stops" in caplog.text


def test_a_person_is_told_that_it_ended_where_the_clock_was_set(
    parts: Runtime, clock: StandingClock, taken: Taking
) -> None:
    stored_for(parts, payload=1)
    taken(retention_parts.PART + 5)
    steps = acts.run(parts, "cli:root")
    assert next(steps).removed == retention_parts.PART
    clock.forward(YEARS)
    with pytest.raises(NotPossible, match="clock was set"):
        next(steps)


def test_a_clock_that_jumps_ahead_in_the_middle_of_a_run_leaves_the_next_one_in_doubt(
    parts: Runtime,
    source: SourceRecord,
    clock: StandingClock,
    taken: Taking,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A round ends with each part.
    monkeypatch.setattr(chores, "RETENTION_SECONDS", 0)
    stored_for(parts, payload=1)
    taken(retention_parts.PART + 5)
    young = [told(parts, source, name) for name in ("young 1", "young 2")]
    chore = chores.Retention(parts)
    assert chore.look() == retention_parts.PART
    clock.forward(YEARS)
    for _ in range(3):
        # So it goes on, and so does one that starts anew.
        chore.look()
        chores.Retention(parts).look()
        clock.forward(61)
    assert all(has_payload(parts, each) for each in young)
    assert "retention waits" in caplog.text
