"""Web processes see to the projection where nobody else does."""

import threading

import pytest
from sqlalchemy import text
from store.made import delivery, event, record

from receiver.projection import backlog
from receiver.projection.backlog import Backlog
from receiver.runtime import Runtime
from receiver.store.database import Database
from receiver.store.sources import SourceRecord


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LOOKED_EVERY", 3)


def waiting(parts: Runtime) -> int:
    with parts.database.read() as connection:
        number: int = connection.execute(text("SELECT count(*) FROM pending_events")).scalar_one()
        return number


def looks() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "projection"]


def come(parts: Runtime, source: SourceRecord, seen_to: Backlog, name: str) -> None:
    record(parts, delivery(parts, source), event(parts, name))
    seen_to.grew(1)


def wait_for_looks() -> None:
    for look in looks():
        look.join(30)


class Timer:
    """A monotonic clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_so_many_events_what_waits_is_derived(parts: Runtime, source: SourceRecord) -> None:
    timer = Timer()
    seen_to = Backlog(parts.database, timer)
    for turn in range(2):
        for name in "ab":
            come(parts, source, seen_to, f"{name}{turn}")
        assert (waiting(parts), looks()) == (2, [])
        come(parts, source, seen_to, f"c{turn}")
        wait_for_looks()
        assert waiting(parts) == 0
        timer.now += backlog.PAUSE_SECONDS


def test_what_comes_within_the_pause_after_a_look_waits_for_its_end(parts: Runtime, source: SourceRecord) -> None:
    timer = Timer()
    seen_to = Backlog(parts.database, timer)
    for name in "abcdefg":
        come(parts, source, seen_to, name)
        wait_for_looks()
    assert waiting(parts) == 4
    timer.now += backlog.PAUSE_SECONDS
    come(parts, source, seen_to, "h")
    wait_for_looks()
    assert waiting(parts) == 0


def test_an_outage_is_said_and_a_later_look_makes_up_for_it(
    parts: Runtime, source: SourceRecord, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = Timer()
    seen_to = Backlog(parts.database, timer)
    record(parts, delivery(parts, source), event(parts, "a"))
    with monkeypatch.context() as away:
        away.setattr(seen_to, "_database", Database(f"{parts.database.url.replace('receiver', 'away')}"))
        for _ in range(3):
            seen_to.grew(3)
            wait_for_looks()
            timer.now += backlog.PAUSE_SECONDS
    assert caplog.text.count("is left to who looks next") == 1
    timer.now += backlog.FAILED_SECONDS
    seen_to.grew(1)
    wait_for_looks()
    assert waiting(parts) == 0
