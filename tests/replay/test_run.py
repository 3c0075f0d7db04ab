"""Runs: each entry once, each marked, whatever happens in between."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from bank import BankSigner
from conftest import KEY, StandingClock, add_source
from replay.sending import REASON, again, found, log, planned, run, runner, started, tell, work_off, write
from servers import RECEIVER, environment

from receiver.admin import replays as acts
from receiver.model import NotFound, NotPossible
from receiver.projection.projector import catch_up
from receiver.replay import run as runs
from receiver.replay.run import Runner
from receiver.runtime import Runtime
from receiver.store import audit, payments, replay_selection
from receiver.store.database import Database
from receiver.store.sources import SourceRecord
from receiver.web.schemas.feed import cloud_event
from receiver.worker.loop import Worker


def cancel(parts: Runtime, replay_id: str) -> bool:
    with suppress(NotFound, NotPossible):
        acts.cancel(parts, "token:app", replay_id)
        return True
    return False


def told(parts: Runtime) -> list[tuple[str, str, str | None]]:
    """The audit log, oldest first, proven whole."""
    with parts.database.read() as connection:
        rows = audit.listing(connection, limit=100)
        assert audit.verify(connection, parts.encryption).entries == len(rows)
    return [(row.who, row.what, row.why) for row in reversed(rows)]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PART", 10)


def test_a_copy_is_what_its_original_was_and_says_that_it_is_one(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    write(parts, source, "a", kind="test.kind")
    clock.forward(3600)
    replay_id = run(parts).id
    original, copy = (dict(cloud_event(entry)) for entry in log(parts))
    assert copy.pop("replayid") == replay_id
    assert (original["position"], copy["position"]) == (1, 2)
    assert (original["id"], copy["id"]) == ("fe_1", "fe_2")
    for name in ("eventid", "type", "time", "subject", "source", "data"):
        assert original[name] == copy[name]
    assert set(original) == set(copy)


@pytest.mark.usefixtures("small_parts")
def test_each_entry_is_sent_once_in_its_order_over_many_parts(parts: Runtime, source: SourceRecord) -> None:
    names = [f"e{number:02}" for number in range(30)]
    write(parts, source, *names)
    row = run(parts)
    assert again(parts) == names
    assert (row.state, row.total, row.done, row.failed) == ("done", 30, 30, 0)
    assert row.finished_at == parts.clock()


@pytest.mark.usefixtures("small_parts")
def test_progress_can_be_watched(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, *(f"e{number}" for number in range(25)))
    replay_id = started(parts, planned(parts))
    seen = []
    while runner(parts).run_due():
        row = found(parts, replay_id)
        seen.append((row.state, row.done))
    assert seen == [("running", 10), ("running", 20), ("done", 25)]


def test_the_worker_runs_replays(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    started(parts, planned(parts))
    Worker(parts).run_once()
    assert again(parts) == ["a", "b"]


def test_a_replay_for_one_consumer_shows_to_it_alone(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    assert run(parts, consumer="ledger").done == 2
    assert again(parts, "ledger") == ["a", "b"]
    assert again(parts, "other") == []
    assert again(parts) == []
    assert planned(parts).matched.number == 2


def test_a_rate_is_kept(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    write(parts, source, *(f"e{number}" for number in range(7)))
    replay_id = started(parts, planned(parts, per_second=2))
    sent = []
    for _ in range(9):
        work_off(parts)
        sent.append(found(parts, replay_id).done)
        clock.forward(0.5)
    assert sent == [2, 2, 4, 4, 6, 6, 7, 7, 7]
    assert found(parts, replay_id).state == "done"


def test_a_rate_below_one_a_second_is_kept(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    write(parts, source, "a", "b", "c")
    replay_id = started(parts, planned(parts, per_second=0.1))
    sent = []
    for _ in range(6):
        work_off(parts)
        sent.append(found(parts, replay_id).done)
        clock.forward(5)
    assert sent == [1, 1, 2, 2, 3, 3]


@pytest.mark.usefixtures("small_parts")
def test_a_rate_higher_than_a_part_is_no_faster(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    write(parts, source, *(f"e{number}" for number in range(25)))
    replay_id = started(parts, planned(parts, per_second=20))
    work_off(parts)
    assert found(parts, replay_id).done == 10
    clock.forward(0.5)
    work_off(parts)
    assert found(parts, replay_id).done == 20


@pytest.mark.usefixtures("small_parts")
def test_cancelling_in_the_middle_keeps_what_was_sent(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, *(f"e{number}" for number in range(25)))
    replay_id = started(parts, planned(parts))
    runner(parts).run_due()
    assert cancel(parts, replay_id)
    assert work_off(parts) == 0
    row = found(parts, replay_id)
    assert (row.state, row.done, len(again(parts))) == ("cancelled", 10, 10)
    assert row.finished_at is not None
    assert not cancel(parts, replay_id)
    assert [what for _, what, _ in told(parts)] == ["replay.started", "replay.cancelled"]


def test_what_is_over_or_was_never_there_is_not_cancelled(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    assert not cancel(parts, run(parts).id)
    assert not cancel(parts, "rpl_none")


def test_who_why_and_when_are_in_the_audit_log(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    plan = planned(parts, types=["test.entry"])
    for _ in range(2):
        started(parts, plan)
    work_off(parts)
    assert told(parts) == [("token:app", "replay.started", REASON), ("worker", "replay.done", REASON)]
    with parts.database.read() as connection:
        rows = audit.listing(connection, limit=10)
    assert all(row.at == parts.clock() for row in rows)
    assert rows[1].about["filter"] == {"type": ["test.entry"]}
    assert rows[0].about["done"] == 1


@pytest.mark.usefixtures("small_parts")
def test_two_workers_at_once_send_each_entry_once(parts: Runtime, source: SourceRecord) -> None:
    names = [f"e{number:03}" for number in range(300)]
    write(parts, source, *names)
    replay_id = started(parts, planned(parts))
    databases = [Database(parts.database.url) for _ in range(3)]
    workers = [Runtime(parts.settings, database, parts.encryption, parts.clock) for database in databases]

    def keep_on(worker: Runtime) -> None:
        while found(worker, replay_id).state == "running":
            work_off(worker)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(keep_on, workers))
    for database in databases:
        database.close()
    assert again(parts) == names
    assert found(parts, replay_id).done == 300
    assert [what for _, what, _ in told(parts)] == ["replay.started", "replay.done"]


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_fails_changes_nothing_and_is_done_again_after_a_while(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"e{number:02}" for number in range(25)]
    write(parts, source, *names)
    replay_id = started(parts, planned(parts))
    runner(parts).run_due()
    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_advance", lambda *_: 1 / 0)
        assert runner(parts).run_due() == 0
    assert (len(again(parts)), found(parts, replay_id).done) == (10, 10)
    assert runner(parts).run_due() == 0
    clock.forward(31)
    work_off(parts)
    assert again(parts) == names


def test_a_replay_that_fails_does_not_stop_those_behind_it(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(parts, source, "a")
    broken = started(parts, planned(parts))
    started(parts, planned(parts, consumer="ledger"))
    real = replay_selection.append_replayed

    def fail_for_all(*given: Any) -> None:
        if given[3] is None:
            raise ZeroDivisionError
        real(*given)

    monkeypatch.setattr(replay_selection, "append_replayed", fail_for_all)
    runner(parts).run_due()
    assert again(parts, "ledger") == ["a"]
    assert found(parts, broken).state == "running"


DIES_IN_ITS_THIRD_PART = """
import os, signal
from receiver.replay import run
from receiver.store import replays
run.PART = 100
advance, calls = replays.advance, []
def dying(*given):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    advance(*given)
replays.advance = dying
from receiver.cli import main
main(["worker", "--once"])
"""


def test_a_worker_killed_in_a_part_doubles_nothing_and_leaves_nothing_out(live: Runtime, database_url: str) -> None:
    served = environment(database_url, KEY)
    names = [f"e{number:04}" for number in range(900)]
    write(live, add_source(live), *names)
    replay_id = started(live, planned(live))
    killed = subprocess.run([sys.executable, "-c", DIES_IN_ITS_THIRD_PART], env=served, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert (found(live, replay_id).state, found(live, replay_id).done) == ("running", 200)
    assert len(again(live)) == 200
    workers = [subprocess.Popen([*RECEIVER, "worker", "--once"], env=served, stdout=subprocess.PIPE) for _ in range(2)]
    for worker in workers:
        worker.communicate(timeout=60)
        assert worker.returncode == 0
    assert again(live) == names
    assert (found(live, replay_id).state, found(live, replay_id).done) == ("done", 900)


def due(parts: Runtime, payment_id: str) -> bool:
    catch_up(parts.database)
    with parts.database.read() as connection:
        row = payments.find(connection, "bcb", "payment", payment_id)
    assert row is not None
    return row.due_at is not None and row.due_at <= parts.clock()


def settle_all(parts: Runtime) -> None:
    """Leave nothing to be asked."""
    catch_up(parts.database)
    with parts.database.write() as connection:
        connection.exec_driver_sql("UPDATE subjects SET due_at = NULL, attempts = 3")


def test_a_replay_to_the_bank_makes_payments_due(parts: Runtime, source: SourceRecord, bank: BankSigner) -> None:
    for payment_id in ("FT1", "FT2", "FT1"):
        assert tell(parts, bank, payment_id) == 200
    write(parts, source, "nothing that the bank knows of")
    settle_all(parts)
    row = run(parts, target="bank", payment_ids=["FT1"])
    assert (row.state, row.done, row.failed) == ("done", 1, 0)
    assert (due(parts, "FT1"), due(parts, "FT2")) == (True, False)
    assert again(parts) == []
    settle_all(parts)
    assert run(parts, target="bank").done == 3
    assert due(parts, "FT1")
    assert due(parts, "FT2")


@pytest.mark.usefixtures("source")
def test_a_replay_to_the_bank_reaches_no_payment_of_another_source(parts: Runtime, bank: BankSigner) -> None:
    add_source(parts, "other")
    assert tell(parts, bank, "FT1") == 200
    assert tell(parts, bank, "FT1", path="/webhooks/other") == 200
    settle_all(parts)
    run(parts, target="bank", sources=("other",))
    assert not due(parts, "FT1")
