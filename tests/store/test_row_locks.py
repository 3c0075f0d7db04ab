"""Locks on rows that others refer to: callbacks, which insert rows that refer to them, never wait."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import add_source
from lock_waits import wait_until, waiting
from servers import ROOT
from sqlalchemy import text
from store.made import claimed, delivery, event, record

from receiver.admin import secrets
from receiver.model import Purpose
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import claims, due_subjects, encryption, leases, signing_secrets, sources
from receiver.store.database import TRIES, Contended, StoreUnavailable, retried
from receiver.store.sources import SourceRecord
from receiver.store.sqlite import BUSY_SECONDS


@pytest.fixture
def row_locks() -> None:
    """They are waited for as long as in production."""


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL alone: on SQLite all writers wait for each other anyway."""
    url: str = request.getfixturevalue("postgresql_url")
    return url


def receive(parts: Runtime, source: SourceRecord, name: str) -> None:
    """Write a callback down; `StoreUnavailable` once it has waited for a lock as long as any statement may."""
    assert record(parts, delivery(parts, source), event(parts, name)).is_new


def test_a_callback_does_not_wait_for_the_lock_of_its_source(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        sources.lock(connection, source.id)
        receive(parts, source, "while it is locked")


def test_a_callback_does_not_wait_while_a_secret_is_set(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, "another", now=parts.clock(), grace_seconds=60)
        receive(parts, source, "while it is set")


def test_a_callback_does_not_wait_while_everything_is_encrypted_anew(parts: Runtime) -> None:
    source = add_source(parts, base_url="http://127.0.0.1:9")
    with parts.database.write() as connection:
        assert encryption.reencrypt_all(connection, parts.encryption) > 1
        receive(parts, source, "while it is encrypted")


def test_a_check_does_not_wait_for_a_payment_that_is_being_asked_about(parts: Runtime, source: SourceRecord) -> None:
    receive(parts, source, "FT1")
    catch_up(parts.database)
    with parts.database.write() as connection:
        (due,) = claimed(connection, parts.clock(), parts.clock())
        with parts.database.write() as other:
            leases.add_check(other, due.id, at=parts.clock(), outcome="answered", bank_status=None, detail={})


@pytest.mark.parametrize("seconds", [None, 60])
def test_who_gives_payments_back_and_who_writes_claims_of_them_never_wait_in_a_circle(
    parts: Runtime, source: SourceRecord, seconds: int | None
) -> None:
    # What came first has the lower id, and not the lower name.
    for name in ("FT2", "FT1"):
        receive(parts, source, name)
        catch_up(parts.database)
    now = parts.clock()
    with parts.database.write() as connection:
        dues = claimed(connection, now, now, limit=2)

    def give_back() -> None:
        with parts.database.write() as connection:
            if seconds is None:
                leases.give_back(connection, sorted(dues))
            else:
                leases.put_off(connection, sorted(dues), now + timedelta(seconds=seconds))

    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            claims.ask_about(connection, [(source.id, "payment", "FT1")], now, Purpose.CLAIM)
            giving = pool.submit(give_back)
            wait_until(lambda: giving.done() or waiting(parts))
            claims.ask_about(connection, [(source.id, "payment", "FT2")], now, Purpose.CLAIM)
        assert giving.result() is None


def test_what_was_put_off_too_far_is_brought_forward_without_waiting_for_what_is_claimed_just_now(
    parts: Runtime, source: SourceRecord
) -> None:
    for name in ("FT1", "FT2"):
        receive(parts, source, name)
    catch_up(parts.database)
    now, late = parts.clock(), parts.clock() + timedelta(days=99)
    with parts.database.write() as connection:
        dues = claimed(connection, now, now, limit=2)
        leases.put_off(connection, dues, late)
    with parts.database.write() as connection:
        claims.ask_about(connection, [(source.id, "payment", "FT1")], late, Purpose.CLAIM)
        with parts.database.write() as other:
            leases.bring_forward(other, [due.id for due in dues], now)
    with parts.database.read() as connection:
        assert [due.subject for due in due_subjects.due_payments(connection, now, 10, [1])] == ["FT2"]


def test_a_second_writer_about_a_source_does_wait(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        sources.lock(connection, source.id)
        with pytest.raises(StoreUnavailable, match="lock"), parts.database.write() as other:
            sources.lock(other, source.id)


def test_no_lock_is_stronger_than_needed() -> None:
    """`FOR UPDATE` waits for whoever inserts a row that refers to the locked one; `FOR NO KEY UPDATE` does not."""
    calls = [
        f"{file.name}: {call}"
        for file in (ROOT / "receiver").rglob("*.py")
        for call in re.findall(r"with_for_update\([^)]*\)", file.read_text())
        if "key_share=True" not in call
    ]
    # Rejected deliveries that are deleted in the same statement; a source whose name, which is a key, changes.
    assert sorted(calls) == [
        "deliveries.py: with_for_update(skip_locked=True)",
        "retention.py: with_for_update(skip_locked=True)",
        "source_removal.py: with_for_update(nowait=True)",
    ]


@pytest.mark.parametrize(
    ("sqlstate", "words"),
    [("55P03", "locked the rows for too long"), ("40P01", "deadlock"), ("40001", "serialization failure")],
)
def test_others_that_were_in_the_way_are_told_in_words_and_the_act_is_retried(
    parts: Runtime, sqlstate: str, words: str
) -> None:
    tried: list[int] = []

    @retried
    def act(failures: int) -> str:
        tried.append(failures)
        with parts.database.write() as connection:
            if len(tried) <= failures:
                connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$"))
        return "done"

    assert act(TRIES - 1) == "done"
    assert len(tried) == TRIES
    tried.clear()
    with pytest.raises(Contended, match=words) as raised:
        act(TRIES)
    assert "try again" in str(raised.value)
    assert len(tried) == TRIES


def test_a_secret_is_set_although_another_writer_had_the_source_for_a_while(
    parts: Runtime, source: SourceRecord
) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with parts.database.write() as connection:
            sources.lock(connection, source.id)
            held.set()
            # Longer than one lock is waited for.
            let_go.wait(BUSY_SECONDS + 1)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        held.wait(60)
        assert secrets.put(parts, "cli:test", source.name, "bmV3LXNlY3JldC1vZi1zb21lLWxlbmd0aA==").version == 2
        let_go.set()
        holding.result()
