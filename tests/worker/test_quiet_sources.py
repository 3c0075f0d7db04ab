"""A bank that has gone quiet is noticed, told of, and not told of too often."""

import logging
from typing import Any

import others
import pytest
from conftest import StandingClock
from flask.testing import FlaskClient
from others import TOKEN, outgoing
from web.connectpay import send

from receiver.runtime import Runtime
from receiver.store import sources
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker
from receiver.worker.watches import QuietSources

HOUR = 3600


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The queries are plain; one kind of database is enough."""
    return sqlite_url


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    return others.add(parts, "connectpay", TOKEN, quiet_hours=24)


@pytest.fixture
def silence(parts: Runtime, source: SourceRecord) -> QuietSources:  # noqa: ARG001 - there must be something to watch
    return QuietSources(parts)


def warnings(silence: QuietSources, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "receiver.worker.watches"):
        silence.look()
    return caplog.messages


def test_a_source_that_is_quiet_for_too_long_is_told_of_once_an_hour(
    silence: QuietSources, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.forward(23 * HOUR)
    assert warnings(silence, caplog) == []
    clock.forward(HOUR)
    (words,) = warnings(silence, caplog)
    assert "connectpay" in words
    assert "support" in words
    clock.forward(HOUR / 2)
    assert warnings(silence, caplog) == []
    clock.forward(HOUR / 2)
    assert len(warnings(silence, caplog)) == 1


def test_a_callback_ends_the_silence_and_what_was_rejected_does_not(
    silence: QuietSources, clock: StandingClock, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    clock.forward(25 * HOUR)
    assert send(client, outgoing(), token="another-token-altogether").status_code == 401
    assert len(warnings(silence, caplog)) == 1
    assert send(client, outgoing()).status_code == 200
    clock.forward(HOUR)
    assert warnings(silence, caplog) == []
    clock.forward(25 * HOUR)
    assert len(warnings(silence, caplog)) == 1


def test_a_callback_that_is_only_repeated_is_no_silence(
    silence: QuietSources, clock: StandingClock, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    send(client, outgoing())
    clock.forward(20 * HOUR)
    send(client, outgoing())
    clock.forward(10 * HOUR)
    assert warnings(silence, caplog) == []
    clock.forward(15 * HOUR)
    assert len(warnings(silence, caplog)) == 1


def test_nothing_is_said_of_a_source_that_is_disabled_or_does_not_want_it(
    silence: QuietSources, source: SourceRecord, parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    others.add(parts, "connectpay", TOKEN, name="patient", quiet_hours=0)
    others.add(parts, "standard_webhooks", others.WHSEC)
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=False)
    clock.forward(1000 * HOUR)
    assert warnings(silence, caplog) == []


def test_the_worker_looks_by_itself(
    source: SourceRecord, parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.forward(25 * HOUR)
    with caplog.at_level(logging.WARNING, "receiver.worker.watches"):
        Worker(parts).run_once()
    assert [source.name in words for words in caplog.messages] == [True]


BANKS: dict[str, dict[str, Any]] = {
    "bcb": {},
    "banking_circle": {},
    "banqup": {"token_in": "header"},
    "standard_webhooks": {},
}


@pytest.mark.parametrize("bank", BANKS)
def test_every_bank_is_watched_where_its_source_says_so(
    parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture, bank: str
) -> None:
    hours = "mon-fri,09:00-17:00,UTC"
    others.add(parts, bank, None, quiet_hours=5, business_hours=hours, **BANKS[bank])
    silence = QuietSources(parts)
    # From noon on a Wednesday: five hours end at 17:00.
    clock.forward(4 * HOUR)
    assert warnings(silence, caplog) == []
    clock.forward(HOUR)
    assert f"no callback for source {bank} since it was added" in warnings(silence, caplog)[0]


def test_a_week_end_is_no_silence(parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture) -> None:
    clock.forward(2 * 24 * HOUR)
    others.add(parts, "bcb", None, quiet_hours=6, business_hours="mon-fri,09:00-17:00,UTC")
    silence = QuietSources(parts)
    # Added at noon on a Friday: five hours until Monday, 09:00.
    clock.forward(69 * HOUR)
    assert warnings(silence, caplog) == []
    clock.forward(HOUR)
    assert len(warnings(silence, caplog)) == 1
