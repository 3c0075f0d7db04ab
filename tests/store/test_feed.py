"""The ordered log: no reader steps over an entry, however late its writer commits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import StandingClock
from sqlalchemy import Connection, delete, select, text
from store.race import append, race, read

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import feed, outbox, replay_selection
from receiver.store.database import Database
from receiver.store.replay_selection import Selection
from receiver.store.sources import SourceRecord
from receiver.store.tables import FeedEntry, OutboxEntry, table_of

_entries, _outbox = table_of(FeedEntry), table_of(OutboxEntry)


def write(parts: Runtime, source: SourceRecord, *names: str, kind: str = "test.entry") -> None:
    with parts.database.write() as connection:
        for name in names:
            append(connection, parts, source, name, kind)


def head(parts: Runtime) -> int:
    with parts.database.read() as connection:
        return feed.head(connection)


def test_positions_ascend_without_gaps_in_the_order_of_being_given(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    assert [(entry.subject, entry.position) for entry in read(parts)] == [("a", 1), ("b", 2)]
    write(parts, source, "c")
    assert [(entry.subject, entry.position) for entry in read(parts)] == [("a", 1), ("b", 2), ("c", 3)]


def test_a_time_stands_before_the_first_entry_written_then_or_later_even_where_writers_overtook_one_another(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    for name, seconds in (("a", 0), ("c", 30), ("b", -10), ("d", 20), ("e", 300)):
        clock.forward(seconds)
        write(parts, source, name)
    entries = read(parts)
    assert [entry.subject for entry in entries] == ["a", "c", "b", "d", "e"]
    with parts.database.read() as connection:
        behind = {entry.subject: feed.position_at(connection, entry.time) for entry in entries}
        assert behind == {"a": 0, "b": 1, "c": 1, "d": 3, "e": 4}
        assert feed.position_at(connection, entries[-1].time + timedelta(seconds=1)) == 5


@pytest.mark.parametrize("behind", [0, 12], ids=["at once", "and read on"])
def test_a_time_stands_before_all_entries_of_then_or_later_however_far_the_clock_is_set_back(
    parts: Runtime, source: SourceRecord, clock: StandingClock, behind: int
) -> None:
    for name in "abcdef":
        clock.forward(600)
        write(parts, source, name)
    clock.forward(-3000)
    for number in range(behind):
        write(parts, source, f"early{number}")
    entries = read(parts)
    with parts.database.read() as connection:
        found = {entry.subject: feed.position_at(connection, entry.time) for entry in entries[:6]}
    assert found == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}


def test_a_time_stands_before_the_copies_that_a_replay_wrote_since(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    write(parts, source, "a")
    read(parts)
    for consumer in (None, "ledger"):
        clock.forward(3600)
        with parts.database.write() as connection:
            originals = replay_selection.entries(connection, Selection(), behind=0, through=1, limit=1)
            replay_selection.append_replayed(connection, originals, "rpl_1", consumer, clock())
    clock.forward(3600)
    write(parts, source, "b")
    original, *_, last = read(parts)
    assert last.position == 4
    with parts.database.read() as connection:
        behind = [feed.position_at(connection, original.time + timedelta(minutes=each)) for each in (0, 30, 90, 150)]
        assert feed.position_at(connection, clock()) == 3
    assert behind == [0, 1, 2, 3]


def test_a_position_once_given_is_kept(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    before = read(parts)
    write(parts, source, "c")
    assert read(parts)[:2] == before


def test_nothing_shows_before_it_is_committed(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        append(connection, parts, source, "a")
        with parts.database.read() as another:
            assert feed.read(another, after=0, limit=10).entries == []
        if not parts.database.is_sqlite:
            assert read(parts) == []
    assert [entry.subject for entry in read(parts)] == ["a"]


def test_nothing_shows_of_a_transaction_that_was_rolled_back(parts: Runtime, source: SourceRecord) -> None:
    def fail_half_way() -> None:
        with parts.database.write() as connection:
            append(connection, parts, source, "lost")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    write(parts, source, "a")
    assert [(entry.subject, entry.position) for entry in read(parts)] == [("a", 1)]


def test_an_entry_without_a_position_is_not_read(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    with parts.database.read() as connection:
        assert feed.read(connection, after=0, limit=10).entries == []


def test_more_entries_than_a_batch_get_their_positions_at_once(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 10)
    names = [f"e{number:02}" for number in range(35)]
    write(parts, source, *names)
    assert [(entry.subject, entry.position) for entry in read(parts)] == list(zip(names, range(1, 36), strict=True))


def test_the_head_never_goes_back_whatever_is_deleted(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    read(parts)
    with parts.database.write() as connection:
        connection.execute(delete(_entries))
    assert head(parts) == 2
    write(parts, source, "c")
    assert [(entry.subject, entry.position) for entry in read(parts, after=2)] == [("c", 3)]


def test_a_page_starts_behind_its_position_and_ends_at_its_limit(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, *"abcde")
    assert [entry.subject for entry in read(parts, after=1, limit=3)] == ["b", "c", "d"]
    assert read(parts, after=5) == []


def test_a_filter_leaves_positions_as_they_are(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    write(parts, source, "c", kind="test.other")
    write(parts, source, "d")
    found = read(parts, types=("test.other", "test.none"))
    assert [(entry.subject, entry.position) for entry in found] == [("c", 3)]


def test_the_entries_of_an_event_tell_those_without_a_position(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    read(parts)
    write(parts, source, "a")
    with parts.database.read() as connection:
        assert [entry.position for entry in feed.of_event(connection, "a")] == [1, 0]


def test_looking_for_new_entries_writes_nothing_where_there_are_none(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "write", lambda _: pytest.fail("it wrote"))
    catch_up(parts.database)


def test_givers_at_once_give_each_position_once(parts: Runtime, source: SourceRecord) -> None:
    for turn in range(10):
        write(parts, source, *(f"{turn}-{number}" for number in range(20)))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: catch_up(parts.database), range(4)))
    assert [entry.position for entry in read(parts)] == list(range(1, 201))
    assert head(parts) == 200


def test_an_entry_that_commits_late_comes_behind_those_that_were_read_before_it(
    parts: Runtime, source: SourceRecord
) -> None:
    """The hazard of the next test, on the log as it is."""
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: an earlier id is always committed earlier")
    with parts.database.write() as late:
        append(late, parts, source, "late")
        write(parts, source, "early")
        (first,) = read(parts)
    (second,) = read(parts, after=first.position)
    assert [(first.subject, first.position), (second.subject, second.position)] == [("early", 1), ("late", 2)]


def test_a_reader_that_goes_by_ids_given_at_insert_does_step_over_an_entry(
    parts: Runtime, source: SourceRecord
) -> None:
    """Why positions are not ids: here is the entry that would be lost."""
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: an earlier id is always committed earlier")
    with parts.database.write() as late:
        append(late, parts, source, "late")
        write(parts, source, "early")
        (seen,) = by_id(parts.database, after=0)
    assert seen[1] == "early"
    assert by_id(parts.database, after=seen[0]) == []
    assert [name for _, name in by_id(parts.database, after=0)] == ["late", "early"]


def by_id(database: Database, after: int) -> list[tuple[int, str]]:
    """What a reader of the textbook's feed would get."""
    query = select(_outbox.c.id, _outbox.c.subject).where(_outbox.c.id > after).order_by(_outbox.c.id)
    with database.read() as connection:
        return [(row.id, row.subject) for row in connection.execute(query)]


def test_readers_who_follow_along_see_each_entry_exactly_once(parts: Runtime, source: SourceRecord) -> None:
    race(parts, source, seconds=3)


@pytest.fixture
def pinned(parts: Runtime) -> Iterator[Connection]:
    """A reader that keeps its view."""
    with parts.database.read() as connection:
        connection.execute(text("SELECT position FROM feed_head")).all()
        yield connection


def test_a_reader_with_an_old_view_sees_no_later_position(
    parts: Runtime, source: SourceRecord, pinned: Connection
) -> None:
    write(parts, source, "a")
    assert [entry.position for entry in read(parts)] == [1]
    assert feed.read(pinned, after=0, limit=10).entries == []
