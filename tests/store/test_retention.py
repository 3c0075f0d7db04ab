"""What is older than it is to be stored goes, part by part; what is unread, not final or on hold stays."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from conftest import StandingClock, add_source
from lock_waits import wait_until, waiting
from sqlalchemy import Connection, func, select
from store.made import delivery, event, record

from receiver.admin import consumers as acts
from receiver.model import Agreement, ExceptionKind, HeldBack, RetentionKind, Status, Verdict
from receiver.projection.projector import catch_up, index_all
from receiver.retention import policy
from receiver.retention.run import Look, Run
from receiver.runtime import Runtime
from receiver.store import (
    consumers,
    deliveries,
    events,
    exceptions,
    feed,
    holds,
    intake,
    late,
    leases,
    outbox,
    payments,
    replay_selection,
    replays,
    retention,
    retention_parts,
    sources,
)
from receiver.store.exceptions import Opened
from receiver.store.late import NewLate
from receiver.store.replay_selection import Selection
from receiver.store.retention import Part, Taken
from receiver.store.sources import SourceRecord
from receiver.store.tables import Check, Delivery, FeedEntry, RetentionProgress, Subject, table_of

DAY = 86_400

_deliveries, _checks, _entries, _subjects = (table_of(model) for model in (Delivery, Check, FeedEntry, Subject))


def no_rest(_: float) -> None:
    """Callbacks are not waited for where there are none."""


def run(
    parts: Runtime, *names: str, looks_at_left: bool = True, counts_only: bool = False, indexed: bool = True
) -> dict[str, int]:
    """Remove all that is due, and return how many of each kind that were."""
    if indexed:
        index_all(parts.database)
    removed: Counter[str] = Counter()
    made = Run(parts, parts.clock(), names, counts_only, looks_at_left, no_rest)
    for step in made.steps():
        removed[str(step.kind)] += step.removed
    return {kind: number for kind, number in removed.items() if number}


def stored_for(parts: Runtime, name: str = "bcb", **days: int) -> None:
    """Say for how many days what is of a source is stored, by kind."""
    with parts.database.write() as connection:
        source = sources.find(connection, name)
        assert source is not None
        options = {**source.options, **{f"retention_{kind}_days": number for kind, number in days.items()}}
        sources.change(connection, source.id, options=options)


def told(parts: Runtime, source: SourceRecord, name: str) -> str:
    """Take an event in, and return its id."""
    made = event(parts, name)
    record(parts, delivery(parts, source), made)
    catch_up(parts.database)
    # What comes in the same millisecond comes in any order.
    cast(StandingClock, parts.clock).forward(0.001)
    return made.id


def looked_up(parts: Runtime, kind: RetentionKind, look: Look = retention_parts.look) -> Part:
    """Look up the next part of a kind of which one rule says when it goes."""
    with parts.database.read() as connection:
        found = policy.rules(parts.settings, sources.every(connection), parts.clock())
        (rule,) = (each for each in found if each.kind == kind)
        at = retention.progress(connection, rule.source_id, kind)
        limits = policy.limits(connection, parts.settings, parts.clock())
        return look(connection, rule, limits, at)


def take(parts: Runtime, connection: Connection, part: Part) -> Taken | None:
    now = parts.clock()
    asked = policy.limits(connection, parts.settings, now).asked
    return retention.take(connection, part, now, idle_since=policy.idle_since(parts.settings, now), asked=asked)


def taken(parts: Runtime, part: Part) -> Taken | None:
    """Do what a part says, in a transaction of its own."""
    with parts.database.write() as connection:
        return take(parts, connection, part)


def checked(parts: Runtime, *names: str) -> None:
    """Have the bank been asked about each payment once."""
    with parts.database.write() as connection:
        for name in names:
            found = payments.find(connection, "bcb", "payment", name)
            assert found is not None
            leases.add_check(connection, found.id, at=parts.clock(), outcome="answered", bank_status="?", detail={})


def has_payload(parts: Runtime, event_id: str) -> bool:
    with parts.database.read() as connection:
        return events.raw(connection, event_id) is not None


def left(parts: Runtime) -> dict[str, int]:
    with parts.database.read() as connection:
        numbers = retention.left_numbers(connection).values()
    found: Counter[str] = Counter()
    for reasons in numbers:
        found.update({str(reason): number for reason, number in reasons.items()})
    return dict(found)


@pytest.fixture
def settled(parts: Runtime) -> Callable[[str], None]:
    """Have the bank's final answer about a payment agree with what was claimed."""

    def settle(payment: str) -> None:
        with parts.database.write() as connection:
            found = _subjects.c.subject == payment
            values = {"status": Status.COMPLETED, "agreement": Agreement.CONFIRMED, "due_at": None}
            connection.execute(_subjects.update().where(found).values(**values))

    return settle


def test_nothing_goes_unless_somebody_says_for_how_long_to_store_it(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    event_id = told(parts, source, "FT1")
    clock.forward(10_000 * DAY)
    assert run(parts) == {}
    assert has_payload(parts, event_id)


def test_a_payload_goes_on_its_day_and_a_duplicate_is_known_for_ever(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=30)
    body = b'{"id": "FT1"}'
    first = delivery(parts, source, body=body)
    record(parts, first, event(parts, "FT1"))
    clock.forward(30 * DAY)
    assert run(parts) == {}
    clock.forward(1)
    assert run(parts) == {"payload": 1}
    assert run(parts) == {}
    with parts.database.read() as connection:
        found = deliveries.find(connection, first.id)
    assert found is not None
    assert (found.body, found.body_bytes, found.body_sha256) == (None, len(body), first.body_sha256)
    assert found.headers == first.headers
    again = record(parts, delivery(parts, source, body=body), event(parts, "FT1"))
    assert not again.is_new
    assert not again.has_conflict
    assert not record(parts, first, event(parts, "FT1")).is_new
    other = record(parts, delivery(parts, source), event(parts, "FT1", says="something else"))
    assert other.has_conflict


def test_what_is_not_final_or_before_a_persons_eyes_stays_until_it_is_not(
    parts: Runtime, clock: StandingClock, settled: Callable[[str], None]
) -> None:
    asked = add_source(parts, base_url="http://127.0.0.1:9")
    stored_for(parts, payload=30)
    pending, contradicted, fine = (told(parts, asked, name) for name in ("FT1", "FT2", "FT3"))
    settled("FT2")
    settled("FT3")
    about = Opened(ExceptionKind.CONTRADICTED, asked.id, "payment", "FT2", contradicted)
    with parts.database.write() as connection:
        exceptions.open_all(connection, [about], clock())
    clock.forward(31 * DAY)
    assert run(parts) == {"payload": 1}
    assert [has_payload(parts, each) for each in (pending, contradicted, fine)] == [True, True, False]
    assert left(parts) == {"not_final": 1, "exception": 1}
    # What was held back is looked at once more after an hour, or when somebody asks for it.
    assert run(parts) == {}
    settled("FT1")
    assert run(parts, looks_at_left=False) == {}
    with parts.database.write() as connection:
        exceptions.resolve_about(connection, ExceptionKind.CONTRADICTED, asked.id, "payment", "FT2", clock())
    clock.forward(3601)
    assert run(parts, looks_at_left=False) == {"payload": 2}
    assert left(parts) == {}


@pytest.mark.parametrize("kind", [RetentionKind.PAYLOAD, RetentionKind.CHECKS, RetentionKind.FEED])
@pytest.mark.parametrize("reason", [HeldBack.NOT_FINAL, HeldBack.EXCEPTION])
def test_what_opens_anew_while_a_part_is_looked_up_stays(
    parts: Runtime, clock: StandingClock, settled: Callable[[str], None], kind: RetentionKind, reason: HeldBack
) -> None:
    asked = add_source(parts, base_url="http://127.0.0.1:9")
    stored_for(parts, "bcb", **{str(kind): 30})
    for name in ("FT1", "FT2"):
        event_id = told(parts, asked, name)
        settled(name)
        checked(parts, name)
    index_all(parts.database)
    clock.forward(31 * DAY)
    part = looked_up(parts, kind)
    assert len(part.remove) == 2
    with parts.database.write() as connection:
        if reason == HeldBack.EXCEPTION:
            about = Opened(ExceptionKind.CONTRADICTED, asked.id, "payment", "FT2", event_id)
            exceptions.open_all(connection, [about], clock())
        else:
            connection.execute(_subjects.update().where(_subjects.c.subject == "FT2").values(status=Status.PENDING))
    assert taken(parts, part) == (1, 1, True)
    assert left(parts) == {str(reason): 1}


def test_what_a_consumer_has_not_acknowledged_stays_until_it_is_idle(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1, feed=1)
    read, unread = told(parts, source, "FT1"), told(parts, source, "FT2")
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 1, clock())
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 1, "feed": 1}
    assert (has_payload(parts, read), has_payload(parts, unread)) == (False, True)
    with parts.database.read() as connection:
        stopped = {each.kind: each.stopped_by for each in retention.every_progress(connection)}
    assert stopped == {RetentionKind.PAYLOAD: HeldBack.UNREAD, RetentionKind.FEED: HeldBack.UNREAD}
    # Nothing that comes behind it is looked at, so nothing is noted as held back.
    assert left(parts) == {}
    clock.forward(29 * DAY)
    assert run(parts) == {"payload": 1, "feed": 1}


def test_a_copy_that_is_unread_holds_an_old_event_back(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1)
    old, next_one = told(parts, source, "FT1"), told(parts, source, "FT2")
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 2, clock())
        (own,) = replay_selection.entries(connection, Selection(event_ids=[old]), behind=0, through=2, limit=1)
        replay_selection.append_replayed(connection, [own], "rpl_1", None, clock())
    catch_up(parts.database)
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 1}
    assert (has_payload(parts, old), has_payload(parts, next_one)) == (True, False)
    assert left(parts) == {"unread": 1}


def test_a_copy_goes_by_when_its_replay_wrote_it(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_parts, "PART", 2)
    stored_for(parts, feed=30)
    event_ids = [told(parts, source, f"FT{number}") for number in range(3)]
    clock.forward(30 * DAY - 60)
    with parts.database.write() as connection:
        originals = replay_selection.entries(connection, Selection(), behind=0, through=3, limit=3)
        replay_selection.append_replayed(connection, originals, "rpl_1", None, clock())
        # The last copy is held back once it is old enough, and looked at once more.
        holds.put(connection, event_ids[-1], "a court asks", "cli:ann", clock())
    catch_up(parts.database)

    def stored() -> list[int]:
        with parts.database.read() as connection:
            return list(connection.execute(select(_entries.c.position).order_by(_entries.c.position)).scalars())

    clock.forward(120)
    assert run(parts) == {"feed": 2}
    with parts.database.write() as connection:
        holds.release(connection, event_ids[-1])
    assert run(parts) == {"feed": 1}
    assert stored() == [4, 5, 6]
    clock.forward(30 * DAY - 180)
    assert run(parts) == {}
    clock.forward(120)
    assert run(parts) == {"feed": 3}


def test_an_event_on_hold_loses_nothing_until_it_is_released(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1, headers=1, checks=1, feed=1)
    held, other = told(parts, source, "FT1"), told(parts, source, "FT2")
    checked(parts, "FT1", "FT2")
    with parts.database.write() as connection:
        assert holds.put(connection, held, "a court asks", "cli:ann", clock())
        assert not holds.put(connection, held, "another reason", "cli:bob", clock())
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 1, "headers": 1, "checks": 1, "feed": 1}
    assert (has_payload(parts, held), has_payload(parts, other)) == (True, False)
    with parts.database.read() as connection:
        assert [entry.position for entry in feed.of_event(connection, held)] == [1]
        assert feed.removed(connection) == 2
        kept = [each.on_hold for each in events.by_ids(connection, [held, other])]
    assert kept == [True, False]
    assert left(parts) == {"on_hold": 4}
    with parts.database.write() as connection:
        assert holds.release(connection, held)
    assert run(parts) == {"payload": 1, "headers": 1, "checks": 1, "feed": 1}
    assert left(parts) == {}


def test_a_hold_that_comes_while_a_part_is_looked_up_wins(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1)
    held = told(parts, source, "FT1")
    clock.forward(2 * DAY)
    part = looked_up(parts, RetentionKind.PAYLOAD)
    assert len(part.remove) == 1
    with parts.database.write() as connection:
        holds.put(connection, held, "a court asks", "cli:ann", clock())
    assert taken(parts, part) == (0, 1, True)
    # Somebody has been at it: what was looked up is not what is so any more.
    assert taken(parts, part) is None
    assert has_payload(parts, held)
    assert left(parts) == {"on_hold": 1}


def test_a_hold_that_comes_while_checks_are_looked_up_wins(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, checks=1)
    event_ids = [told(parts, source, name) for name in ("FT1", "FT2")]
    checked(parts, "FT1", "FT2")
    clock.forward(2 * DAY)
    part = looked_up(parts, RetentionKind.CHECKS)
    assert len(part.remove) == 2
    with parts.database.write() as connection:
        holds.put(connection, event_ids[0], "a court asks", "cli:ann", clock())
    assert taken(parts, part) == (1, 1, True)
    with parts.database.read() as connection:
        (stays,) = payments.latest_checks(connection, limit=10)
    assert stays.subject == "FT1"
    assert left(parts) == {"on_hold": 1}


def test_what_has_just_come_of_an_old_delivery_stays_until_it_was_read(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1)
    came, made = delivery(parts, source), event(parts, "FT1")
    with parts.database.write() as connection:
        late.hold(connection, NewLate(came, [made], "too_old", "signed days ago"))
    clock.forward(2 * DAY)
    assert run(parts) == {}
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 0, clock())
        intake.release(connection, came, [made])
    # Its entry has no position yet, so nobody can have read it.
    assert run(parts, indexed=False) == {}
    assert left(parts) == {"waiting": 1}
    catch_up(parts.database)
    assert run(parts) == {}
    assert left(parts) == {"unread": 1}
    assert has_payload(parts, made.id)
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 1, clock())
    assert run(parts) == {"payload": 1}


def test_an_event_that_has_news_while_a_part_is_looked_up_keeps_its_entries(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, feed=1)
    event_id = told(parts, source, "FT1")
    index_all(parts.database)
    clock.forward(2 * DAY)
    part = looked_up(parts, RetentionKind.FEED)
    assert len(part.remove) == 1
    with parts.database.write() as connection:
        # As where a sweep had found it and its callback has come.
        outbox.leave_events.run(connection, [(event_id,)])
    assert taken(parts, part) == (0, 1, True)
    assert left(parts) == {"waiting": 1}


def consumer_made(parts: Runtime, connection: Connection, _: str) -> None:
    consumers.create(connection, "reports", parts.clock())


def consumer_moved_back(parts: Runtime, connection: Connection, _: str) -> None:
    consumers.seek(connection, "ledger", 1, parts.clock())


def consumer_back(parts: Runtime, connection: Connection, _: str) -> None:
    consumers.note_read(connection, "idle", parts.clock())


def replay_begun(parts: Runtime, connection: Connection, _: str) -> None:
    values = {"through": "2", "total": 2, "done": 0, "failed": 0, "requested_by": "cli:ann", "reason": "a reason"}
    values |= {"id": "rpl_1", "plan": "pln_1", "target": "feed", "filter": {}, "place": "0", "state": "paused"}
    replays.start(connection, values | {"created_at": parts.clock(), "due_at": parts.clock()})


def copied(parts: Runtime, connection: Connection, event_id: str) -> None:
    found = replay_selection.entries(connection, Selection(event_ids=[event_id]), behind=0, through=9, limit=9)
    replay_selection.append_replayed(connection, found, "rpl_1", None, parts.clock())


Coming = Callable[[Runtime, Connection, str], None]


@pytest.mark.parametrize("come", [consumer_made, consumer_moved_back, consumer_back, replay_begun])
def test_entries_that_somebody_comes_to_want_while_a_part_is_looked_up_stay(
    parts: Runtime, source: SourceRecord, clock: StandingClock, come: Coming
) -> None:
    stored_for(parts, feed=1)
    event_id = two_read(parts, source, clock)
    index_all(parts.database)
    part = looked_up(parts, RetentionKind.FEED)
    assert len(part.remove) == 2
    with parts.database.write() as connection:
        come(parts, connection, event_id)
    assert taken(parts, part) is None
    assert run(parts) == ({"feed": 1} if come is consumer_moved_back else {})


@pytest.mark.parametrize("come", [consumer_made, consumer_moved_back, consumer_back, copied])
def test_payloads_that_somebody_comes_to_read_while_a_part_is_looked_up_stay(
    parts: Runtime, source: SourceRecord, clock: StandingClock, come: Coming
) -> None:
    stored_for(parts, payload=1)
    event_id = two_read(parts, source, clock)
    part = looked_up(parts, RetentionKind.PAYLOAD)
    assert len(part.remove) == 2
    with parts.database.write() as connection:
        come(parts, connection, event_id)
    found = taken(parts, part)
    assert found is not None
    assert (found.removed, left(parts)) in [(0, {"unread": 2}), (1, {"unread": 1}), (1, {"waiting": 1})]
    assert has_payload(parts, event_id)
    catch_up(parts.database)
    assert run(parts) == {}
    assert has_payload(parts, event_id)


def two_read(parts: Runtime, source: SourceRecord, clock: StandingClock) -> str:
    """Take two old events in that one consumer has acknowledged, and one that is idle has not; return the last id."""
    with parts.database.write() as connection:
        consumers.create(connection, "idle", clock())
    _, last = told(parts, source, "FT1"), told(parts, source, "FT2")
    clock.forward(40 * DAY)
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 2, clock())
    return last


def test_what_was_on_hold_stays_for_a_replay_that_may_send_it(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, feed=1)
    held = told(parts, source, "FT1")
    with parts.database.write() as connection:
        holds.put(connection, held, "a court asks", "cli:ann", clock())
    clock.forward(2 * DAY)
    assert run(parts) == {}
    assert left(parts) == {"on_hold": 1}
    with parts.database.write() as connection:
        holds.release(connection, held)
    part = looked_up(parts, RetentionKind.FEED, retention_parts.look_left)
    assert len(part.remove) == 1
    with parts.database.write() as connection:
        replay_begun(parts, connection, held)
    assert taken(parts, part) == (0, 1, True)
    assert run(parts) == {}
    assert left(parts) == {"waiting": 1}
    with parts.database.write() as connection:
        replays.cancel(connection, "rpl_1", clock())
    assert run(parts) == {"feed": 1}


@pytest.mark.parametrize("is_there", [False, True], ids=["made", "moved"])
def test_a_consumer_that_is_made_or_moved_while_entries_are_removed_stands_behind_them(
    parts: Runtime, source: SourceRecord, clock: StandingClock, is_there: bool
) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    stored_for(parts, feed=1)
    told(parts, source, "FT1")
    index_all(parts.database)
    clock.forward(2 * DAY)
    if is_there:
        with parts.database.write() as connection:
            consumers.seek(connection, "ledger", 1, clock())
    part = looked_up(parts, RetentionKind.FEED)

    def come() -> None:
        if is_there:
            acts.seek(parts, "cli:ann", "ledger", 0)
            return
        with parts.database.write() as connection:
            consumers.create(connection, "ledger", clock())

    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            assert take(parts, connection, part) == (1, 0, True)
            coming = pool.submit(come)
            wait_until(lambda: waiting(parts))
        coming.result()
    with parts.database.read() as connection:
        assert consumers.position_of(connection, "ledger") == feed.removed(connection) == 1


def test_headers_stay_as_long_as_the_body(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    stored_for(parts, headers=1)
    told(parts, source, "FT1")
    clock.forward(5 * DAY)
    # The body is stored for ever, and what it is proven by with it.
    assert run(parts) == {}
    stored_for(parts, payload=10)
    assert run(parts) == {}
    clock.forward(6 * DAY)
    assert run(parts, counts_only=True) == {"payload": 1, "headers": 1}
    assert run(parts) == {"payload": 1, "headers": 1}
    with parts.database.read() as connection:
        (headers,) = connection.execute(select(_deliveries.c.headers)).scalars()
    assert headers == {}


def test_rejected_deliveries_go_unless_a_person_has_to_look_at_them(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, rejected=7)
    with parts.database.write() as connection:
        for reason, likely in (("signature_mismatch", True), ("signature_mismatch", False), ("stale", True)):
            new = delivery(parts, source)
            deliveries.store_rejected(
                connection, new, reason=reason, detail="", proven=False, likely=likely, most=10, body_bytes=100
            )
        about = Opened(ExceptionKind.REJECTED, source.id, "reason", "signature_mismatch")
        exceptions.open_all(connection, [about], clock())
    clock.forward(8 * DAY)
    assert run(parts) == {"rejected": 2}
    with parts.database.read() as connection:
        (stays,) = deliveries.rejected(connection, None, below=None, limit=10)
    assert stays.reason == "signature_mismatch"
    assert stays.verdict == Verdict.REJECTED


def test_checks_go_once_the_bank_is_done_with_the_payment(
    parts: Runtime, clock: StandingClock, settled: Callable[[str], None]
) -> None:
    asked = add_source(parts, base_url="http://127.0.0.1:9")
    stored_for(parts, checks=7)
    for payment in ("FT1", "FT2"):
        told(parts, asked, payment)
        checked(parts, *[payment] * 3)
    settled("FT1")
    clock.forward(8 * DAY)
    assert run(parts) == {"checks": 3}
    assert left(parts) == {"not_final": 3}
    with parts.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(_checks)).scalar_one() == 3
        done = payments.find(connection, "bcb", "payment", "FT1")
    assert done is not None
    assert done.status == Status.COMPLETED


def test_checks_whose_numbers_are_used_anew_go_too(parts: Runtime, clock: StandingClock) -> None:
    source, other = add_source(parts), add_source(parts, "other")
    for name, whose in (("bcb", source), ("other", other)):
        stored_for(parts, name, checks=1)
        told(parts, whose, "FT1" if whose is source else "FT2")
    for _ in range(2):
        checked(parts, *["FT1"] * 3)
        clock.forward(2 * DAY)
        # All are gone, as after a quiet while.
        assert run(parts) == {"checks": 3}
    # As a release before this one has left it.
    with parts.database.write() as connection:
        through = retention.place_of(50_000)
        connection.execute(table_of(RetentionProgress).update().values(through=through))
    checked(parts, "FT1")
    clock.forward(2 * DAY)
    assert run(parts) == {"checks": 1}
    # Nothing is written where there is nothing more to do.
    assert run(parts) == {}


def test_the_feed_goes_from_its_beginning_on_as_far_as_every_source_lets_it(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    other = add_source(parts, "other", secret=None)
    stored_for(parts, feed=1)
    stored_for(parts, "other", feed=100)
    for name, whose in (("FT1", source), ("FT2", source), ("FT3", other), ("FT4", source)):
        told(parts, whose, name)
    clock.forward(2 * DAY)
    assert run(parts) == {"feed": 2}
    with parts.database.read() as connection:
        assert [entry.position for entry in feed.read(connection, after=None, limit=10).entries] == [3, 4]
        with pytest.raises(feed.EntriesRemoved):
            feed.read(connection, after=1, limit=10)
        assert [entry.position for entry in feed.read(connection, after=2, limit=10).entries] == [3, 4]
    clock.forward(100 * DAY)
    assert run(parts) == {"feed": 2}
    told(parts, source, "FT5")
    with parts.database.read() as connection:
        assert [entry.position for entry in feed.read(connection, after=None, limit=10).entries] == [5]
        assert connection.execute(select(_entries.c.position)).scalars().all() == [5]


def test_what_is_rare_among_others_is_found_stretch_by_stretch(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_parts, "NEAR", 3)
    monkeypatch.setattr(retention_parts, "PART", 2)
    rare, silent = add_source(parts, "rare", secret=None), add_source(parts, "silent", secret=None)
    stored_for(parts, "rare", payload=1)
    stored_for(parts, "silent", payload=1)
    own = []
    for number in range(1, 18):
        told(parts, source, f"FT{number}")
        if number in (1, 9, 10, 11, 17):
            own.append(told(parts, rare, f"RARE{number}"))
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 5}
    assert not any(has_payload(parts, event_id) for event_id in own)
    with parts.database.read() as connection:
        assert connection.execute(select(func.count()).where(_deliveries.c.body.is_not(None))).scalar_one() == 17
        newest = connection.execute(select(func.max(_deliveries.c.id))).scalar_one()
        for each in (rare, silent):
            assert retention.progress(connection, each.id, RetentionKind.PAYLOAD).through == newest


def test_of_two_that_remove_at_once_each_thing_is_removed_by_one(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1)
    number = 2 * retention_parts.PART + 7
    with parts.database.write() as connection:
        pairs = [(delivery(parts, source), [event(parts, f"FT{n}", kind="none")]) for n in range(number)]
        intake.record_all(connection, pairs)
    catch_up(parts.database)
    clock.forward(2 * DAY)
    removed: list[int] = []

    def work() -> None:
        while True:
            made = Run(parts, clock(), rest=no_rest)
            removed.extend(step.removed for step in made.steps())
            if not made.is_busy:
                return

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(removed) == number
    with parts.database.read() as connection:
        assert connection.execute(select(func.count()).where(_deliveries.c.body.is_not(None))).scalar_one() == 0
        assert retention.progress(connection, source.id, RetentionKind.PAYLOAD).removed == number


def test_a_part_that_fails_half_way_leaves_nothing_behind(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_for(parts, payload=1)
    event_id = told(parts, source, "FT1")
    clock.forward(2 * DAY)
    with monkeypatch.context() as patched:
        patched.setattr(retention, "_advance", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(parts)
    assert has_payload(parts, event_id)
    assert run(parts) == {"payload": 1}


def test_storing_for_longer_spares_what_was_held_back(
    parts: Runtime, clock: StandingClock, settled: Callable[[str], None]
) -> None:
    asked = add_source(parts, base_url="http://127.0.0.1:9")
    stored_for(parts, payload=1)
    event_id = told(parts, asked, "FT1")
    clock.forward(2 * DAY)
    assert run(parts) == {}
    settled("FT1")
    stored_for(parts, payload=100)
    assert run(parts) == {}
    assert has_payload(parts, event_id)
    clock.forward(99 * DAY)
    assert run(parts) == {"payload": 1}


YEARS = 5 * 365 * DAY


def test_checks_of_a_clock_that_was_ahead_keep_no_others_and_go_themselves_once_they_are_old(
    parts: Runtime, clock: StandingClock
) -> None:
    source, other = add_source(parts), add_source(parts, "other")
    stored_for(parts, checks=1)
    told(parts, source, "FT1")
    told(parts, other, "FT2")
    clock.forward(YEARS)
    checked(parts, "FT1")
    with parts.database.write() as connection:
        found = payments.find(connection, "other", "payment", "FT2")
        assert found is not None
        leases.add_check(connection, found.id, at=clock(), outcome="answered", bank_status="?", detail={})
    clock.forward(-YEARS)
    checked(parts, *["FT1"] * 3)
    clock.forward(2 * DAY)
    checked(parts, "FT1")
    assert run(parts) == {"checks": 3}
    assert left(parts) == {"waiting": 1}
    assert run(parts) == {}
    clock.forward(YEARS)
    assert run(parts) == {"checks": 2}
    assert left(parts) == {}


def test_entries_of_a_clock_that_was_ahead_keep_no_others_and_are_passed_over_by_none_that_is_young(
    parts: Runtime, source: SourceRecord, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_parts, "PART", 2)
    stored_for(parts, feed=1)

    def begins() -> list[int]:
        with parts.database.read() as connection:
            return [entry.position for entry in feed.read(connection, after=None, limit=10).entries]

    def ahead(*names: str) -> None:
        clock.forward(YEARS)
        for name in names:
            told(parts, source, name)
        clock.forward(-YEARS)

    told(parts, source, "FT1")
    ahead("FT2", "FT3", "FT4")
    clock.forward(2 * DAY)
    # Whoever begins now is told of what may have come just now.
    assert run(parts) == {"feed": 1}
    assert begins() == [2, 3, 4]
    told(parts, source, "FT5")
    assert run(parts) == {}
    assert begins() == [2, 3, 4, 5]
    clock.forward(2 * DAY)
    told(parts, source, "FT6")
    assert run(parts) == {"feed": 1}
    assert begins() == [6]
    assert left(parts) == {"waiting": 3}
    clock.forward(YEARS)
    assert run(parts) == {"feed": 4}
    assert left(parts) == {}


def test_an_entry_of_a_clock_that_was_ahead_keeps_others_where_its_source_stores_them_for_ever(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    other = add_source(parts, "other", secret=None)
    stored_for(parts, feed=1)
    clock.forward(YEARS)
    told(parts, other, "FT1")
    clock.forward(-YEARS)
    told(parts, source, "FT2")
    clock.forward(2 * DAY)
    assert run(parts) == {}


def test_a_source_that_was_added_by_a_clock_that_was_ahead_is_looked_through_from_the_beginning(
    parts: Runtime, clock: StandingClock
) -> None:
    clock.forward(YEARS)
    source = add_source(parts)
    clock.forward(-YEARS)
    stored_for(parts, payload=1, headers=1)
    told(parts, source, "FT1")
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 1, "headers": 1}


def test_where_retention_came_by_a_clock_that_was_ahead_it_is_set_back(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    stored_for(parts, payload=1, headers=1)
    clock.forward(YEARS)
    told(parts, source, "FT1")
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 1, "headers": 1}
    clock.forward(-YEARS)
    told(parts, source, "FT2")
    clock.forward(2 * DAY)
    counted = run(parts, counts_only=True)
    assert run(parts) == counted == {"payload": 1, "headers": 1}
    told(parts, source, "FT3")
    clock.forward(2 * DAY)
    assert run(parts) == {"payload": 1, "headers": 1}
