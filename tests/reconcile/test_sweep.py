"""A bank's own lists are read whole, what no callback came for is recovered once, and a later callback joins it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from bank import BankSigner, deposit
from conftest import KEY, StandingClock, add_source
from listing import ACCOUNT, Entry, ListingBank, listing_bank, teach
from reconcile.conftest import tell
from sqlalchemy import delete, text, update

from receiver import banks
from receiver.admin import event_story, search
from receiver.admin import exceptions as people
from receiver.admin import sweeps as spans
from receiver.projection.projector import catch_up
from receiver.reconcile.recovery import Recoverer
from receiver.reconcile.sweep import Progress, Sweeper
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import events, exceptions, feed, payments, sweeps
from receiver.store.exceptions import ExceptionRecord
from receiver.store.feed import Entry as FeedEntry
from receiver.store.search import Wanted
from receiver.store.sources import SourceRecord
from receiver.store.sweeps import Claimed
from receiver.store.tables import Event, Sweep, table_of
from receiver.store.tables import FeedEntry as FeedRow
from receiver.web import create_app
from receiver.worker.loop import Worker
from receiver.worker.sweeps import Sweeps


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListingBank]:
    teach(monkeypatch)
    with listing_bank() as found:
        yield found


@pytest.fixture
def source(parts: Runtime, bank: ListingBank, clock: StandingClock) -> SourceRecord:
    """The source `bcb`, which has been here for a day."""
    added = add_source(parts, base_url=bank.server.url)
    clock.forward(86400)
    return added


@pytest.fixture
def worker(parts: Runtime, source: SourceRecord) -> Worker:  # noqa: ARG001 - there must be something to work on
    return Worker(parts)


def sweep(worker: Worker, clock: StandingClock) -> None:
    """Have all lists read that are due once a quarter of an hour has passed."""
    clock.forward(901)
    worker.run_once()


def ago(clock: StandingClock, seconds: float = 3600) -> datetime:
    return clock() - timedelta(seconds=seconds)


def fed(parts: Runtime) -> list[FeedEntry]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return [
            entry
            for entry in feed.read(connection, after=0, limit=1000).entries
            if entry.type != "payment.status_changed" and not entry.type.startswith("exception.")
        ]


def rows(parts: Runtime, query: str) -> list[Any]:
    with parts.database.read() as connection:
        return list(connection.execute(text(query)).all())


def needs(parts: Runtime) -> list[ExceptionRecord]:
    return people.listing(parts, exceptions.Wanted(kinds=["recovered"]), limit=10)


def test_what_no_callback_came_for_is_recovered_once_and_never_shown_as_signed(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    tell(parts, deposit(transactionId="FT1"))
    bank.add(Entry("FT1", ago(clock)), Entry("FT2", ago(clock), amount="20.50"))
    worker.run_once()
    sweep(worker, clock)
    first, second = fed(parts)
    assert (first.type, second.type, second.subject) == ("bcb.deposit", "payment.recovered", "FT2")
    assert second.data == {
        "payment_id": "FT2",
        "type": "bcb.deposit",
        "amount": "20.50",
        "currency": "USD",
        "account": ACCOUNT,
        "direction": "incoming",
        "bank_time": "2026-03-05T11:00:00Z",
        "proof": "none",
        "found_by": "sweep",
    }
    (found,) = search.find_events(parts, Wanted(question="FT2"), place=None, limit=10).events
    assert (found.id, found.proof, found.found_by, found.delivery_id) == (second.event_id, "none", "sweep", None)
    with parts.database.read() as connection:
        payment = payments.find(connection, "bcb", "payment", "FT2")
    assert payment is not None
    assert (payment.status, payment.agreement) == ("completed", "confirmed")
    (open_,) = needs(parts)
    assert (open_.state, open_.event_id, open_.amount) == ("open", found.id, "20.50")
    assert {step.what for step in event_story.story(parts, found.id).steps} == {"found", "fed", "checked"}


def test_a_callback_that_comes_later_joins_the_event(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    bank.add(Entry("FT1", ago(clock)))
    worker.run_once()
    (before,) = fed(parts)
    assert [event.proof for event in found_by(parts, proof=["none"])] == ["none"]
    clock.forward(2 * 3600)
    for _ in range(2):
        assert tell(parts, deposit(transactionId="FT1")) == {"status": "duplicate", "events": [before.event_id]}
    assert fed(parts) == [before]
    with parts.database.read() as connection:
        event = events.find(connection, before.event_id or "")
    assert event is not None
    assert (event.proof, event.proof_key, event.found_by, event.claimed_status) == (
        "signature",
        "secret:1",
        "sweep",
        "completed",
    )
    assert found_by(parts, proof=["none"]) == []
    assert found_by(parts, proof=["signature"]) == [event]
    assert [each.state for each in needs(parts)] == ["resolved"]
    steps = [step.words for step in event_story.story(parts, event.id).steps if step.what == "joined"]
    assert steps == ["Its callback came after all, 2 h after the sweep."]
    # What the callback claims is held against what the bank says, and its body is there.
    with parts.database.read() as connection:
        payment = payments.find(connection, "bcb", "payment", "FT1")
        assert payment is not None
        assert (payment.claimed_status, payment.due_at) == ("completed", clock())
        assert events.raw(connection, event.id) is not None
    sweep(worker, clock)
    assert fed(parts) == [before]
    assert rows(parts, "SELECT count(*) FROM recoveries") == [(0,)]


def found_by(parts: Runtime, **wanted: Any) -> list[events.EventRecord]:
    return list(search.find_events(parts, Wanted(**wanted), place=None, limit=10).events)


def test_a_late_callback_joins_once_it_is_confirmed(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    bank.add(Entry("FT1", ago(clock)))
    worker.run_once()
    (before,) = fed(parts)
    signed = BankSigner(clock).sign(deposit(transactionId="FT1"), timestamp=str(int(clock().timestamp()) - 3600))
    client = create_app(parts).test_client()
    assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 401
    worker.run_once()
    assert fed(parts) == [before]
    ((event_id, proof, late),) = rows(parts, "SELECT id, proof, late FROM events")
    assert (event_id, proof, bool(late)) == (before.event_id, "signature", True)
    answer = client.post(signed.path, data=signed.body, headers=signed.headers)
    assert (answer.status_code, answer.json) == (200, {"status": "duplicate", "events": [before.event_id]})
    assert [each.state for each in needs(parts)] == ["resolved"]


def test_lines_and_events_are_joined_by_more_than_their_ids(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    """Both sides of a transfer and its fees have one id; a callback of another amount is the same payment."""
    other = "2046406142"
    told: dict[str, dict[str, Any]] = {
        "in": {"transactionId": "FT1", "type": "Credit"},
        "out": {"transactionId": "FT1", "type": "Debit", "accountNumber": other},
        "amount": {"transactionId": "FT2", "value": {"amount": "999.00", "currency": "USD"}},
    }
    ids = {name: tell(parts, deposit(**said))["events"][0] for name, said in told.items()}
    fee = Entry("FT1", ago(clock), amount="15.00", direction="outgoing")
    bank.add(Entry("FT1", ago(clock)), fee, Entry("FT2", ago(clock)))
    bank.add(Entry("FT1", ago(clock), direction="outgoing"), fee, name=other)
    worker.run_once()
    sweep(worker, clock)
    joined = rows(parts, "SELECT account, payment_id, amount, event_id FROM bank_lines ORDER BY account, amount, id")
    by_line = {(account, payment, amount): event_id for account, payment, amount, event_id in joined}
    assert by_line[ACCOUNT, "FT1", "1000.00"] == ids["in"]
    assert by_line[other, "FT1", "1000.00"] == ids["out"]
    assert by_line[ACCOUNT, "FT2", "1000.00"] == ids["amount"]
    recovered = [entry for entry in fed(parts) if entry.type == "payment.recovered"]
    assert sorted((entry.data["account"], entry.data["amount"]) for entry in recovered) == [
        (ACCOUNT, "15.00"),
        (other, "15.00"),
    ]
    # A line that tells the very same takes the place of one that was the nearest until then.
    bank.add(Entry("FT2", ago(clock), amount="999.00"))
    sweep(worker, clock)
    having = dict(rows(parts, "SELECT event_id, amount FROM bank_lines WHERE event_id IS NOT NULL"))
    assert having[ids["amount"]] == "999.00"
    # The fee's own callback is the fee's, and no other's.
    answer = tell(parts, deposit(transactionId="FT1", type="Debit", value={"amount": "15.00", "currency": "USD"}))
    assert answer == {"status": "duplicate", "events": [by_line[ACCOUNT, "FT1", "15.00"]]}
    assert (
        tell(parts, deposit(transactionId="FT1", value={"amount": "7.00", "currency": "USD"}))["status"] == "accepted"
    )


def test_what_is_too_young_is_not_recovered(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    bank.add(Entry("FT1", ago(clock, 60)), Entry("FT2", ago(clock, 61)))
    worker.run_once()
    assert fed(parts) == []
    tell(parts, deposit(transactionId="FT1"))
    sweep(worker, clock)
    assert [entry.type for entry in fed(parts)] == ["bcb.deposit", "payment.recovered"]


def test_equal_lines_are_as_many_as_the_bank_has_whichever_windows_they_are_read_in(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    twins = [Entry("FT1", ago(clock, 7200 + number)) for number in (1, 1, 9000)]
    bank.add(*twins)
    for _ in range(3):
        sweep(worker, clock)
        bank.add(Entry("FT1", ago(clock, 1)))
    assert rows(parts, "SELECT count(*), count(DISTINCT identity) FROM bank_lines") == [(5, 5)]
    assert len(fed(parts)) == 5


def test_two_lists_that_tell_of_the_same_payment_make_one_event(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    """One names it by its id, the other by its reference alone, and knows no more than the day of it."""
    tell(parts, deposit(transactionId="FT1"))
    bank.lists["rejected"] = []
    day = clock().replace(hour=0)
    for number in ("1", "2"):
        line = Entry(f"FT{number}", ago(clock), reference=f"010F{number}")
        bank.add(line)
        bank.lists["rejected"].append(replace(line, id=None, at=day))
    with parts.database.write() as connection:
        # The callback tells the reference too.
        connection.execute(
            update(table_of(Event)).values(
                facts={"reference": "010F1", "account_number": ACCOUNT, "direction": "Credit"}
            )
        )
    worker.run_once()
    assert [entry.subject for entry in fed(parts)] == ["FT1", "FT2"]
    sweep(worker, clock)
    assert [entry.subject for entry in fed(parts)] == ["FT1", "FT2"]
    joined = rows(parts, "SELECT coalesce(payment_id, reference), event_id FROM bank_lines")
    by_name = dict(tuple(row) for row in joined)
    assert by_name["FT1"] == by_name["010F1"] == fed(parts)[0].event_id
    assert by_name["FT2"] == by_name["010F2"] == fed(parts)[1].event_id


def test_pages_that_move_while_they_are_read_lose_and_double_nothing(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    bank.page_size = 3
    bank.add(*(Entry(f"FT{number}", ago(clock, 3600 + number)) for number in range(10)))

    def move(asked: int) -> None:
        """A new line at the front shifts all others; one that goes away shifts them back."""
        if asked in (1, 6):
            bank.add(Entry(f"late {asked}", ago(clock, 3000 + asked)))
        elif asked == 3:
            bank.lists[ACCOUNT].pop(0)

    bank.between = move
    worker.run_once()
    sweep(worker, clock)
    known = sorted(entry.id or "" for entry in bank.lists[ACCOUNT])
    found = sorted(entry.subject or "" for entry in fed(parts))
    assert len(set(found)) == len(found)
    assert set(known) <= set(found) <= {*known, "late 1"}


def test_equal_lines_without_a_name_are_counted_while_pages_move(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    """One of two is on no page of the first reading: a line before it has gone meanwhile, whose like is there still."""
    bank.page_size = 2
    named, other = Entry("FT1", ago(clock, 9999)), Entry("FT2", ago(clock, 4000))
    bank.lists[ACCOUNT] = [named, Entry(None, ago(clock, 3600)), Entry(None, ago(clock, 3600)), named, other]

    def move(asked: int) -> None:
        if asked == 1:
            bank.lists[ACCOUNT].pop(0)

    bank.between = move
    worker.run_once()
    found = rows(parts, "SELECT coalesce(payment_id, '-'), count(*) FROM bank_lines GROUP BY 1 ORDER BY 1")
    assert found == [("-", 2), ("FT1", 1), ("FT2", 1)]


def test_equal_lines_without_name_and_time_are_a_payment_for_each_day_of_a_span(
    parts: Runtime, bank: ListingBank, source: SourceRecord, clock: StandingClock
) -> None:
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    bank.add(*(Entry(None, noon + timedelta(days=number), is_timed=False) for number in (0, 1, 1, 2)))
    window = spans.span(parts, source.name, date(2026, 1, 5), date(2026, 1, 8))
    for _ in range(2):
        spans.run(parts, "test", source.name, window, lambda _: None)
    assert rows(parts, "SELECT count(*) FROM bank_lines WHERE at IS NULL") == [(4,)]
    clock.forward(901)
    assert Recoverer(parts).run(source).recovered == 4
    assert [entry.type for entry in fed(parts)] == ["payment.recovered"] * 4


def test_a_list_that_never_holds_still_moves_no_watermark_and_is_said(
    parts: Runtime, bank: ListingBank, worker: Worker, source: SourceRecord, clock: StandingClock
) -> None:
    bank.page_size = 5
    bank.add(*(Entry(f"FT{number}", ago(clock)) for number in range(6)))
    bank.between = lambda asked: bank.add(Entry(f"new {asked}", ago(clock)))
    worker.run_once()
    with parts.database.read() as connection:
        assert sweeps.covered(connection, source.id) is None
        error = sweeps.of_source(connection, source.id)[1].error
    assert error == "the list moved each of the 6 times that it was read"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", ["the bank's", "ours", "a refusal"])
def test_no_log_names_an_account_whole(
    bank: ListingBank,
    worker: Worker,
    clock: StandingClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    """A list's name may be an account's number."""
    bank.add(Entry("FT1", ago(clock)))
    if fault == "ours":
        monkeypatch.setattr(banks.named("bcb"), "list_page", lambda *_: 1 / 0)
    elif fault == "a refusal":
        bank.refused = {ACCOUNT}
    else:
        bank.page_size = 0
    worker.run_once()
    assert "the list '…6142' of bcb" in caplog.text
    assert ACCOUNT not in caplog.text


def test_the_watermark_is_where_the_list_was_read_whole_and_windows_overlap(
    parts: Runtime, bank: ListingBank, worker: Worker, source: SourceRecord, clock: StandingClock
) -> None:
    began = clock()
    worker.run_once()
    with parts.database.read() as connection:
        assert (sweeps.read_whole(connection, source.id).since, sweeps.covered(connection, source.id)) == (
            began - timedelta(days=1),
            began,
        )
    sweep(worker, clock)
    (_, begin, end) = bank.pages[-1]
    assert datetime.fromisoformat(begin) == began - timedelta(hours=2)
    assert datetime.fromisoformat(end) == clock()
    bank.status = 500
    sweep(worker, clock)
    with parts.database.read() as connection:
        assert sweeps.covered(connection, source.id) == began + timedelta(seconds=901)
    bank.status = 200
    bank.pages.clear()
    clock.forward(10 * 86400)
    back = clock()
    # What was being read when the bank went down comes first; all else is due a quarter of an hour later.
    for _ in range(20):
        worker.run_once()
        clock.forward(60)
    with parts.database.read() as connection:
        covered = sweeps.covered(connection, source.id)
    assert covered is not None
    assert covered >= back
    days = [end for _, begin, end in bank.pages if datetime.fromisoformat(begin) < back - timedelta(hours=2)]
    assert len(days) == 11, "ten days and some hours, in windows of a day"


def test_a_clock_that_was_hours_ahead_puts_off_nothing(
    parts: Runtime, bank: ListingBank, worker: Worker, source: SourceRecord, clock: StandingClock
) -> None:
    bank.lists["days"] = [Entry("FT1", ago(clock, 86400).replace(hour=0), account=ACCOUNT)]
    clock.forward(8 * 3600)
    worker.run_once()
    clock.forward(-8 * 3600)
    bank.pages.clear()
    bank.add(Entry("FT2", ago(clock, 901)))
    worker.run_once()
    with parts.database.read() as connection:
        assert sweeps.covered(connection, source.id) == clock()
    assert sorted(entry.subject or "" for entry in fed(parts)) == ["FT1", "FT2"]


@pytest.mark.parametrize("known_for", [1, 40])
def test_what_was_posted_while_a_clock_was_hours_ahead_is_read_once_it_is_right(
    parts: Runtime, bank: ListingBank, worker: Worker, source: SourceRecord, clock: StandingClock, known_for: int
) -> None:
    """By that clock each window lay in the future: nothing of it had happened when the bank was asked."""
    worker.run_once()
    since = clock() - timedelta(days=known_for)
    with parts.database.write() as connection:
        connection.execute(update(table_of(Sweep)).where(table_of(Sweep).c.list_name != "").values(covered_from=since))
    for number in range(12):
        clock.forward(901)
        bank.add(Entry(f"FT{number}", ago(clock, 300)))
        clock.forward(3 * 3600)
        worker.run_once()
        clock.forward(-3 * 3600)
    window = spans.span(parts, source.name, ago(clock), clock())
    for _ in range(2):
        # A span that a person has read proves nothing of what is before it.
        spans.run(parts, "test", source.name, window, lambda _: None)
    worker.run_once()
    (stored,) = rows(parts, "SELECT count(*) FROM bank_lines")
    assert stored == (12,)
    with parts.database.read() as connection:
        assert sweeps.covered(connection, source.id) == clock()
        assert sweeps.read_whole(connection, source.id).since == since


@pytest.mark.parametrize("hours", [2, 50])
def test_a_clock_that_is_hours_behind_takes_nothing_from_what_was_read_long_ago(
    parts: Runtime,
    worker: Worker,
    source: SourceRecord,
    clock: StandingClock,
    hours: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker.run_once()
    since = clock() - timedelta(days=99)
    with parts.database.write() as connection:
        connection.execute(update(table_of(Sweep)).where(table_of(Sweep).c.list_name != "").values(covered_from=since))
    for behind in (hours, -hours):
        clock.forward(901 - behind * 3600)
        worker.run_once()
        with parts.database.read() as connection:
            assert sweeps.read_whole(connection, source.id) == (since, clock())
    (told,) = [record.getMessage() for record in caplog.records if "is read once more" in record.getMessage()]
    assert "by a clock that was ahead, or this one is behind" in told


def test_a_source_that_was_added_by_a_clock_that_was_ahead_is_read(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    clock.forward(-2 * 86400)
    bank.add(Entry("FT1", ago(clock)))
    worker.run_once()
    assert rows(parts, "SELECT count(*) FROM bank_lines") == [(1,)]


def test_a_clock_that_was_years_behind_has_nothing_read_and_takes_no_watermark_back(
    parts: Runtime, bank: ListingBank, worker: Worker, source: SourceRecord, clock: StandingClock
) -> None:
    worker.run_once()
    right = clock()
    with parts.database.read() as connection:
        before = sweeps.read_whole(connection, source.id)
    clock.now = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    bank.pages.clear()
    worker.run_once()
    assert bank.pages == []
    with parts.database.read() as connection:
        assert sweeps.read_whole(connection, source.id) == before
        (found,) = sweeps.in_use(connection, source.id)
    assert "nothing is read by this machine's clock, which says 1970-01-01: bcb was added" in str(found.error)
    assert found.last_read_at == right
    clock.now = right
    sweep(worker, clock)
    with parts.database.read() as connection:
        assert sweeps.read_whole(connection, source.id) == before._replace(until=clock())


def test_a_permission_that_is_missing_is_said_in_words(
    parts: Runtime, bank: ListingBank, worker: Worker, source: SourceRecord
) -> None:
    bank.status = 403
    worker.run_once()
    with parts.database.read() as connection:
        (names,) = sweeps.of_source(connection, source.id)
    assert names.error is not None
    assert names.error.startswith("permission missing: ")


def test_a_sweep_leaves_a_fifth_of_the_budget_and_goes_on_when_it_is_renewed(
    parts: Runtime, bank: ListingBank, clock: StandingClock
) -> None:
    source = add_source(parts, base_url=bank.server.url, requests_per_window=20)
    clock.forward(86400)
    for number in range(30):
        bank.add(Entry(f"FT{number}", ago(clock)), name=f"list-{number:02}")
    del bank.lists[ACCOUNT]
    sweeper = Sweeps(parts)
    hours = []
    for _ in range(200):
        while sweeper.step():
            pass
        hours.append(clock())
        used = rows(parts, "SELECT used FROM request_budgets")[0][0]
        assert used <= 16
        with parts.database.read() as connection:
            done = sweeps.covered(connection, source.id)
        if done is not None:
            break
        clock.forward(300)
    window = sweeps_window(hours[0])
    assert hours[-1] - hours[0] >= timedelta(hours=6), "thirty lists, four in each hour"
    with parts.database.read() as connection:
        assert sweeps.read_whole(connection, source.id).holds(window.begin, window.end)
        assert sweeps.incomplete_until(connection, source.id, window) is None
        later = sweeps_window(clock() + timedelta(hours=1))
        until = sweeps.incomplete_until(connection, source.id, later)
    assert until is not None
    assert later.end < until <= clock() + timedelta(hours=8)
    assert len({name for name, _, _ in bank.pages}) == 30


def test_a_fault_in_reading_the_list_of_one_source_stops_no_other(
    parts: Runtime, bank: ListingBank, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (add_source(parts, name, base_url=bank.server.url) for name in ("a", "b"))
    clock.forward(86400)
    read_due = Sweeper.read_due

    def fail(sweeper: Sweeper, claimed: Claimed) -> Iterator[Progress]:
        if sweeper._source.id == first.id:
            raise RuntimeError("a fault of ours")
        yield from read_due(sweeper, claimed)

    monkeypatch.setattr(Sweeper, "read_due", fail)
    sweeper = Sweeps(parts)
    while sweeper.step():
        pass
    with parts.database.read() as connection:
        assert sweeps.covered(connection, first.id) is None
        assert sweeps.covered(connection, second.id) is not None


def test_trouble_with_what_one_source_has_read_stops_no_sweep(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.add(Entry("FT1", ago(clock)))

    def fail(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Recoverer, "run", fail)
    worker.run_once()
    asked = len(bank.pages)
    sweep(worker, clock)
    assert len(bank.pages) > asked >= 1
    monkeypatch.undo()
    teach(monkeypatch)
    sweep(worker, clock)
    assert [entry.subject for entry in fed(parts)] == ["FT1"]


def sweeps_window(end: datetime) -> Any:
    from receiver.banks.business_days import Window

    return Window(end - timedelta(hours=1), end)


def test_what_sweeps_alone_recover_does_not_end_the_silence(
    parts: Runtime, bank: ListingBank, clock: StandingClock
) -> None:
    add_source(parts, base_url=bank.server.url, quiet_hours=24)
    worker = Worker(parts)
    clock.forward(25 * 3600)
    bank.add(Entry("FT1", ago(clock)))
    worker.run_once()
    sweep(worker, clock)
    clock.forward(61)
    worker.run_once()
    wanted = exceptions.Wanted(states=["open"], kinds=["recovered", "silence"])
    found = {str(each.kind): each.detail or "" for each in people.listing(parts, wanted, limit=10)}
    assert set(found) == {"recovered", "silence"}
    assert "no callback for source bcb since it was added" in found["silence"]
    tell(parts, deposit(transactionId="FT1"))
    clock.forward(61)
    worker.run_once()
    assert people.listing(parts, wanted, limit=10) == []


def test_what_joins_once_the_feed_s_entry_is_removed_is_found_as_before(
    parts: Runtime, bank: ListingBank, worker: Worker, clock: StandingClock
) -> None:
    bank.add(Entry("FT1", ago(clock)))
    worker.run_once()
    sweep(worker, clock)
    (before,) = search.find_events(parts, Wanted(question="FT1"), place=None, limit=10).events
    # As retention does.
    with parts.database.write() as connection:
        assert connection.execute(delete(table_of(FeedRow)).where(table_of(FeedRow).c.event_id == before.id)).rowcount
    tell(parts, deposit(transactionId="FT1"))
    for wanted in (Wanted(question="FT1"), Wanted(question="FT1", proof=["signature"])):
        (found,) = search.find_events(parts, wanted, place=None, limit=10).events
        assert (found.id, found.proof) == (before.id, "signature")
    assert rows(parts, "SELECT count(*) FROM search_events") == [(1,)]
