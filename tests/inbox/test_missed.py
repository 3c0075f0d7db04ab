"""Callbacks that found no database are counted, and written down once that is over, off their way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_source
from flask.testing import FlaskClient
from sqlalchemy import Connection, text

from receiver.inbox import missed, source_cache
from receiver.inbox.missed import Missed
from receiver.inbox.source_cache import SourceCache
from receiver.runtime import Runtime
from receiver.store import outages, sources
from receiver.store.database import StoreUnavailable
from receiver.store.outages import Outage
from receiver.store.sources import SourceRecord

WAITED_SECONDS = 30


def written(parts: Runtime, source: SourceRecord) -> Outage | None:
    with parts.database.read() as connection:
        return outages.between(connection, source.id, source.created_at, parts.clock() + timedelta(seconds=1))


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


def test_what_a_clock_that_was_ahead_has_missed_is_written_down_once_it_is_put_right(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    add_source(parts, "other", secret=None)
    ahead, counted = timedelta(days=365).total_seconds(), Missed(parts)
    clock.forward(ahead)
    for name in (source.name, source.name, "other"):
        counted.note(name)
    clock.forward(60 - ahead)
    put_right = clock()
    counted.note(source.name)
    clock.forward(60)
    counted.write_if_quiet()
    wait_for_writers()
    assert not counted
    assert written(parts, source) == Outage(put_right, put_right, 3)
    with parts.database.read() as connection:
        other = sources.find(connection, "other")
    assert other is not None
    assert written(parts, other) == Outage(clock(), clock(), 1)


def test_made_up_names_are_bounded_and_never_written(
    parts: Runtime, clock: StandingClock, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "NAMES_MAX", 2)
    counted = Missed(parts)
    for name in ("nobody", source.name, "another", source.name):
        counted.note(name)
    clock.forward(5)
    assert counted
    counted.write_if_quiet()
    wait_for_writers()
    assert not counted
    found = written(parts, source)
    assert found is not None
    assert (found.number, found.ended_at) == (2, clock() - timedelta(seconds=5))


def test_made_up_names_do_not_crowd_a_source_out(
    parts: Runtime, clock: StandingClock, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "NAMES_MAX", 2)
    known = SourceCache(parts)
    known.find(source.name, clock())
    counted = Missed(parts, known.knew)
    for name in ("nobody", "another", "a third", source.name):
        counted.note(name)
    with without_outages(parts):
        clock.forward(60)
        counted.write_if_quiet()
        wait_for_writers()
    for name in ("a fourth", source.name):
        counted.note(name)
    clock.forward(60)
    counted.write_if_quiet()
    wait_for_writers()
    found = written(parts, source)
    assert found is not None
    assert found.number == 2


def test_the_bank_s_own_are_counted_amid_a_flood_of_made_up_names(
    client: FlaskClient,
    bank: BankSigner,
    parts: Runtime,
    clock: StandingClock,
    source: SourceRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(missed, "NAMES_MAX", 2)
    monkeypatch.setattr(source_cache, "CACHE_SECONDS", 0)
    signed = bank.sign(deposit())

    def send(name: str) -> int:
        return client.post(f"/webhooks/{name}", data=signed.body, headers=signed.headers).status_code

    assert send("bcb") == 200
    with monkeypatch.context() as patches:

        def away(*_: object, **__: object) -> None:
            raise StoreUnavailable("away")

        patches.setattr(parts.database, "read", away)
        assert [send(name) for name in ("nobody", "another", "a-third", "bcb", "bcb")] == [503] * 5
    clock.forward(missed.QUIET.total_seconds())
    assert send("bcb") == 200
    wait_for_writers()
    found = written(parts, source)
    assert found is not None
    assert found.number == 2


@contextmanager
def without_outages(parts: Runtime) -> Iterator[None]:
    """While nothing can be written down of them."""
    with parts.database.write() as connection:
        connection.execute(text("ALTER TABLE outages RENAME TO hidden"))
    yield
    with parts.database.write() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO outages"))


def test_what_can_t_be_written_down_yet_is_once_it_can(
    parts: Runtime, clock: StandingClock, source: SourceRecord, caplog: pytest.LogCaptureFixture
) -> None:
    counted, began = Missed(parts), clock()
    counted.note(source.name)
    with without_outages(parts):
        clock.forward(60)
        counted.write_if_quiet()
        wait_for_writers()
        # Not with each callback: those that wait for their turn to write stand behind it.
        counted.write_if_quiet()
        wait_for_writers()
    assert caplog.text.count("is not written down yet") == 1
    clock.forward(missed.QUIET.total_seconds())
    # So does a process that has no room for a thread, and it must not be the callback that pays for it.
    threading.stack_size((1 << 47) - (1 << 20))
    try:
        counted.write_if_quiet()
    finally:
        threading.stack_size(0)
    assert counted
    counted.note(source.name)
    ended = clock()
    clock.forward(60)
    counted.write_if_quiet()
    wait_for_writers()
    assert not counted
    assert written(parts, source) == Outage(began, ended, 2)


def test_what_is_missed_while_the_rest_is_written_in_vain_is_put_to_it(
    parts: Runtime, clock: StandingClock, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, began = Missed(parts), clock()
    writes: list[int] = []
    real = outages.note

    def note(connection: Connection, found: dict[int, Outage], now: datetime) -> None:
        if not writes:
            counted.note(source.name)
            # Nobody else writes meanwhile.
            counted.write_if_quiet()
        writes.append(sum(each.number for each in found.values()))
        real(connection, found, now)

    monkeypatch.setattr(outages, "note", note)
    counted.note(source.name)
    clock.forward(60)
    ended = clock()
    with without_outages(parts):
        counted.write_if_quiet()
        wait_for_writers()
    clock.forward(60)
    counted.write_if_quiet()
    wait_for_writers()
    assert writes == [1, 2]
    assert written(parts, source) == Outage(began, ended, 2)
