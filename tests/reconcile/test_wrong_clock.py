"""A clock that is hours ahead for a moment: nothing waits for longer than the longest wait of its kind afterwards."""

from datetime import datetime, timedelta

import pytest
from bank import deposit
from conftest import StandingClock
from reconcile.conftest import book, tell, tell_deposit
from sqlalchemy import select, update
from store.made import claimed
from store.test_replays import due as replays_due
from store.test_replays import start as start_replay

from receiver.bank_client.shared_token import FETCHING
from receiver.banks.http import WAIT_MAX
from receiver.credentials.attempts import PAUSE_IN_VAIN
from receiver.inbox.verification import KEYS_REFRESHED_EVERY
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store import (
    alarms,
    bank_tokens,
    circuits,
    credential_changes,
    payments,
    public_keys,
    replays,
    request_budget,
    sign_in_failures,
    workers,
)
from receiver.store.credential_changes import Intent
from receiver.store.request_budget import BLOCK_MAX
from receiver.store.sources import SourceRecord
from receiver.store.tables import Circuit, RequestBudget, Subject, metadata, table_of
from receiver.store.tables.base import UtcDateTime
from receiver.worker.alarms import LEASE
from receiver.worker.loop import Worker

AHEAD = timedelta(hours=8)
HOUR = timedelta(hours=1)

WAITS = {
    "day_heads.leased_until",
    "day_versions.looked_at",
    "day_versions.next_look_at",
    "retention_progress.left_at",
    "retention_turn.looked_at",
    "bank_lines.seen_at",
    "alarm_progress.leased_until",
    "alarm_progress.retry_at",
    "bank_tokens.fetching_until",
    "circuits.closed_at",
    "circuits.probing_until",
    "circuits.retry_at",
    "credential_changes.due_at",
    "credential_changes.finished_at",
    "public_keys.fetched_at",
    "public_keys.tried_at",
    "replays.due_at",
    "request_budgets.blocked_until",
    "request_budgets.window_started_at",
    "source_watches.looked_at",
    "staff_sign_in_failures.failed_at",
    "subjects.due_at",
    "subjects.leased_until",
    "sweeps.covered_from",
    "sweeps.covered_until",
    "sweeps.gone_at",
    "sweeps.leased_until",
    "sweeps.next_at",
}
"""Every stored time that something waits for, or since which it waits; each has a test below."""

ENDS = {
    "api_tokens.expires_at",
    "bank_tokens.expires_at",
    "signing_secrets.expires_at",
    "staff_forms.expires_at",
    "staff_sessions.expires_at",
    "staff_sessions.seen_at",
}
"""The end of something good: nothing waits for it. A bank's token that is used beyond it is refused, and made anew."""

RECORDS = {
    "day_versions.closed_at",
    "event_holds.held_at",
    "api_tokens.created_at",
    "api_tokens.last_used_at",
    "api_tokens.revoked_at",
    "audit_entries.at",
    "audit_keys.created_at",
    "bank_lines.at",
    "checks.at",
    "circuits.opened_at",
    "consumers.acked_at",
    "consumers.created_at",
    "consumers.read_at",
    "consumer_ranges.first_at",
    "consumer_ranges.last_at",
    "credential_changes.begun_at",
    "credential_changes.reported_at",
    "credential_changes.settled_at",
    "deliveries.received_at",
    "deliveries.signed_at",
    "events.claimed_at",
    "events.received_at",
    "feed_entries.copied_at",
    "feed_entries.time",
    "held_events.confirmed_at",
    "feed_outbox.copied_at",
    "feed_outbox.time",
    "public_keys.wanted_at",
    "repeats.received_at",
    "exceptions.changed_at",
    "exceptions.handled_at",
    "exceptions.opened_at",
    "recoveries.since",
    "exceptions.over_at",
    "outages.began_at",
    "outages.ended_at",
    "replays.approved_at",
    "replays.created_at",
    "replays.finished_at",
    "request_spendings.window_started_at",
    "search_blocks.first_at",
    "search_blocks.last_at",
    "search_events.received_at",
    "signing_secrets.created_at",
    "staff_sessions.created_at",
    "staff_sessions.ended_at",
    "staff_users.created_at",
    "staff_users.disabled_at",
    "staff_users.password_at",
    "staff_users.signed_in_at",
    "sources.created_at",
    "sources.hidden_at",
    "subjects.claimed_at",
    "subjects.created_at",
    "subjects.stalled_at",
    "subjects.updated_at",
    "sweeps.last_read_at",
    "worker_seen.seen_at",
}
"""When something was. Nothing is put off because of it; of `wanted_at` only whether it is set counts."""


def test_every_stored_time_is_known_as_a_wait_an_end_or_a_record() -> None:
    stored = {
        f"{table.name}.{column.name}"
        for table in metadata().tables.values()
        for column in table.c
        if isinstance(column.type, UtcDateTime)
    }
    assert stored - {"credential_changes.told_at"} | {"credential_changes.reported_at"} == WAITS | ENDS | RECORDS


def test_the_longest_block_is_what_is_heeded_of_a_bank_s_answer() -> None:
    assert BLOCK_MAX == WAIT_MAX


@pytest.fixture
def ahead(clock: StandingClock) -> StandingClock:
    """The clock, which is ahead; `put_right` ends that."""
    clock.now += AHEAD
    return clock


def put_right(clock: StandingClock) -> None:
    """Five seconds later the clock is put right."""
    clock.now += timedelta(seconds=5) - AHEAD


def due_at(parts: Runtime, payment_id: str) -> datetime | None:
    catch_up(parts.database)
    with parts.database.read() as connection:
        found = payments.find(connection, "bcb", "payment", payment_id)
    assert found is not None
    return found.due_at


def test_payments_told_or_asked_for_under_the_wrong_clock_are_asked_for_soon(
    parts: Runtime, simulator: Simulator, ahead: StandingClock, worker: Worker
) -> None:
    book(simulator, ahead, ("Pending", 0), payment_id="asked")
    book(simulator, ahead, ("Pending", 0), payment_id="told")
    tell_deposit(parts, "asked")
    worker.run_once()
    tell_deposit(parts, "told")
    put_right(ahead)
    assert worker.run_once() > 0
    for payment_id in ("asked", "told"):
        due = due_at(parts, payment_id)
        # The pause after a check that found it pending.
        assert due is not None
        assert due - ahead() < timedelta(minutes=1)


def test_what_is_final_keeps_the_days_after_which_it_is_looked_at_once_more(
    parts: Runtime, simulator: Simulator, clock: StandingClock, worker: Worker
) -> None:
    book(simulator, clock, ("Completed", 0))
    tell_deposit(parts)
    worker.run_once()
    later, never = clock() + timedelta(days=30), clock() + timedelta(days=32)
    for stored, expected in ((later, later), (never, None)):
        with parts.database.write() as connection:
            connection.execute(update(table_of(Subject)).values(due_at=stored))
        clock.forward(61)
        worker.run_once()
        assert due_at(parts, "FT1") == expected


def test_who_failed_to_sign_in_under_the_wrong_clock_may_try_at_once(parts: Runtime, ahead: StandingClock) -> None:
    with parts.database.write() as connection:
        for _ in range(50):
            sign_in_failures.add(connection, [7], ahead())
        assert sign_in_failures.wait(connection, [7], ahead()) == sign_in_failures.LONGEST
        put_right(ahead)
        assert sign_in_failures.wait(connection, [7], ahead()) == 0


def test_a_payment_is_put_off_by_a_spent_budget_for_no_longer_than_by_any_pause(
    parts: Runtime, simulator: Simulator, source: SourceRecord, clock: StandingClock, worker: Worker
) -> None:
    with parts.database.write() as connection:
        request_budget.take(connection, source.id, now=clock(), limit=9, window=HOUR)
        request_budget.block(connection, source.id, clock() + WAIT_MAX)
    tell(parts, deposit(transactionId="FT1"))
    worker.run_once()
    due = due_at(parts, "FT1")
    assert due is not None
    assert due - clock() <= timedelta(seconds=1.1 * parts.settings.recheck_max_seconds)
    assert simulator.requests.entries() == []


def test_a_lease_from_the_wrong_clock_is_over(parts: Runtime, ahead: StandingClock, source: SourceRecord) -> None:
    tell_deposit(parts)
    catch_up(parts.database)
    lease = timedelta(seconds=parts.settings.lease_seconds)
    with parts.database.write() as connection:
        assert claimed(connection, ahead(), ahead() + lease, name="a")
        connection.execute(update(table_of(Subject)).values(due_at=ahead() - AHEAD))
    put_right(ahead)
    with parts.database.write() as connection:
        assert claimed(connection, ahead(), ahead() + lease, name="b")
        assert not claimed(connection, ahead(), ahead() + lease, name="c")
    assert source.name == "bcb"


def take(parts: Runtime, source: SourceRecord, limit: int) -> timedelta:
    """How long a request has to wait."""
    now = parts.clock()
    with parts.database.write() as connection:
        return request_budget.take(connection, source.id, now=now, limit=limit, window=HOUR) - now


def test_a_window_of_requests_that_begins_in_the_future_begins_now(
    parts: Runtime, ahead: StandingClock, source: SourceRecord
) -> None:
    assert [take(parts, source, 2) for _ in range(3)] == [timedelta(0), timedelta(0), HOUR]
    put_right(ahead)
    # What was asked is counted all the same; and the wait ends, instead of beginning anew at each look.
    assert take(parts, source, 2) == HOUR
    ahead.forward(3600)
    assert take(parts, source, 2) == timedelta(0)


def test_a_bank_that_was_down_or_just_back_under_the_wrong_clock_is_asked(
    parts: Runtime, ahead: StandingClock, source: SourceRecord
) -> None:
    longest = timedelta(minutes=10)

    def entered() -> datetime | None:
        with parts.database.write() as connection:
            return circuits.enter(connection, source.id, now=ahead(), longest=longest, is_person=False).wait

    with parts.database.write() as connection:
        circuits.fail(connection, source.id, now=ahead(), most=1, pauses=(longest, longest), error="gone")
    assert entered() == ahead() + longest
    put_right(ahead)
    assert entered() is None
    # The probe of a clock that is ahead holds nobody back either.
    with parts.database.write() as connection:
        connection.execute(update(table_of(Circuit)).values(probing_until=ahead() + AHEAD))
    assert entered() is None
    with parts.database.write() as connection:
        assert circuits.succeed(connection, source.id, now=ahead() + AHEAD)
    assert [entered() for _ in range(9)] == [None] * 9


def test_what_was_looked_at_under_the_wrong_clock_is_looked_at(
    parts: Runtime, ahead: StandingClock, source: SourceRecord
) -> None:
    def claimed() -> bool:
        with parts.database.write() as connection:
            return workers.claim_look(connection, source.id, "subscriptions", now=ahead(), every=HOUR)

    assert (claimed(), claimed()) == (True, False)
    put_right(ahead)
    with parts.database.read() as connection:
        assert workers.is_look_due(connection, source.id, "subscriptions", now=ahead(), every=HOUR)
    assert (claimed(), claimed()) == (True, False)
    ahead.forward(3600)
    assert claimed()


def test_a_block_from_the_wrong_clock_is_over(parts: Runtime, ahead: StandingClock, source: SourceRecord) -> None:
    take(parts, source, 9)
    with parts.database.write() as connection:
        request_budget.block(connection, source.id, ahead() + timedelta(minutes=5))
    put_right(ahead)
    assert take(parts, source, 9) == timedelta(0)
    with parts.database.read() as connection:
        assert connection.execute(select(table_of(RequestBudget).c.blocked_until)).scalar_one() is None


def test_a_block_that_is_longer_than_any_is_over(parts: Runtime, clock: StandingClock, source: SourceRecord) -> None:
    take(parts, source, 9)
    for wait, left in ((BLOCK_MAX, BLOCK_MAX), (BLOCK_MAX + HOUR, timedelta(0))):
        with parts.database.write() as connection:
            request_budget.block(connection, source.id, clock() + wait)
        assert take(parts, source, 9) == left


def test_the_lease_of_fetching_a_token_from_the_wrong_clock_is_over(
    parts: Runtime, ahead: StandingClock, source: SourceRecord
) -> None:
    def claim() -> bool:
        now = parts.clock()
        with parts.database.write() as connection:
            return bank_tokens.claim_fetching(connection, source.id, now=now, until=now + FETCHING)

    assert claim()
    assert not claim()
    put_right(ahead)
    assert claim()
    assert not claim()


def test_keys_that_were_tried_under_the_wrong_clock_are_fetched_and_waited_for(
    parts: Runtime, simulator: Simulator, ahead: StandingClock, source: SourceRecord, worker: Worker
) -> None:
    worker.run_once()
    put_right(ahead)
    assert worker.run_once() == 1
    with parts.database.read() as connection:
        assert public_keys.stored(connection, parts.encryption, source).fetched_at == ahead()
    assert worker.run_once() == 0
    assert KEYS_REFRESHED_EVERY < AHEAD
    assert simulator.requests.entries()


def begin_change(parts: Runtime, source: SourceRecord, due: datetime) -> None:
    intent = Intent("rotate", "client", None, "key", "cli:test", "token")  # type: ignore[arg-type]
    with parts.database.write() as connection:
        begun = credential_changes.begin(connection, parts.encryption, source, intent, now=parts.clock(), due_at=due)
    assert begun is not None


def test_a_change_of_credentials_from_the_wrong_clock_is_due(
    parts: Runtime, ahead: StandingClock, source: SourceRecord
) -> None:
    begin_change(parts, source, ahead() + PAUSE_IN_VAIN)

    def due() -> int:
        with parts.database.read() as connection:
            return len(credential_changes.due(connection, parts.clock(), PAUSE_IN_VAIN))

    assert due() == 0
    put_right(ahead)
    assert due() == 1


def test_a_change_that_ended_under_the_wrong_clock_leaves_no_doubt_for_hours(
    parts: Runtime, ahead: StandingClock, source: SourceRecord
) -> None:
    begin_change(parts, source, ahead())

    def is_in_doubt() -> bool:
        with parts.database.read() as connection:
            return credential_changes.secrets_may_be_newer(connection, source.id, parts.clock())

    with parts.database.write() as connection:
        pending = credential_changes.pending(connection, source.id)
        assert pending is not None
        credential_changes.change_values(connection, pending.id, state="done", finished_at=ahead())
    assert is_in_doubt()
    put_right(ahead)
    assert not is_in_doubt()


@pytest.mark.parametrize(("per_second", "wait"), [(None, 0), (100.0, 1), (0.01, 100)])
def test_a_replay_whose_next_part_was_put_off_by_the_wrong_clock_is_due(
    parts: Runtime, ahead: StandingClock, per_second: float | None, wait: float
) -> None:
    replay = start_replay(parts, "plan", per_second=per_second, due_at=ahead() + timedelta(seconds=wait))
    assert replays_due(parts) == ([] if wait else [replay])
    put_right(ahead)
    assert replays_due(parts) == [replay]
    with parts.database.read() as connection:
        found = replays.find(connection, replay)
    assert found is not None


def test_an_address_is_told_though_the_clock_was_ahead_when_it_was_leased_or_put_off(
    parts: Runtime, clock: StandingClock
) -> None:
    def claim(now: datetime) -> bool:
        with parts.database.write() as connection:
            return alarms.claim(connection, "one", 0, now, now + LEASE)

    with parts.database.write() as connection:
        alarms.begin(connection, "one")
    assert claim(clock() + AHEAD)
    assert claim(clock())
    with parts.database.write() as connection:
        alarms.put_off(connection, "one", clock() + LEASE, 99, clock() + AHEAD)
    assert claim(clock())
    with parts.database.write() as connection:
        alarms.put_off(connection, "one", clock() + LEASE, 99, clock())
    assert not claim(clock())
    assert claim(clock() + alarms.PAUSE_MAX)
