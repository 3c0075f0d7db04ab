"""What consumers have read is written down soon, each range with the time at which it was read."""

import itertools
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

import pytest
from conftest import StandingClock
from sqlalchemy import Connection, select

from receiver.feed import read_notes
from receiver.feed.read_notes import ConsumerReader, Note, ReadNotes
from receiver.model import ConsumerAct
from receiver.runtime import Runtime
from receiver.store import consumers
from receiver.store.consumer_ranges import Range
from receiver.store.database import StoreUnavailable
from receiver.store.tables import ConsumerRange, table_of

_ranges = table_of(ConsumerRange)
READER = ConsumerReader("ledger", "app")
WAITED_SECONDS = 30
wait_as_always = ReadNotes._wait


@pytest.fixture(autouse=True)
def _consumer(parts: Runtime, clock: StandingClock) -> None:
    with parts.database.write() as connection:
        consumers.create(connection, "ledger", clock(), "app")


def written(parts: Runtime) -> list[tuple[int, int, datetime]]:
    query = select(_ranges.c.behind, _ranges.c.through, _ranges.c.last_at).where(_ranges.c.act == ConsumerAct.READ)
    with parts.database.read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(_ranges.c.id))]


def read_at(parts: Runtime) -> datetime | None:
    with parts.database.read() as connection:
        found = consumers.find(connection, "ledger")
    assert found is not None
    return found.read_at


def unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("the disk is full")


def test_what_follows_soon_is_written_by_itself_where_its_reader_never_comes_back(
    parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadNotes, "_wait", wait_as_always)
    pauses: list[float] = []
    later = threading.Event()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        later.wait(WAITED_SECONDS)

    notes, began = ReadNotes(parts.database, pause), clock()
    notes.read(READER, Range(0, 1), began)
    clock.forward(61)
    notes.read(READER, Range(1, 2), clock())
    clock.forward(1)
    notes.read(READER, Range(2, 3), clock())
    clock.forward(1)
    notes.read(READER, Range(3, 5), clock())
    assert [(behind, through) for behind, through, _ in written(parts)] == [(0, 1), (1, 2)]
    later.set()
    for thread in threading.enumerate():
        if thread.name == "read notes":
            thread.join(WAITED_SECONDS)
    assert written(parts)[1:] == [(1, 5, clock())]
    assert read_at(parts) == clock()
    assert pauses == [read_notes.WRITTEN_EVERY.total_seconds()]


@pytest.mark.parametrize("again", [Range(3, 3), Range(7, 9)], ids=["which touches it", "which does not"])
def test_what_was_read_keeps_its_time_until_the_next_read(parts: Runtime, clock: StandingClock, again: Range) -> None:
    notes = ReadNotes(parts.database)
    notes.read(READER, Range(0, 1), clock())
    clock.forward(1)
    notes.read(READER, Range(1, 3), read := clock())
    clock.forward(3600)
    notes.read(READER, again, clock())
    with notes.taken(READER) as left, parts.database.write() as connection:
        read_notes.write(connection, READER, left)
    expected = [(0, 3, read)]
    assert written(parts) == (expected if again == Range(3, 3) else [*expected, (7, 9, clock())])


def test_a_second_range_that_does_not_touch_the_first_leaves_that_as_it_is(
    parts: Runtime, clock: StandingClock
) -> None:
    notes = ReadNotes(parts.database)
    notes.read(READER, Range(0, 1), clock())
    clock.forward(1)
    for seen in (Range(10, 12), Range(20, 25), Range(25, 30)):
        notes.read(READER, seen, clock())
    notes._write_now(READER)
    assert [(behind, through) for behind, through, _ in written(parts)] == [(0, 1), (10, 12), (20, 30)]


@pytest.mark.parametrize("fail", [StoreUnavailable("away"), ZeroDivisionError()])
def test_what_is_taken_for_a_transaction_that_fails_is_noted_again(
    parts: Runtime, clock: StandingClock, fail: Exception
) -> None:
    notes = ReadNotes(parts.database)
    notes.read(READER, Range(0, 1), clock())
    notes.read(READER, Range(1, 2), clock())

    def acknowledge() -> None:
        with notes.taken(READER) as taken, parts.database.write() as connection:
            read_notes.write(connection, READER, taken)
            notes.read(READER, Range(5, 6), clock())
            raise fail

    with pytest.raises(type(fail)):
        acknowledge()
    notes._write_now(READER)
    assert [(behind, through) for behind, through, _ in written(parts)] == [(0, 2), (5, 6)]


def test_what_can_t_be_written_is_written_once_it_can(parts: Runtime, clock: StandingClock) -> None:
    began, tries = clock(), 0

    def pause(_: float) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            patches.undo()

    patches = pytest.MonkeyPatch()
    patches.setattr(parts.database, "write", unavailable)
    notes = ReadNotes(parts.database, pause)
    notes.read(READER, Range(0, 1), began)
    clock.forward(3600)
    notes._write_later()
    assert (tries, written(parts)) == (3, [(0, 1, began)])


def test_a_fault_with_one_reader_s_notes_holds_up_no_other_s(
    parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other, failing = ConsumerReader("ledger", "other"), [True]
    write = read_notes.write

    def fail_once(connection: Connection, reader: ConsumerReader, given: Sequence[Note]) -> None:
        if reader == READER and failing:
            failing.clear()
            raise ZeroDivisionError
        write(connection, reader, given)

    notes = ReadNotes(parts.database, lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(parts.database, "write", unavailable)
        notes.read(READER, Range(0, 2), clock())
        notes.read(other, Range(0, 3), clock())
    monkeypatch.setattr(read_notes, "write", fail_once)
    notes._write_later()
    assert sorted(written(parts)) == [(0, 2, clock()), (0, 3, clock())]
    assert [record.getMessage() for record in caplog.records] == ["what ledger has read is not written down yet"]


def test_one_that_is_kept_up_to_date_is_not_written_at_each_read(
    parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = 0
    write: Callable[[], object] = parts.database.write

    def counted() -> object:
        nonlocal writes
        writes += 1
        return write()

    monkeypatch.setattr(parts.database, "write", counted)
    notes = ReadNotes(parts.database, lambda _: None)
    for position in range(60):
        notes.read(READER, Range(position, position + 1), clock())
        clock.forward(1)
        if position % 5 == 4:
            notes._write_later()
    assert writes <= 13


def test_pages_that_several_processes_answer_by_turns_join_as_those_of_one_do(
    parts: Runtime, clock: StandingClock
) -> None:
    processes = [ReadNotes(parts.database) for _ in range(3)]
    last = 0
    for second in range(119):
        for _ in range(4):
            processes[last % 3].read(READER, Range(last, last + 1), clock())
            last += 1
        if second % 5 == 4:
            for notes in processes:
                notes._write_now(READER)
        clock.forward(1)
    for notes in processes:
        notes._write_now(READER)
    found = sorted((behind, through) for behind, through, _ in written(parts))
    assert len(found) <= 6
    assert (found[0][0], found[-1][1]) == (0, last)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
