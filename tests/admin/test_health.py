"""How sources are, as the overview and their pages show it."""

from datetime import timedelta

from conftest import StandingClock, add_encrypting_source, add_source
from store.made import claimed, delivery, event, record
from store.test_rejected_deliveries import reject_within

from receiver.admin import health
from receiver.admin import sources as source_acts
from receiver.model import Purpose, Verdict
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import leases, request_budget, sources
from receiver.store.sources import SourceRecord


def refused(parts: Runtime, source: SourceRecord, number: int) -> None:
    with parts.database.write() as connection:
        for _ in range(number):
            reject_within(connection, delivery(parts, source), likely=True)


def add(parts: Runtime, name: str, bank: str) -> SourceRecord:
    with parts.database.write() as connection:
        return sources.add(
            connection,
            name=name,
            bank=bank,
            environment="sandbox",
            base_url=None,
            options={},
            now=parts.clock(),
        )


def test_the_overview_counts_by_minute_and_says_what_the_budget_is_spent_on(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1"))
    clock.forward(600)
    refused(parts, source, 2)
    catch_up(parts.database)
    with parts.database.write() as connection:
        (due,) = claimed(connection, clock(), clock())
        for outcome in ("not_found", "answered", "not_found"):
            leases.add_check(connection, due.id, at=clock(), outcome=outcome, bank_status=None, detail={})
        for purpose in (Purpose.CLAIM, Purpose.RECHECK, Purpose.CLAIM):
            request_budget.take(
                connection, source.id, now=clock(), limit=300, window=timedelta(hours=1), purpose=purpose
            )
    found = health.overview(parts)
    assert found.is_whole
    assert len(found.minutes) == 60
    counted = {minute.at: dict(minute.numbers) for minute in found.minutes if minute.numbers}
    minute = clock().replace(second=0, microsecond=0)
    assert counted == {minute - timedelta(minutes=10): {Verdict.ACCEPTED: 1}, minute: {Verdict.REJECTED: 2}}
    # The second entry says that a person has to look at what was refused.
    assert (found.unresolved, found.position, found.is_worker_there) == ((1, False), 2, False)
    (one,) = found.sources
    assert (one.last_answer_at, one.secret and one.secret.version, one.gives_up) == (clock(), 1, None)
    assert (one.budget.requests_left, one.spent_on) == (297, {"claim": 2, "recheck": 1})
    assert one.last_check is not None
    assert (one.last_check.outcome, one.last_check.subject) == ("not_found", "FT1")


def test_a_bank_that_is_refused_gives_up_at_a_time_or_after_a_number(parts: Runtime, clock: StandingClock) -> None:
    add_source(parts)
    timed, counting = add_encrypting_source(parts), add(parts, "connectpay", "connectpay")
    clock.forward(1)
    assert [each.gives_up for each in health.every(parts)] == [None, None, None]
    first_at = clock()
    refused(parts, timed, 1)
    clock.forward(3600)
    refused(parts, timed, 1)
    refused(parts, counting, 3)
    at = f"at {first_at + timedelta(hours=93, minutes=42):%Y-%m-%d %H:%M} UTC"
    assert [each.gives_up for each in health.every(parts)] == [at, None, "after 97 more refusals"]
    clock.forward(94 * 3600)
    assert health.of_source(parts, "bc").gives_up is None


def test_no_callback_is_the_last_one_that_a_clock_ahead_has_dated(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    came_at = clock()
    record(parts, delivery(parts, source), event(parts, "FT1"))
    clock.forward(24 * 3600)
    record(parts, delivery(parts, source), event(parts, "FT2"))
    clock.forward(60 - 24 * 3600)
    shown = [each.last_event_at for each in (*health.every(parts), *health.overview(parts).sources)]
    assert [*shown, source_acts.details(parts, "bcb").latest_event_at] == [came_at] * 3
