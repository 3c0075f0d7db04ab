"""Callbacks that found no database are counted, and written down once that is over, off their way."""

import threading
from datetime import timedelta

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock
from flask.testing import FlaskClient

from receiver.inbox import missed
from receiver.inbox.missed import Missed
from receiver.runtime import Runtime
from receiver.store import outages
from receiver.store.database import StoreUnavailable
from receiver.store.outages import Outage
from receiver.store.sources import SourceRecord

WAITED_SECONDS = 30


def written(parts: Runtime, source: SourceRecord) -> Outage | None:
    with parts.database.read() as connection:
        return outages.since(connection, source.id, source.created_at)


def wait_for_writers() -> None:
    for thread in threading.enumerate():
        if thread.name == "missed":
            thread.join(WAITED_SECONDS)


def test_what_found_no_database_is_written_down_once_it_is_back_for_a_while(
    client: FlaskClient,
    bank: BankSigner,
    parts: Runtime,
    clock: StandingClock,
    source: SourceRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def send(name: str, path: str = "/webhooks/bcb") -> int:
        signed = bank.sign(deposit(transactionId=name), path)
        return client.post(signed.path, data=signed.body, headers=signed.headers).status_code

    began = clock()
    with monkeypatch.context() as patches:

        def away(*_: object, **__: object) -> None:
            raise StoreUnavailable("away")

        patches.setattr(parts.database, "write", away)
        assert [send("FT1"), send("FT2")] == [503, 503]
        clock.forward(60)
        assert [send("FT3"), send("FT4", "/webhooks/nobody")] == [503, 404]
    ended = clock()
    assert send("FT1") == 200
    wait_for_writers()
    assert written(parts, source) is None
    clock.forward(missed.QUIET.total_seconds())
    assert send("FT2") == 200
    wait_for_writers()
    assert written(parts, source) == Outage(began, ended, 3)


def test_made_up_names_are_bounded_and_never_written(
    parts: Runtime, clock: StandingClock, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "NAMES_MAX", 2)
    counted = Missed(parts)
    for name in ("nobody", source.name, "another", source.name):
        counted.note(name)
    clock.forward(5)
    assert counted
    counted.is_over()
    wait_for_writers()
    assert not counted
    found = written(parts, source)
    assert found is not None
    assert (found.number, found.ended_at) == (2, clock() - timedelta(seconds=5))
