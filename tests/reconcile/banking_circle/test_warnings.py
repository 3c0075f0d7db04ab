"""The log warns of client certificates that end soon."""

import logging
from datetime import timedelta

import pytest
from banking_circle import add_source, credentials
from conftest import StandingClock

from receiver.runtime import Runtime, utc_now
from receiver.simulator.banking_circle import Config, Simulator
from receiver.store import sources
from receiver.worker.loop import Worker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


@pytest.fixture
def clock() -> StandingClock:
    """Certificates of the simulator begin at the real time."""
    standing = StandingClock()
    standing.now = utc_now()
    return standing


def certificate_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage()) for record in caplog.records if "client certificate" in record.message
    ]


def test_it_is_warned_of_once_a_day_from_30_days_ahead_and_an_error_once_it_has_expired(
    parts: Runtime, simulator: Simulator, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    add_source(parts, simulator)
    worker = Worker(parts)
    worker.run_once()
    assert certificate_lines(caplog) == []
    clock.now += timedelta(days=340)
    worker.run_once()
    worker.run_once()
    ((level, text),) = certificate_lines(caplog)
    assert level == logging.WARNING
    assert text.startswith("the client certificate of bc: valid until ")
    assert "days are left" in text
    caplog.clear()
    clock.now += timedelta(days=30)
    worker.run_once()
    ((level, text),) = certificate_lines(caplog)
    assert (level, "it expired on" in text) == (logging.ERROR, True)


def test_one_that_can_not_be_opened_is_an_error(
    parts: Runtime, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    add_source(parts, simulator, credentials(simulator, passcode="wrong"))
    Worker(parts).run_once()
    assert [level for level, _ in certificate_lines(caplog)] == [logging.ERROR]


def test_a_disabled_source_is_not_warned_of(
    parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    with Simulator(Config(automatic=False, certificate_days=5), clock=clock) as simulator:
        source = add_source(parts, simulator)
        with parts.database.write() as connection:
            sources.change(connection, source.id, enabled=False)
        Worker(parts).run_once()
    assert certificate_lines(caplog) == []
