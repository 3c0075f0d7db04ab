"""A chore is looked at once in a while; at once where the database was unavailable, or more is left."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest
from conftest import StandingClock, add_source

from receiver.bank_client.session import BankSession
from receiver.banks.errors import CertificateUnusable
from receiver.model import Purpose
from receiver.runtime import Runtime
from receiver.store import claims, payments
from receiver.store.database import StoreUnavailable
from receiver.worker.chore import Chore
from receiver.worker.chores import CertificateExpiry, refresh_public_keys
from receiver.worker.loop import Worker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing is asked of it."""
    return sqlite_url


@dataclass
class Noted(Chore):
    """Notes when it looked; `left` is how often there is more than it does at once."""

    every = timedelta(minutes=1)

    left: int = 0
    is_unavailable: bool = False
    looks: list[datetime] = field(default_factory=list)

    def _do(self, now: datetime) -> int:
        self.looks.append(now)
        if self.is_unavailable:
            raise StoreUnavailable("not now")
        self.left, self._is_more_left = max(self.left - 1, 0), self.left > 0
        return 7


def name_of(session: BankSession) -> str:
    return session._source.name


def test_it_looks_at_the_start_and_once_a_pause_is_over(parts: Runtime, clock: StandingClock) -> None:
    chore = Noted(parts)
    assert (chore.look(), chore.look()) == (7, 0)
    clock.forward(59)
    assert chore.look() == 0
    clock.forward(1)
    assert chore.look() == 7
    assert len(chore.looks) == 2


def test_what_is_left_is_gone_on_with_without_a_pause(parts: Runtime) -> None:
    chore = Noted(parts, left=2)
    assert [chore.look() for _ in range(5)] == [7, 7, 7, 0, 0]


def test_what_the_database_did_not_take_is_looked_at_once_it_is_back(parts: Runtime) -> None:
    chore = Noted(parts, is_unavailable=True)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            chore.look()
    chore.is_unavailable = False
    assert [chore.look() for _ in range(2)] == [7, 0]
    assert len(chore.looks) == 3


def test_a_chore_that_the_database_fails_each_time_stops_no_other_and_no_check(
    parts: Runtime, clock: StandingClock
) -> None:
    source, tries = add_source(parts, base_url="http://127.0.0.1:9"), []

    def fail() -> int:
        tries.append(clock())
        raise StoreUnavailable("canceling statement due to statement timeout")

    second = Noted(parts)
    worker = Worker(parts, [fail, second.look])
    with parts.database.write() as connection:
        claims.ask_about(connection, [(source.id, "payment", "FT1")], clock(), Purpose.RECHECK)
    with pytest.raises(StoreUnavailable):
        worker.run_once()
    assert (len(tries), len(second.looks)) == (1, 1)
    with parts.database.read() as connection:
        found = payments.find(connection, "bcb", "payment", "FT1")
        assert found is not None
        assert len(payments.checks_of(connection, found.id)) == 1
    # It is left alone for a while, and then has its turn.
    assert worker.run_once() == 0
    clock.forward(31)
    with pytest.raises(StoreUnavailable):
        worker.run_once()
    assert len(tries) == 2


def test_a_chore_that_fails_each_time_by_a_fault_of_ours_is_left_alone_for_a_while(
    parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def fail() -> int:
        tries.append(clock())
        raise ZeroDivisionError

    second = Noted(parts, left=2)
    worker = Worker(parts, [fail, second.look])
    assert (worker.run_once(), len(second.looks)) == (21, 3)
    worker.run_once()
    assert len(tries) == len([record for record in caplog.records if record.exc_info]) == 1
    clock.forward(31)
    worker.run_once()
    assert len(tries) == 2


def test_a_source_whose_keys_can_t_be_fetched_by_a_fault_of_ours_waits_alone(
    parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "bcb", "z"):
        add_source(parts, name, base_url="http://127.0.0.1:9")
    asked = []

    def ask(session: BankSession, _question: object) -> str:
        asked.append(name_of(session))
        if name_of(session) == "bcb":
            raise ZeroDivisionError
        return '{"keys": []}'

    monkeypatch.setattr(BankSession, "ask", ask)
    worker = Worker(parts, [partial(refresh_public_keys, parts)])
    worker.run_once()
    assert sorted(asked) == ["a", "bcb", "z"]
    clock.forward(1)
    worker.run_once()
    assert len(asked) == 3
    clock.forward(20)
    worker.run_once()
    assert asked[3:] == ["bcb"]


def test_a_certificate_that_can_t_be_looked_at_hides_no_other(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "z"):
        add_source(parts, name, base_url="http://127.0.0.1:9")

    def certificate(session: BankSession) -> None:
        if name_of(session) == "a":
            raise ZeroDivisionError
        raise CertificateUnusable("its passcode is wrong")

    monkeypatch.setattr(BankSession, "certificate", certificate)
    CertificateExpiry(parts).look()
    assert "looking at the client certificate of a failed" in caplog.text
    assert "the client certificate of z: its passcode is wrong" in caplog.text


def test_a_clock_that_was_ahead_and_is_put_right_holds_nothing_back(parts: Runtime, clock: StandingClock) -> None:
    chore = Noted(parts)
    clock.forward(86400)
    chore.look()
    clock.forward(-86400)
    assert chore.look() == 7
