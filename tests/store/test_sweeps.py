"""How far lists were read: one worker at a time, no gap stepped over, and nothing lost to a clock that was wrong."""

from datetime import datetime, timedelta

import pytest
from conftest import ENCRYPTION, StandingClock
from sqlalchemy import text
from store.test_exceptions_upgrade import BEFORE, empty  # noqa: F401 - a fixture

from receiver.banks.business_days import Window
from receiver.runtime import Runtime
from receiver.store import events, schema, sweeps
from receiver.store.database import Database, StoreUnavailable
from receiver.store.leases import LeaseLost
from receiver.store.sources import SourceRecord
from receiver.store.sweeps import Claimed, Outcome, SweepRecord

MINUTES = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def lists(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        sweeps.ensure(connection, source.id, parts.clock())
        sweeps.name_lists(connection, source.id, ["a", "b"], parts.clock())


def claimed(parts: Runtime, source: SourceRecord, lease: str, name: str | None = None) -> Claimed | None:
    now = parts.clock()
    with parts.database.write() as connection:
        if name is None:
            return sweeps.claim_due(connection, [source.id], now=now, until=now + 2 * MINUTES, lease=lease)
        return sweeps.claim(connection, source.id, name, now=now, until=now + 2 * MINUTES, lease=lease)


@pytest.mark.usefixtures("lists")
def test_each_list_is_one_workers_until_its_lease_ends(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    names = [found.list_name for lease in "1234" if (found := claimed(parts, source, lease))]
    assert names == ["", "a", "b"]
    clock.forward(119)
    assert claimed(parts, source, "5") is None
    clock.forward(1)
    first = claimed(parts, source, "6", "a")
    assert first is not None
    # Who had it before moves nothing any more.
    before = first._replace(lease="2")
    now = clock()
    with parts.database.write() as connection, pytest.raises(LeaseLost):
        sweeps.advance(connection, before, now - HOUR, now, now)
    with parts.database.write() as connection, pytest.raises(LeaseLost):
        sweeps.settle(connection, before, now, Outcome(None, now))
    with parts.database.write() as connection:
        sweeps.advance(connection, first, now - HOUR, now, now)
        sweeps.settle(connection, first, now + HOUR, Outcome(None, now))
        assert [each.covered_until for each in sweeps.of_source(connection, source.id)] == [None, now, None]


@pytest.mark.usefixtures("lists")
def test_the_mark_steps_over_no_gap_and_is_that_of_the_list_that_is_furthest_behind(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    now = clock()
    one, other = claimed(parts, source, "1", "a"), claimed(parts, source, "2", "b")
    assert one is not None
    assert other is not None

    def read(which: Claimed, begin: int, end: int) -> tuple[float, float]:
        with parts.database.write() as connection:
            sweeps.advance(connection, which, now + begin * HOUR, now + end * HOUR, now)
            (found,) = (each for each in sweeps.of_source(connection, source.id) if each.list_name == which.list_name)
        assert found.covered_from is not None
        assert found.covered_until is not None
        return (found.covered_from - now) / HOUR, (found.covered_until - now) / HOUR

    assert read(one, -10, -8) == (-10, -8)
    assert read(one, -7, -6) == (-10, -8), "there is a gap before it"
    assert read(one, -9, -5) == (-10, -5)
    assert read(one, -12, -10) == (-12, -5)
    assert read(one, -11, -6) == (-12, -5), "it was known"
    with parts.database.read() as connection:
        assert sweeps.covered(connection, source.id) is None
    assert read(other, -11, -4) == (-11, -4)
    whole, too_long = Window(now - 11 * HOUR, now - 5 * HOUR), Window(now - 12 * HOUR, now - 5 * HOUR)
    with parts.database.write() as connection:
        assert sweeps.covered(connection, source.id) == now - 5 * HOUR
        assert sweeps.read_whole(connection, source.id).holds(whole.begin, whole.end)
        assert not sweeps.read_whole(connection, source.id).holds(too_long.begin, too_long.end)
        assert sweeps.incomplete_until(connection, source.id, Window(now - HOUR, now + HOUR)) == now + HOUR


def settle(parts: Runtime, which: Claimed | None, read: tuple[int, int], next_in: timedelta) -> None:
    """Read a list for some hours, as seen from now, and say when it is read next; none were read where it fails."""
    assert which is not None
    now, (begin, end) = parts.clock(), read
    with parts.database.write() as connection:
        sweeps.advance(connection, which, now + begin * HOUR, now + end * HOUR, now)
        outcome = Outcome(None, now) if begin < end else Outcome("refused", None)
        sweeps.settle(connection, which, now + next_in, outcome)


def name(parts: Runtime, source: SourceRecord, *names: str) -> list[str]:
    with parts.database.write() as connection:
        return sweeps.name_lists(connection, source.id, names, parts.clock())


def covered(parts: Runtime, source: SourceRecord) -> datetime | None:
    with parts.database.read() as connection:
        return sweeps.covered(connection, source.id)


def record(parts: Runtime, source: SourceRecord, name: str) -> SweepRecord:
    with parts.database.read() as connection:
        return next(each for each in sweeps.of_source(connection, source.id) if each.list_name == name)


@pytest.mark.usefixtures("lists")
def test_a_list_that_is_not_named_any_more_counts_until_a_day_has_passed_and_it_was_tried_once_more(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    began = clock()
    settle(parts, claimed(parts, source, "1", "a"), (-9, -5), 40 * HOUR)
    settle(parts, claimed(parts, source, "2", "b"), (-9, 0), 40 * HOUR)
    assert name(parts, source, "b") == ["a"]
    assert name(parts, source, "b") == []
    assert covered(parts, source) == began - 5 * HOUR
    # What waits for longer than a day is due at once.
    found = claimed(parts, source, "3")
    assert found is not None
    settle(parts, found if found.list_name == "a" else claimed(parts, source, "4"), (0, 0), HOUR)
    assert (record(parts, source, "a").is_in_use, record(parts, source, "a").is_cut_off) == (True, False)
    # It goes by what is tried, not by the time that passes while nobody works.
    clock.forward(72 * 3600)
    assert covered(parts, source) == began - 5 * HOUR
    settle(parts, claimed(parts, source, "5", "a"), (0, 0), HOUR)
    assert (record(parts, source, "a").is_in_use, record(parts, source, "a").is_cut_off) == (False, True)
    assert covered(parts, source) == began
    with parts.database.read() as connection:
        assert sweeps.number(connection, source.id) == 1
        assert sweeps.read_whole(connection, source.id).holds(began - 2 * HOUR, began)
    # It goes on where it was when it is back.
    assert name(parts, source, "a", "b") == []
    assert covered(parts, source) == began - 5 * HOUR
    clock.forward(3600)
    with parts.database.read() as connection:
        assert sweeps.is_due(connection, source.id, clock(), timedelta(days=9))


@pytest.mark.usefixtures("lists")
def test_a_list_that_is_read_just_now_is_let_go_the_next_time(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """What began before it went ends before that, and might be the last reading of one that is seldom read."""
    reading = claimed(parts, source, "1", "a")
    clock.forward(60)
    assert name(parts, source, "b") == []
    settle(parts, reading, (-9, 0), 40 * HOUR)
    assert name(parts, source, "b") == ["a"]
    row = record(parts, source, "a")
    assert (row.is_in_use, row.next_at) == (True, clock())


@pytest.mark.usefixtures("lists")
def test_a_list_that_went_by_a_clock_that_was_ahead_goes_a_day_after_that_is_put_right(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    clock.forward(10 * 86400)
    name(parts, source, "b")
    clock.forward(-10 * 86400)
    name(parts, source, "b")
    assert record(parts, source, "a").gone_at == clock() + timedelta(days=1)


@pytest.mark.usefixtures("lists")
def test_a_clock_that_was_ahead_holds_nothing_up(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    clock.forward(10 * 86400)
    ahead = claimed(parts, source, "1", "a")
    assert ahead is not None
    with parts.database.write() as connection:
        sweeps.advance(connection, ahead, clock() - HOUR, clock(), clock())
    clock.forward(-10 * 86400)
    found = claimed(parts, source, "2", "a")
    assert found is not None
    now = clock()
    with parts.database.write() as connection:
        sweeps.advance(connection, found, now - 2 * HOUR, now, now)
        (row,) = (each for each in sweeps.of_source(connection, source.id) if each.list_name == "a")
        assert sweeps.is_far_ahead(row.covered_until, now)
        sweeps.go_back(connection, found, now - 3 * HOUR, now - 2 * HOUR)
        sweeps.advance(connection, found, now - 2 * HOUR, now, now)
        sweeps.settle(connection, found, now + timedelta(days=60), Outcome(None, now))
        assert sweeps.is_due(connection, source.id, now, HOUR)
        sweeps.bring_forward(connection, source.id, now, HOUR)
        (row,) = (each for each in sweeps.of_source(connection, source.id) if each.list_name == "a")
    assert row.next_at == now
    assert (row.covered_from, row.covered_until) == (now - 3 * HOUR, now)


def test_events_of_before_are_there_and_one_may_have_no_delivery(empty: Database) -> None:  # noqa: F811
    schema.upgrade(empty, ENCRYPTION, "0017")
    with empty.write() as connection:
        for table in ("sources", "deliveries", "events"):
            names = list(BEFORE[table][0])
            places = ", ".join(f":{name}" for name in names)
            row = {name: "{}" if value == {} else value for name, value in BEFORE[table][0].items()}
            connection.execute(text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"), row)  # noqa: S608
    schema.upgrade(empty, ENCRYPTION)
    insert = (
        "INSERT INTO events (id, source_id, delivery_id, identity, content_sha256, type, kind, facts, proof, proof_key,"
        " conflict, late, received_at, payload_sha256, found_by) SELECT :id, source_id, :delivery, :identity,"
        " content_sha256, type, kind, facts, 'none', '', conflict, late, received_at, payload_sha256, 'sweep'"
        " FROM events WHERE id = 'evt_1'"
    )
    with empty.write() as connection:
        connection.execute(text(insert), {"id": "evt_2", "delivery": None, "identity": b"2"})
        found = [events.find(connection, name) for name in ("evt_1", "evt_2")]
    assert [each and (each.delivery_id, each.found_by) for each in found] == [("dlv_1", None), (None, "sweep")]
    with pytest.raises(StoreUnavailable, match=r"(?i)foreign key"), empty.write() as connection:
        connection.execute(text(insert), {"id": "evt_3", "delivery": "dlv_none", "identity": b"3"})
    if empty.is_sqlite:
        with empty.read() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
