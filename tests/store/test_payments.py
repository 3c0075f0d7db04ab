"""What is due: each subject is one worker's at a time, for as long as its lease lasts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import StandingClock, add_source
from sqlalchemy import Row, select
from store.made import claimed, delivery, event, record

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import leases, sources
from receiver.store.leases import Due, Lease, LeaseLost
from receiver.store.sources import SourceRecord
from receiver.store.tables import Subject, table_of

LEASE_SECONDS = 60


def tell(parts: Runtime, source: SourceRecord, *payments: str, event_name: str = "") -> None:
    for payment in payments:
        record(parts, delivery(parts, source), event(parts, event_name or payment, payment=payment))


def claim(parts: Runtime, lease: str = "lease", limit: int = 10) -> list[Due]:
    catch_up(parts.database)
    now = parts.clock()
    until = now + timedelta(seconds=LEASE_SECONDS)
    with parts.database.write() as connection:
        return claimed(connection, now, until, name=lease, limit=limit)


def settle(parts: Runtime, due: Due, in_seconds: float | None, **values: str) -> None:
    now = parts.clock()
    next_at = None if in_seconds is None else now + timedelta(seconds=in_seconds)
    with parts.database.write() as connection:
        leases.locked_state(connection, due)
        leases.settle(connection, due, now=now, next_at=next_at, values=values)


def rows(parts: Runtime) -> list[Row[tuple[object, ...]]]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return list(connection.execute(select(table_of(Subject)).order_by(table_of(Subject).c.id)))


def names(dues: list[Due]) -> list[str]:
    return sorted(due.subject for due in dues)


def test_a_claimed_subject_is_nobody_elses(parts: Runtime, source: SourceRecord) -> None:
    tell(parts, source, "a", "b", "c")
    first, second = claim(parts, "one", limit=2), claim(parts, "two", limit=2)
    assert names(first) == ["a", "b"]
    assert names(second) == ["c"]
    assert claim(parts, "three") == []


def test_the_longest_due_comes_first(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    for payment in "abc":
        tell(parts, source, payment)
        clock.forward(1)
    assert names(claim(parts, limit=1)) == ["a"]


def test_workers_at_once_share_what_is_due_without_overlap(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        arrived = delivery(parts, source)
        subjects_told = [event(parts, f"FT{number:03}") for number in range(100)]
        from receiver.store import intake

        intake.record(connection, arrived, subjects_told)
    start = threading.Barrier(4)

    def work(number: int) -> list[str]:
        start.wait(60)
        taken: list[str] = []
        turn = 0
        while dues := claim(parts, f"{number}-{turn}", limit=3):
            taken += [due.subject for due in dues]
            turn += 1
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [subject for worker in pool.map(work, range(4)) for subject in worker]
    # A worker may stop early because the rows that it saw were being taken; what is left is still due.
    taken += [due.subject for due in claim(parts, "rest", limit=100)]
    assert sorted(taken) == [f"FT{number:03}" for number in range(100)]


def test_two_open_claims_on_postgresql_do_not_wait_for_each_other(parts: Runtime, source: SourceRecord) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    tell(parts, source, "a", "b")
    catch_up(parts.database)
    now = parts.clock()
    until = now + timedelta(seconds=LEASE_SECONDS)
    with parts.database.write() as one, parts.database.write() as two:
        first = claimed(one, now, until, name="one")
        second = claimed(two, now, until, name="two", limit=5)
    assert (names(first), names(second)) == (["a"], ["b"])


def test_a_lease_ends(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    tell(parts, source, "a")
    claim(parts, "one")
    clock.forward(LEASE_SECONDS - 1)
    assert claim(parts, "two") == []
    clock.forward(1)
    assert names(claim(parts, "three")) == ["a"]


def test_what_is_not_due_yet_is_left(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    tell(parts, source, "a")
    (due,) = claim(parts)
    settle(parts, due, in_seconds=10)
    assert claim(parts) == []
    clock.forward(10)
    (again,) = claim(parts)
    assert again.attempts == 1


def test_what_is_settled_for_good_is_never_due(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    tell(parts, source, "a")
    (due,) = claim(parts)
    settle(parts, due, in_seconds=None, status="completed")
    clock.forward(10**6)
    assert claim(parts) == []
    assert [(row.status, row.due_at, row.lease) for row in rows(parts)] == [("completed", None, None)]


def test_the_subjects_of_a_disabled_source_are_left_until_it_is_enabled(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other")
    tell(parts, source, "a")
    tell(parts, other, "b")
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=False)
    assert names(claim(parts)) == ["b"]
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=True)
    assert names(claim(parts, "later")) == ["a"]


@pytest.mark.parametrize("in_seconds", [None, 3600])
def test_a_claim_that_comes_in_during_a_check_makes_it_due_again(
    parts: Runtime, source: SourceRecord, in_seconds: float | None
) -> None:
    tell(parts, source, "a")
    (due,) = claim(parts)
    tell(parts, source, "a", event_name="reversal")
    settle(parts, due, in_seconds, status="completed")
    (again,) = claim(parts, "again")
    assert (again.subject, again.attempts) == ("a", 0)
    assert again.last_event_id != due.last_event_id


def test_a_claim_that_comes_in_during_a_check_does_not_hand_it_to_a_second_worker(
    parts: Runtime, source: SourceRecord
) -> None:
    tell(parts, source, "a")
    claim(parts, "one")
    tell(parts, source, "a", event_name="reversal")
    assert claim(parts, "two") == []


def test_a_lost_lease_writes_nothing(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    tell(parts, source, "a")
    (slow,) = claim(parts, "slow")
    clock.forward(LEASE_SECONDS)
    (quick,) = claim(parts, "quick")
    before = rows(parts)
    with pytest.raises(LeaseLost, match="payment a was taken over"):
        settle(parts, slow, in_seconds=None, status="rejected")
    with parts.database.write() as connection:
        leases.put_off(connection, [slow], clock() + timedelta(days=1))
    assert rows(parts) == before
    settle(parts, quick, in_seconds=None, status="completed")
    assert [row.status for row in rows(parts)] == ["completed"]


def test_a_lease_that_is_settled_cannot_be_settled_again(parts: Runtime, source: SourceRecord) -> None:
    tell(parts, source, "a")
    (due,) = claim(parts)
    settle(parts, due, in_seconds=0)
    with pytest.raises(LeaseLost):
        settle(parts, due, in_seconds=None)


def test_what_is_put_off_is_due_then_and_counts_no_attempt(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    tell(parts, source, "a", "b")
    dues = claim(parts)
    with parts.database.write() as connection:
        leases.put_off(connection, dues, clock() + timedelta(seconds=30))
    clock.forward(29)
    assert claim(parts) == []
    clock.forward(1)
    assert [due.attempts for due in claim(parts, "later")] == [0, 0]


def test_what_is_claimed_or_asked_for_while_it_is_leased_is_not_put_off(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    tell(parts, source, "claimed", "asked for", "neither")
    dues = claim(parts)
    clock.forward(1)
    tell(parts, source, "claimed", event_name="reversal")
    catch_up(parts.database)
    (asked_for,) = (due.id for due in dues if due.subject == "asked for")
    with parts.database.write() as connection:
        leases.ask_now(connection, asked_for, clock())
        leases.put_off(connection, dues, clock() + timedelta(hours=1))
    assert names(claim(parts, "later")) == ["asked for", "claimed"]


def test_what_is_given_back_is_as_long_due_as_it_was(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    tell(parts, source, "a")
    (due,) = claim(parts)
    clock.forward(1)
    with parts.database.write() as connection:
        leases.give_back(connection, [due])
    (more,) = claim(parts, "later")
    assert (more.due_at, more.attempts) == (due.due_at, 0)


def test_one_subject_can_be_asked_for_by_its_number(parts: Runtime, source: SourceRecord) -> None:
    tell(parts, source, "a", "b")
    first, second = (row.id for row in rows(parts))
    for due in claim(parts):
        settle(parts, due, in_seconds=None)
    with parts.database.write() as connection:
        leases.ask_now(connection, second, parts.clock())
        lease = Lease(parts.clock(), parts.clock() + timedelta(seconds=LEASE_SECONDS), "one")
        assert leases.claim_one(connection, first, lease) is None
        claimed_one = leases.claim_one(connection, second, lease)
    assert claimed_one is not None
    assert claimed_one.subject == "b"
