"""Named consumers: a position moves forwards by acknowledging, and either way by seeking."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import StandingClock
from store.race import append, read
from web.rows import rows

from receiver.admin import consumers as acts
from receiver.runtime import Runtime
from receiver.store import consumers, feed, figures, replay_selection
from receiver.store.consumers import ConsumerRecord
from receiver.store.feed import Wanted
from receiver.store.sources import SourceRecord
from receiver.store.tables import Consumer


def acknowledge(parts: Runtime, position: int, name: str = "ledger", generation: int = 0) -> int:
    with parts.database.write() as connection:
        return consumers.acknowledge(connection, name, position, parts.clock(), generation).position


def position(parts: Runtime, name: str = "ledger") -> int | None:
    with parts.database.read() as connection:
        return consumers.position_of(connection, name)


def write(parts: Runtime, source: SourceRecord, *names: str) -> None:
    with parts.database.write() as connection:
        for name in names:
            append(connection, parts, source, name)


def test_a_new_name_has_no_position(parts: Runtime) -> None:
    assert position(parts) is None


def test_a_consumer_begins_at_the_beginning_and_is_made_once(parts: Runtime) -> None:
    for _ in range(2):
        with parts.database.write() as connection:
            consumers.create(connection, "ledger", parts.clock())
    assert position(parts) == 0


def test_making_it_again_does_not_move_it(parts: Runtime) -> None:
    acknowledge(parts, 5)
    with parts.database.write() as connection:
        consumers.create(connection, "ledger", parts.clock())
    assert position(parts) == 5


def test_acknowledging_never_moves_back(parts: Runtime) -> None:
    assert [acknowledge(parts, to) for to in (3, 1, 4, 4, 2)] == [3, 3, 4, 4, 4]


def test_of_many_acknowledgements_at_once_the_latest_position_stays(parts: Runtime) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda to: acknowledge(parts, to), range(1, 41)))
    assert position(parts) == 40
    assert all(answer >= to for to, answer in enumerate(answers, 1))


def test_seeking_moves_either_way(parts: Runtime) -> None:
    for to in (7, 2, 0):
        with parts.database.write() as connection:
            consumers.seek(connection, "ledger", to, parts.clock())
        assert position(parts) == to


def test_what_was_read_before_a_seek_moves_nothing(parts: Runtime) -> None:
    acknowledge(parts, 7)
    with parts.database.write() as connection:
        moved = consumers.seek(connection, "ledger", 2, parts.clock())
    assert acknowledge(parts, 9) == 2
    assert acknowledge(parts, 9, generation=moved.generation) == 9
    with parts.database.write() as connection:
        later = consumers.seek(connection, "ledger", 2, parts.clock())
    assert [acknowledge(parts, 9, generation=old) for old in (0, moved.generation)] == [2, 2]
    assert acknowledge(parts, 3, generation=later.generation) == 3


def test_what_was_read_before_a_consumer_was_removed_moves_none_that_has_its_name(parts: Runtime) -> None:
    def made() -> ConsumerRecord:
        with parts.database.write() as connection:
            consumers.create(connection, "ledger", parts.clock())
        with parts.database.read() as connection:
            found = consumers.find(connection, "ledger")
        assert found is not None
        return found

    acknowledge(parts, 7)
    acts.remove(parts, "cli:ann", "ledger")
    # What comes late, of before, makes the next one.
    assert acknowledge(parts, 9) == 0
    second = made()
    assert acknowledge(parts, 3, generation=second.generation) == 3
    acts.remove(parts, "cli:ann", "ledger")
    third = made()
    assert [acknowledge(parts, 9, generation=old) for old in (0, second.generation)] == [0, 0]
    # As where a backup is restored that knows of the removal, and not of the third one yet.
    with parts.database.write() as connection:
        assert consumers.remove(connection, "ledger")
    assert acknowledge(parts, 4, generation=third.generation) == 4
    acts.remove(parts, "cli:ann", "ledger")
    assert acknowledge(parts, 5, "reports") == 5


def test_consumers_are_apart(parts: Runtime) -> None:
    acknowledge(parts, 3, "a")
    acknowledge(parts, 5, "b")
    assert (position(parts, "a"), position(parts, "b")) == (3, 5)
    assert [(row.name, row.acked_at) for row in rows(parts, Consumer)] == [("a", parts.clock()), ("b", parts.clock())]


@pytest.mark.parametrize("name", ["a", "Ledger", "led-ger_1.x", "0", "x" * 64])
def test_a_name_may_be(name: str) -> None:
    assert consumers.is_name(name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "a\0", "x" * 65])
def test_a_name_may_not_be(name: str) -> None:
    assert not consumers.is_name(name)


def test_a_time_leads_to_the_first_entry_of_that_time_or_later(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    begin = clock()
    for number in range(25):
        # Twos and threes share a time.
        write(parts, source, f"{number}a", *([f"{number}b"] if number % 2 else []))
        clock.forward(10)
    entries = read(parts)
    for seconds in range(-10, 270, 5):
        time = begin + timedelta(seconds=seconds)
        with parts.database.read() as connection:
            found = feed.position_at(connection, time)
        expected = next((entry.position for entry in entries if entry.time >= time), entries[-1].position + 1)
        assert found + 1 == expected, seconds


def test_a_time_is_looked_up_past_what_a_replay_wrote(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    write(parts, source, "a", "b")
    clock.forward(60)
    write(parts, source, "c")
    read(parts)
    with parts.database.write() as connection:
        rows = replay_selection.entries(connection, replay_selection.Selection(), behind=0, through=1000, limit=1000)
        replay_selection.append_replayed(connection, rows, "rpl_1", None, clock())
    clock.forward(60)
    assert len(read(parts)) == 6
    with parts.database.read() as connection:
        assert feed.position_at(connection, clock()) == 6
    write(parts, source, "d")
    entries = read(parts)
    assert [entry.subject for entry in entries] == ["a", "b", "c", "a", "b", "c", "d"]
    with parts.database.read() as connection:
        assert feed.position_at(connection, entries[2].time) == 2
        after = feed.position_at(connection, entries[6].time)
        page = feed.read(connection, after=after, limit=10)
    assert [entry.subject for entry in page.entries if entry.replay_id is None] == ["d"]


def test_a_time_in_an_empty_feed_is_the_beginning(parts: Runtime) -> None:
    with parts.database.read() as connection:
        assert feed.position_at(connection, parts.clock()) == 0


def lags(parts: Runtime, *names: str) -> list[float | None]:
    """How many seconds each is behind, as both the API and the metrics say."""
    now = parts.clock()
    with parts.database.read() as connection:
        found = {each.name: consumers.lag(connection, each, now) for each in consumers.listing(connection, limit=10)}
        figured = {each.name: each for each in figures.consumer_lags(connection)}
    for name, shown in found.items():
        since = figured[name].since
        assert (shown.entries, shown.age) == (figured[name].entries, now - (since or now))
    return [found[name].age.total_seconds() for name in names]


def test_a_copy_is_as_old_as_its_writing_and_none_of_another_consumer_counts(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(parts, source, "a", "b", "c")
    read(parts)
    for name in ("ledger", "other"):
        acknowledge(parts, 3, name)
    clock.forward(30 * 86_400)
    with parts.database.write() as connection:
        rows = replay_selection.entries(connection, replay_selection.Selection(), behind=0, through=3, limit=3)
        replay_selection.append_replayed(connection, rows, "rpl_1", "ledger", clock())
    read(parts)
    clock.forward(7)
    assert lags(parts, "ledger", "other") == [7, 0]
    write(parts, source, "d")
    read(parts)
    clock.forward(5)
    assert lags(parts, "ledger", "other") == [12, 5]
    # Behind many that are another's no more is looked at than so many: whatever comes then stands for the rest.
    monkeypatch.setattr(consumers, "LOOKED_AT", 2)
    with parts.database.write() as connection:
        replay_selection.append_replayed(connection, rows, "rpl_2", "nobody", clock())
    read(parts)
    acknowledge(parts, 7, "other")
    clock.forward(1)
    with parts.database.read() as connection:
        other = consumers.find(connection, "other")
        assert other is not None
        assert consumers.lag(connection, other, clock()) == (3, timedelta(seconds=1))


def test_what_is_stored_begins_when_its_first_entry_was_written_though_that_is_a_copy(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """Else a seek to a time whose entries were removed, but after that of the original, would pass them over."""
    write(parts, source, "a")
    read(parts)
    clock.forward(86_400)
    with parts.database.write() as connection:
        rows = replay_selection.entries(connection, replay_selection.Selection(), behind=0, through=1, limit=1)
        replay_selection.append_replayed(connection, rows, "rpl_1", None, clock())
    read(parts)
    with parts.database.write() as connection:
        feed.note_removed(connection, 1)
        assert feed.oldest_time(connection) == clock()


def test_an_entry_for_one_consumer_shows_to_it_alone(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    read(parts)
    with parts.database.write() as connection:
        rows = replay_selection.entries(connection, replay_selection.Selection(), behind=0, through=1000, limit=1000)
        replay_selection.append_replayed(connection, rows, "rpl_1", "ledger", parts.clock())
    write(parts, source, "c")
    assert [entry.position for entry in read(parts)] == [1, 2, 5]

    def seen_by(name: str) -> list[int]:
        with parts.database.read() as connection:
            page = feed.read(connection, after=0, limit=10, wanted=Wanted(consumer=name))
        assert page.through == 5
        return [entry.position for entry in page.entries]

    assert seen_by("ledger") == [1, 2, 3, 4, 5]
    assert seen_by("other") == [1, 2, 5]
