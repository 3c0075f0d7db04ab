"""What is watched about whole sources and opened once: silence, the give-up clock, subscriptions, what does not end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import others
import pytest
from admin.looking import WHO
from conftest import StandingClock, add_encrypting_source, add_source, make_token
from flask.testing import FlaskClient
from others import TOKEN, outgoing
from reconcile.conftest import book, tell_deposit
from reconcile.ledger import Ledger
from sqlalchemy import delete
from store.made import delivery, event, record
from store.test_rejected_deliveries import reject_within
from web.connectpay import send
from web.reading import got

from receiver.admin import exceptions, subscriptions
from receiver.admin import sources as source_acts
from receiver.admin.subscriptions import Request
from receiver.model import ExceptionKind
from receiver.projection.projector import catch_up
from receiver.reconcile.give_up import give_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.bcb import Config, Simulator
from receiver.store import bank_lines, consumers, feed, outages, payments, recovered_events, sources
from receiver.store import exceptions as stored
from receiver.store.exceptions import ExceptionRecord, Wanted
from receiver.store.outages import Outage
from receiver.store.sources import SourceRecord
from receiver.store.tables import Delivery, FeedEntry, table_of
from receiver.worker.loop import Worker
from receiver.worker.watches import GiveUpClock, IdleConsumers, QuietSources, StalledPayments, Subscriptions

HOUR = 3600
DAY = 24 * HOUR


def stands(parts: Runtime, kind: ExceptionKind) -> list[tuple[str, str | None]]:
    """The state of each of a kind, and who has handled it."""
    with parts.database.read() as connection:
        found = stored.listing(connection, Wanted(kinds=[kind]), below=None, limit=50)
    return [(str(each.state), each.handled_by) for each in found]


def the_one(parts: Runtime, kind: ExceptionKind) -> ExceptionRecord:
    with parts.database.read() as connection:
        (found,) = stored.listing(connection, Wanted(kinds=[kind]), below=None, limit=50)
    return found


def entries(parts: Runtime) -> list[tuple[str, dict[str, Any]]]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        found = feed.read(connection, after=0, limit=100).entries
    return [(entry.type, dict(entry.data)) for entry in found if entry.type.startswith("exception.")]


def test_silence_is_opened_resolved_by_the_next_callback_and_left_where_a_person_has_resolved_it(
    parts: Runtime, clock: StandingClock, client: FlaskClient
) -> None:
    others.add(parts, "connectpay", TOKEN, quiet_hours=24)
    first, second = QuietSources(parts), QuietSources(parts)

    def look() -> list[tuple[str, str | None]]:
        first.look()
        second.look()
        return stands(parts, ExceptionKind.SILENCE)

    clock.forward(25 * HOUR)
    assert look() == [("open", None)]
    found = the_one(parts, ExceptionKind.SILENCE)
    assert (found.about, found.subject, "no callback for source connectpay" in (found.detail or "")) == (
        "source",
        "connectpay",
        True,
    )
    assert exceptions.severity(found, clock()) == "medium"
    clock.forward(60)
    exceptions.resolve(parts, WHO, found.id, "it is a holiday")
    assert look() == [("resolved", WHO)]
    clock.forward(HOUR)
    assert look() == [("resolved", WHO)]
    assert send(client, outgoing()).status_code == 200
    clock.forward(HOUR)
    assert look() == [("resolved", WHO)]
    clock.forward(25 * HOUR)
    assert look() == [("open", None)]
    assert the_one(parts, ExceptionKind.SILENCE).id == found.id
    assert send(client, outgoing(order="PO-2")).status_code == 200
    clock.forward(HOUR)
    assert look() == [("resolved", None)]
    assert [(type_, data.get("resolved_by")) for type_, data in entries(parts)] == [
        ("exception.opened", None),
        ("exception.resolved", WHO),
        ("exception.opened", None),
        ("exception.resolved", "itself"),
    ]


def test_a_consumer_that_stopped_is_opened_once_until_it_goes_on(parts: Runtime, clock: StandingClock) -> None:
    read, unseen, unread, later = (add_source(parts, name) for name in ("read", "unseen", "unread", "later"))
    make_token(parts, name="app", sources=(read.name, unread.name, later.name))
    record(parts, delivery(parts, read), event(parts, "FT1"))
    entries(parts)
    with parts.database.write() as connection:
        for name in ("ledger", "idle but done"):
            consumers.create(connection, name, clock(), "app")
            consumers.seek(connection, name, feed.head(connection), clock())
    for number, source in enumerate((unseen, unread, later)):
        record(parts, delivery(parts, source), event(parts, f"FT-{number}"))
    entries(parts)
    with parts.database.write() as connection:
        consumers.seek(connection, "idle but done", feed.head(connection), clock())
    watch = IdleConsumers(parts)
    clock.forward(29 * DAY)
    watch.look()
    assert stands(parts, ExceptionKind.CONSUMER_IDLE) == []
    clock.forward(2 * DAY)
    watch.look()
    found = the_one(parts, ExceptionKind.CONSUMER_IDLE)
    assert (found.source, found.about, found.subject) == ("unread", "consumer", "ledger")
    assert "it did nothing for 30 days" in (found.detail or "")
    assert exceptions.severity(found, clock()) == "medium"
    # What it has not read is gone, and it is as idle as before.
    with parts.database.write() as connection:
        connection.execute(delete(table_of(FeedEntry)))
    clock.forward(60)
    watch.look()
    assert stands(parts, ExceptionKind.CONSUMER_IDLE) == [("open", None)]
    with parts.database.write() as connection:
        consumers.note_read(connection, "ledger", clock())
    clock.forward(60)
    watch.look()
    assert stands(parts, ExceptionKind.CONSUMER_IDLE) == [("resolved", None)]


def test_an_idle_consumer_that_is_removed_is_no_exception_any_more(
    parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1"))
    entries(parts)
    with parts.database.write() as connection:
        consumers.create(connection, "ledger", clock())
    watch = IdleConsumers(parts)
    clock.forward(31 * DAY)
    watch.look()
    assert stands(parts, ExceptionKind.CONSUMER_IDLE) == [("open", None)]
    with parts.database.write() as connection:
        assert consumers.remove(connection, "ledger")
    clock.forward(60)
    watch.look()
    assert stands(parts, ExceptionKind.CONSUMER_IDLE) == [("resolved", None)]


def refuse(parts: Runtime, source: SourceRecord, number: int = 1) -> None:
    with parts.database.write() as connection:
        for _ in range(number):
            reject_within(connection, delivery(parts, source), likely=True, most=1000)


def test_a_person_is_told_a_day_before_a_bank_gives_up_by_time(parts: Runtime, clock: StandingClock) -> None:
    source = add_encrypting_source(parts)
    watch = GiveUpClock(parts)
    clock.forward(1)
    refuse(parts, source, 3)
    first_at = clock()
    clock.forward(69 * HOUR + 2400)
    watch.look()
    assert stands(parts, ExceptionKind.GIVING_UP) == []
    clock.forward(HOUR)
    watch.look()
    found = the_one(parts, ExceptionKind.GIVING_UP)
    ends = first_at + timedelta(hours=93, minutes=42)
    since = f"3 callbacks were not taken since {first_at:%Y-%m-%d %H:%M} UTC"
    assert found.detail == f"the bank stops sending at {ends:%Y-%m-%d %H:%M} UTC: {since}"
    assert exceptions.severity(found, clock()) == "high"
    clock.forward(30 * HOUR)
    watch.look()
    # It is over, and nobody knows how it went: no callback has come since.
    assert stands(parts, ExceptionKind.GIVING_UP) == [("open", None)]
    record(parts, delivery(parts, source), event(parts, "FT1"))
    clock.forward(60)
    watch.look()
    assert stands(parts, ExceptionKind.GIVING_UP) == [("resolved", None)]


def test_what_was_verified_once_more_and_accepted_stops_the_clock(parts: Runtime, clock: StandingClock) -> None:
    source = add_encrypting_source(parts)
    watch = GiveUpClock(parts)
    clock.forward(1)
    refuse(parts, source)
    clock.forward(72 * HOUR)
    watch.look()
    assert stands(parts, ExceptionKind.GIVING_UP) == [("open", None)]
    with parts.database.write() as connection:
        connection.execute(delete(table_of(Delivery)))
    clock.forward(60)
    watch.look()
    assert stands(parts, ExceptionKind.GIVING_UP) == [("resolved", None)]


def test_a_person_is_told_when_twenty_failures_are_left_where_the_bank_counts_them(
    parts: Runtime, clock: StandingClock, client: FlaskClient
) -> None:
    source = others.add(parts, "connectpay", TOKEN)
    watch = GiveUpClock(parts)
    clock.forward(1)

    def look() -> list[tuple[str, str | None]]:
        clock.forward(60)
        watch.look()
        return stands(parts, ExceptionKind.GIVING_UP)

    refuse(parts, source, 79)
    assert look() == []
    refuse(parts, source)
    assert look() == [("open", None)]
    assert "after 20 more refusals" in (the_one(parts, ExceptionKind.GIVING_UP).detail or "")
    assert send(client, outgoing()).status_code == 200
    assert look() == [("resolved", None)]
    refuse(parts, source, 5)
    # A callback that is only repeated ends the row as well.
    clock.forward(1)
    assert send(client, outgoing()).status_code == 200
    clock.forward(1)
    refuse(parts, source, 2)
    with parts.database.read() as connection:
        found = give_up(connection, source, clock())
    assert found is not None
    assert (found.failures_left, found.number) == (98, 2)


def test_what_could_not_be_taken_counts_until_it_must_have_come_once_more(parts: Runtime, clock: StandingClock) -> None:
    timed, counting = add_encrypting_source(parts), others.add(parts, "connectpay", TOKEN)
    began = clock()
    clock.forward(HOUR)
    with parts.database.write() as connection:
        outages.note(connection, {each.id: Outage(began, clock(), 7) for each in (timed, counting)}, clock())
        # Another process has seen more of the same outage.
        outages.note(connection, {timed.id: Outage(began + timedelta(minutes=5), clock(), 2)}, clock())

    def clocks() -> tuple[Any, Any]:
        with parts.database.read() as connection:
            return give_up(connection, timed, clock()), give_up(connection, counting, clock())

    by_time, by_number = clocks()
    assert (by_time.at, by_time.number) == (began + timedelta(hours=93, minutes=42), 9)
    assert by_number.failures_left == 93
    clock.forward(60)
    record(parts, delivery(parts, timed), event(parts, "FT1"))
    record(parts, delivery(parts, counting), event(parts, "FT2"))
    by_time, by_number = clocks()
    assert (by_time.number, by_number) == (9, None)
    clock.forward(2 * HOUR)
    assert clocks() == (None, None)


def test_what_a_sweep_has_found_makes_no_outage_good(parts: Runtime, clock: StandingClock) -> None:
    timed, counting = add_encrypting_source(parts), others.add(parts, "connectpay", TOKEN)
    began = clock()
    clock.forward(HOUR)
    with parts.database.write() as connection:
        outages.note(connection, {each.id: Outage(began, clock(), 7) for each in (timed, counting)}, clock())
    clock.forward(3 * HOUR)
    for each in (timed, counting):
        Ledger(parts, each).line("FT1")
        with parts.database.write() as connection:
            recovered_events.make(connection, bank_lines.unjoined(connection, each.id, behind=0, limit=9), clock())
    with parts.database.read() as connection:
        clocks = [give_up(connection, each, clock()) for each in (timed, counting)]
    assert [found and found.number for found in clocks] == [7, 7]


def test_what_a_clock_that_was_ahead_has_dated_spoils_no_give_up_clock(
    parts: Runtime, clock: StandingClock, client: FlaskClient
) -> None:
    timed, counting = add_encrypting_source(parts), others.add(parts, "connectpay", TOKEN)
    both, year = (timed, counting), 365 * DAY

    def missed(number: int, *whose: SourceRecord) -> None:
        with parts.database.write() as connection:
            outages.note(connection, {each.id: Outage(clock(), clock(), number) for each in whose}, clock())

    def clocks() -> list[tuple[int, datetime] | None]:
        with parts.database.read() as connection:
            found = [give_up(connection, each, clock()) for each in both]
        return [None if each is None else (each.number, each.first_at) for each in found]

    clock.forward(HOUR)
    before = clock()
    refuse(parts, counting, 3)
    clock.forward(year)
    missed(5, *both)
    for each in both:
        refuse(parts, each, 90)
        record(parts, delivery(parts, each), event(parts, f"FT{each.id}"))
    # One that comes once more brings no new event.
    assert [send(client, outgoing()).status_code for _ in range(2)] == [200, 200]
    clock.forward(60 - year)
    assert clocks() == [None, (3, before)]
    began = clock()
    missed(2, *both)
    clock.forward(60)
    missed(1, timed)
    assert clocks() == [(1, clock()), (5, before)]
    record(parts, delivery(parts, counting), event(parts, "FT9"))
    clock.forward(DAY)
    assert clocks() == [(1, began + timedelta(seconds=60)), None]


def test_silence_is_seen_though_the_last_callback_came_by_a_clock_that_was_ahead(
    parts: Runtime, clock: StandingClock, client: FlaskClient
) -> None:
    others.add(parts, "connectpay", TOKEN, quiet_hours=24)
    year = 365 * DAY
    clock.forward(year)
    assert [send(client, outgoing()).status_code for _ in range(2)] == [200, 200]
    clock.forward(25 * HOUR - year)
    QuietSources(parts).look()
    assert stands(parts, ExceptionKind.SILENCE) == [("open", None)]


def test_nothing_is_resolved_late_for_what_was_refused_by_a_clock_that_was_ahead(
    parts: Runtime, clock: StandingClock
) -> None:
    source, watch, year = add_encrypting_source(parts), GiveUpClock(parts), 365 * DAY
    clock.forward(year)
    refuse(parts, source)
    clock.forward(-year)
    refuse(parts, source)
    clock.forward(75 * HOUR)
    watch.look()
    assert stands(parts, ExceptionKind.GIVING_UP) == [("open", None)]
    clock.forward(30 * HOUR)
    record(parts, delivery(parts, source), event(parts, "FT1"))
    clock.forward(60)
    watch.look()
    assert stands(parts, ExceptionKind.GIVING_UP) == [("resolved", None)]


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0), clock=clock) as running:
        yield running


def test_a_payment_that_does_not_come_to_an_end_is_stalled_until_it_does(
    parts: Runtime, clock: StandingClock, simulator: Simulator, client: FlaskClient
) -> None:
    add_source(parts, base_url=simulator.url)
    token = make_token(parts)
    book(simulator, clock, ("Pending", 3 * DAY), ("Completed", 0), payment_id="FT-slow")
    book(simulator, clock, ("Completed", 0), payment_id="FT-quick")
    tell_deposit(parts, "FT-slow")
    tell_deposit(parts, "FT-quick")
    worker = Worker(parts)
    worker.run_once()
    clock.forward(2 * DAY - 60)
    worker.run_once()
    assert stands(parts, ExceptionKind.STALLED) == []
    clock.forward(61)
    worker.run_once()
    found = the_one(parts, ExceptionKind.STALLED)
    assert (found.about, found.subject, found.amount) == ("payment", "FT-slow", "1000.00")
    assert found.detail == ("it is known since 2026-03-04 12:00 UTC and has not come to an end: the bank says Pending")
    listed = got(client, "/api/v1/payments", token, stalled="true")["data"]
    assert [(each["payment_id"], each["stalled_at"] is not None) for each in listed] == [("FT-slow", True)]
    others_ = got(client, "/api/v1/payments", token, stalled="false", status=["completed", "pending"])["data"]
    assert [each["payment_id"] for each in others_] == ["FT-quick"]
    clock.forward(2 * DAY)
    worker.run_once()
    assert stands(parts, ExceptionKind.STALLED) == [("resolved", None)]
    assert got(client, "/api/v1/payments", token, stalled="true")["data"] == []
    kinds = [(type_, data["kind"], data["about_id"]) for type_, data in entries(parts)]
    assert kinds == [("exception.opened", "stalled", "FT-slow"), ("exception.resolved", "stalled", "FT-slow")]


def test_several_workers_open_what_stalls_once_each_and_some_at_a_time(
    parts: Runtime, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = add_source(parts, base_url="http://127.0.0.1:1")
    record(parts, delivery(parts, source), *(event(parts, f"FT{number}") for number in range(5)))
    catch_up(parts.database)
    monkeypatch.setattr("receiver.worker.watches.AT_ONCE", 2)
    clock.forward(2 * DAY)
    one, other = StalledPayments(parts), StalledPayments(parts)
    for _ in range(2):
        one.look()
        other.look()
    assert len(stands(parts, ExceptionKind.STALLED)) == 5
    assert len(entries(parts)) == 5
    with parts.database.read() as connection:
        assert len(payments.listing(connection, "payment", stalled=True, names=["bcb"], limit=9)) == 5
        assert payments.listing(connection, "payment", stalled=True, statuses=["completed"], limit=9) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_stalls_where_there_is_no_bank_to_ask(parts: Runtime, clock: StandingClock) -> None:
    source = add_source(parts)
    record(parts, delivery(parts, source), event(parts, "FT1"))
    catch_up(parts.database)
    clock.forward(30 * DAY)
    StalledPayments(parts).look()
    assert stands(parts, ExceptionKind.STALLED) == []


@pytest.fixture
def reached(settings: Settings) -> Settings:
    """Where banks reach this receiver is set."""
    settings.public_url = "https://callbacks.example.com"
    return settings


@pytest.mark.usefixtures("reached")
def test_a_subscription_that_is_not_active_is_found_within_the_hour_and_resolved_once_it_is(
    parts: Runtime, clock: StandingClock, simulator: Simulator
) -> None:
    add_source(parts, base_url=simulator.url)
    kind = ExceptionKind.SUBSCRIPTION_INACTIVE

    def asked() -> int:
        listed = [each for each in simulator.requests.entries() if each.path == "/v1/notifications/subscriptions"]
        return sum(1 for each in listed if each.method == "GET")

    workers = Subscriptions(parts), Subscriptions(parts)

    def look() -> list[tuple[str, str | None]]:
        for worker in workers:
            worker.look()
        return stands(parts, kind)

    assert look() == [("open", None)]
    assert "none that is active has the address https://callbacks.example.com/webhooks/bcb" in (
        the_one(parts, kind).detail or ""
    )
    assert asked() == 1
    clock.forward(HOUR - 60)
    look()
    assert asked() == 1
    (made,) = subscriptions.create(parts, WHO, "bcb", Request())
    clock.forward(60)
    assert look() == [("resolved", None)]
    subscriptions.deactivate(parts, WHO, "bcb", made.id)
    clock.forward(HOUR)
    assert look() == [("open", None)]
    # A bank that can't be asked leaves it as it stands.
    simulator.stop()
    clock.forward(HOUR)
    assert look() == [("open", None)]


def _take_credentials_away(parts: Runtime, source: SourceRecord) -> Runtime:
    with parts.database.write() as connection:
        sources.change(connection, source.id, credentials=None)
    return parts


def _disable(parts: Runtime, source: SourceRecord) -> Runtime:
    source_acts.disable(parts, WHO, source.name)
    return parts


def _unset_address(parts: Runtime, _source: SourceRecord) -> Runtime:
    return replace(parts, settings=parts.settings.model_copy(update={"public_url": None}))


@pytest.mark.usefixtures("reached")
@pytest.mark.parametrize("end", [_disable, _take_credentials_away, _unset_address])
def test_a_subscription_of_a_source_that_is_asked_no_more_needs_nobody(
    parts: Runtime, clock: StandingClock, simulator: Simulator, end: Callable[[Runtime, SourceRecord], Runtime]
) -> None:
    source = add_source(parts, base_url=simulator.url)
    Subscriptions(parts).look()
    assert stands(parts, ExceptionKind.SUBSCRIPTION_INACTIVE) == [("open", None)]
    clock.forward(60)
    Subscriptions(end(parts, source)).look()
    assert stands(parts, ExceptionKind.SUBSCRIPTION_INACTIVE) == [("resolved", None)]
    clock.forward(HOUR)
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=True)
        sources.set_credentials(connection, parts.encryption, source, {"client_id": "a", "client_secret": "b"})
    simulator.bank.replace_client(replace(simulator.bank.client, client_id="a", client_secret="b"))
    Subscriptions(parts).look()
    assert stands(parts, ExceptionKind.SUBSCRIPTION_INACTIVE) == [("open", None)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bank_is_asked_for_no_subscription_where_our_own_address_is_not_set(
    parts: Runtime, simulator: Simulator
) -> None:
    add_source(parts, base_url=simulator.url)
    Subscriptions(parts).look()
    assert simulator.requests.entries() == []
