"""From the bank's own list to a closed day: a sweep reads it, the day is closed, and a late callback makes another."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from bank import deposit
from conftest import KEY, StandingClock, add_source
from listing import ACCOUNT, Entry, ListingBank, listing_bank, teach
from reconcile.conftest import tell

from receiver.admin import day_verification, days, sweeps
from receiver.admin.source_changes import NewSettings, change
from receiver.banks.business_days import Window
from receiver.model import DayState, NotPossible
from receiver.reconcile import days as closing
from receiver.reconcile.recovery import Recoverer
from receiver.reconcile.sweep import Sweeper
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import days as versions
from receiver.store import sources
from receiver.store import sweeps as marks
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker

DAY = date(2026, 3, 5)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """With sweeps, unlike those of other tests."""
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListingBank]:
    teach(monkeypatch)
    with listing_bank() as found:
        yield found


def numbers(found: days.Day) -> dict[str, int]:
    return {str(category): number for category, number in found.numbers.items() if number}


def work(worker: Worker, clock: StandingClock) -> None:
    """Have the worker do what is due, and what has become due by that: days are looked for four times a minute."""
    worker.run_once()
    clock.forward(16)
    worker.run_once()


def test_what_a_sweep_has_read_is_closed_and_a_late_callback_makes_another_version(
    parts: Runtime, bank: ListingBank, clock: StandingClock
) -> None:
    add_source(parts, base_url=bank.server.url)
    clock.now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    for payment in ("FT1", "FT3", "FT4"):
        tell(parts, deposit(transactionId=payment))
    at = clock() - timedelta(hours=1)
    bank.add(Entry("FT1", at), Entry("FT2", at, amount="20.50"), Entry("FT3", at, amount="999.00"))
    worker = Worker(parts)
    worker.run_once()
    assert days.find(parts, "bcb", DAY).state == DayState.OPEN
    clock.now = datetime(2026, 3, 6, 2, tzinfo=UTC)
    work(worker, clock)
    first = days.find(parts, "bcb", DAY)
    assert (first.state, numbers(first)) == (
        DayState.CLOSED,
        {"agreed": 1, "recovered": 1, "amount_differs": 1, "ours_alone": 1},
    )
    clock.forward(3600)
    tell(parts, deposit(transactionId="FT2", value={"amount": "20.50", "currency": "USD"}))
    work(worker, clock)
    second = days.find(parts, "bcb", DAY)
    assert [each.version for each in second.versions] == [1, 2]
    assert numbers(second) == {"agreed": 2, "amount_differs": 1, "ours_alone": 1}
    assert (second.content["detection"]["late"], second.content["detection"]["never"]) == (1, 0)
    assert day_verification.verify(parts, "bcb", DAY) == 2
    # What the bank lists of it later, or what was not read before, is in the next version.
    bank.add(Entry("FT5", at, amount="7.00"))
    sweeps.run(parts, "cli:ann", "bcb", sweeps.span(parts, "bcb", DAY, DAY + timedelta(days=1)), lambda _: None)
    clock.forward(120)
    work(worker, clock)
    third = days.find(parts, "bcb", DAY)
    assert [each.version for each in third.versions] == [1, 2, 3]
    assert numbers(third) == {"agreed": 2, "recovered": 1, "amount_differs": 1, "ours_alone": 1}


def test_an_account_that_is_new_just_after_midnight_leaves_no_day_open(
    parts: Runtime, bank: ListingBank, clock: StandingClock
) -> None:
    """Yesterday is closed an hour after its end: until then a list was named of which nothing had been read."""
    add_source(parts, base_url=bank.server.url)
    worker = Worker(parts)
    clock.now = datetime(2026, 3, 6, 12, tzinfo=UTC)
    work(worker, clock)
    clock.now = datetime(2026, 3, 8, 0, 10, tzinfo=UTC)
    bank.add(Entry("FT1", clock() - timedelta(hours=1), account="2046406142"), name="2046406142")
    work(worker, clock)
    for _ in range(12):
        clock.forward(901)
        work(worker, clock)
    closed = {day: days.find(parts, "bcb", day).state for day in (date(2026, 3, 6), date(2026, 3, 7))}
    assert closed == dict.fromkeys(closed, DayState.CLOSED)
    assert numbers(days.find(parts, "bcb", date(2026, 3, 7))) == {"recovered": 1}


OTHER = "2046406142"


@pytest.fixture
def closing_account(parts: Runtime, bank: ListingBank, clock: StandingClock) -> Worker:
    """A worker that has read two accounts at noon; a quarter of an hour later one has a line more, and is not named."""
    add_source(parts, base_url=bank.server.url)
    clock.now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    bank.lists[OTHER] = []
    worker = Worker(parts)
    worker.run_once()
    clock.forward(901)
    bank.add(Entry("FT1", clock() - timedelta(minutes=10)), name=OTHER)
    bank.unnamed = {OTHER}
    return worker


def go_on(worker: Worker, clock: StandingClock, until: datetime) -> None:
    """Have the worker do what is due at a time, and once more a quarter of an hour later."""
    clock.now = max(clock.now, until)
    for _ in range(2):
        work(worker, clock)
        clock.forward(901)


def test_an_account_that_the_bank_names_no_more_is_read_to_its_end(
    parts: Runtime, bank: ListingBank, clock: StandingClock, closing_account: Worker
) -> None:
    go_on(closing_account, clock, clock())
    go_on(closing_account, clock, datetime(2026, 3, 6, 2, tzinfo=UTC))
    found = days.find(parts, "bcb", DAY)
    assert (found.state, numbers(found)) == (DayState.CLOSED, {"recovered": 1})
    # It is read for a day, should the bank have named too few; then it is left.
    go_on(closing_account, clock, datetime(2026, 3, 6, 13, tzinfo=UTC))
    bank.pages.clear()
    go_on(closing_account, clock, clock())
    assert {name for name, _, _ in bank.pages} == {ACCOUNT}
    assert marked(parts)[1] is not None
    assert sweeps.status(parts)[0].lists[2].error is None


def test_a_day_waits_for_an_account_that_the_bank_names_no_more_and_tells_nothing_of_but_not_for_good(
    parts: Runtime,
    bank: ListingBank,
    clock: StandingClock,
    closing_account: Worker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bank.refused = {OTHER}
    went = clock()
    go_on(closing_account, clock, clock())
    assert f"the list '…{OTHER[-4:]}' of bcb is not named by the bank any more" in caplog.text
    assert sweeps.faults(parts, sources_of(parts))[0].startswith(f"{OTHER}: permission missing: ")
    go_on(closing_account, clock, datetime(2026, 3, 6, 2, tzinfo=UTC))
    assert days.find(parts, "bcb", DAY).state == DayState.INCOMPLETE
    with pytest.raises(NotPossible):
        days.close(parts, "cli:ann", "bcb", DAY)
    # What is asked for on demand is read of the others.
    run(parts, two_days(parts))
    assert "left without its last reading" not in caplog.text
    go_on(closing_account, clock, went + timedelta(days=1))
    assert f"the list '…{OTHER[-4:]}' of bcb, which the bank names no more, is left" in caplog.text
    found = days.find(parts, "bcb", DAY)
    assert (found.state, numbers(found)) == (DayState.CLOSED, {})
    assert sweeps.faults(parts, sources_of(parts)) == []
    # It was a fault of the bank: what was missed is there once the account is, in another version of the day.
    bank.refused = bank.unnamed = set()
    go_on(closing_account, clock, clock())
    go_on(closing_account, clock, clock())
    assert numbers(days.find(parts, "bcb", DAY)) == {"recovered": 1}


def sources_of(parts: Runtime) -> SourceRecord:
    with parts.database.read() as connection:
        found = sources.find(connection, "bcb")
    assert found is not None
    return found


def test_an_account_that_the_bank_names_no_more_is_read_once_more_however_late_the_worker_is_back(
    parts: Runtime, bank: ListingBank, clock: StandingClock, closing_account: Worker
) -> None:
    bank.refused = {OTHER}
    went = clock()
    closing_account.run_once()
    bank.refused = set()
    bank.pages.clear()
    go_on(closing_account, clock, went + timedelta(days=9))
    go_on(closing_account, clock, clock())
    assert numbers(days.find(parts, "bcb", DAY)) == {"recovered": 1}
    # No further than a day behind when it went.
    ends = [datetime.fromisoformat(end) for name, _, end in bank.pages if name == OTHER]
    assert max(ends) == went + timedelta(days=1)


def test_a_bank_that_takes_no_request_lets_no_account_go_unread(
    parts: Runtime, bank: ListingBank, clock: StandingClock, closing_account: Worker
) -> None:
    went = clock()
    bank.refused = {OTHER}
    closing_account.run_once()
    clock.now = went + timedelta(days=1, seconds=-1)
    bank.refusal = 429
    closing_account.run_once()
    with parts.database.read() as connection:
        assert marks.number(connection, 1) == 2
    # The process that waited is no more.
    bank.refused = set()
    go_on(Worker(parts), clock, went + timedelta(days=1, hours=3))
    go_on(Worker(parts), clock, clock())
    assert numbers(days.find(parts, "bcb", DAY)) == {"recovered": 1}


def marked(parts: Runtime) -> tuple[datetime | None, datetime | None]:
    """Between which times every list was read whole."""
    with parts.database.read() as connection:
        return marks.read_whole(connection, 1).since, marks.covered(connection, 1)


def test_the_days_before_a_source_was_added_can_be_closed_once_a_span_of_them_was_read_to_its_end(
    parts: Runtime, bank: ListingBank, clock: StandingClock
) -> None:
    added = clock.now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    add_source(parts, base_url=bank.server.url)
    bank.add(Entry("FT1", added - timedelta(days=14)))
    clock.forward(3600)
    Worker(parts).run_once()
    assert marked(parts) == (added, clock())
    first = DAY - timedelta(days=14)
    span = sweeps.span(parts, "bcb", first, None)

    def forbid(asked: int) -> None:
        bank.status = 403 if asked >= 7 else 200

    # Eight windows are read, and the ninth is not: none counts, since a gap is behind them.
    bank.pages.clear()
    bank.between = forbid
    with pytest.raises(NotPossible, match="permission missing"):
        run(parts, span)
    assert len(bank.pages) > 8
    assert marked(parts) == (added, clock())
    bank.between = lambda _: None
    bank.status = 200
    run(parts, span)
    assert marked(parts) == (span.begin, clock())
    for day in (first, DAY - timedelta(days=1)):
        assert days.close(parts, "cli:ann", "bcb", day)[1]
    assert numbers(days.find(parts, "bcb", first)) == {"recovered": 1}


def run(parts: Runtime, span: Window) -> None:
    sweeps.run(parts, "cli:ann", "bcb", span, lambda _: None)


def test_what_was_not_over_when_it_was_asked_for_is_not_covered_by_what_is_read_behind_it(
    parts: Runtime, bank: ListingBank, clock: StandingClock
) -> None:
    began = clock.now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    add_source(parts, base_url=bank.server.url)
    begin = began - timedelta(hours=36)

    def pass_a_day(asked: int) -> None:
        """The second of three windows ends half a day from now, which passes while it is read."""
        if asked == 1:
            clock.forward(86400)

    bank.between = pass_a_day
    run(parts, Window(begin, began + timedelta(days=3)))
    assert len(bank.pages) == 4
    assert marked(parts) == (begin, began)


@pytest.mark.parametrize("ended_by", ["a pause", "Ctrl-C"])
def test_a_reading_that_is_ended_early_says_nothing_of_the_list(
    parts: Runtime, bank: ListingBank, clock: StandingClock, ended_by: str
) -> None:
    add_source(parts, base_url=bank.server.url)
    clock.now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    span = sweeps.span(parts, "bcb", DAY, None)
    run(parts, span)
    before = clock()
    clock.forward(3600)
    bank.status = 403
    with pytest.raises(NotPossible, match="permission missing"):
        run(parts, span)
    bank.status = 429 if ended_by == "a pause" else 200

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    watch, ends = (lambda _: None, NotPossible) if ended_by == "a pause" else (interrupt, KeyboardInterrupt)
    with pytest.raises(ends):
        sweeps.run(parts, "cli:ann", "bcb", span, watch)
    ((names, _),) = [found.lists for found in sweeps.status(parts)]
    assert (names.last_read_at, names.leased_until) == (before, None)
    assert names.error is not None
    assert names.error.startswith("permission missing: ")
    clock.forward(3600)
    bank.status = 200
    run(parts, span)
    ((names, _),) = [found.lists for found in sweeps.status(parts)]
    assert (names.last_read_at, names.error) == (clock(), None)


@pytest.fixture
def old_days(parts: Runtime, bank: ListingBank, clock: StandingClock) -> SourceRecord:
    """The source, two days of which were closed so long ago that nobody looks at them; a payment is on the first."""
    clock.now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    source = add_source(parts, base_url=bank.server.url)
    bank.add(Entry("FT1", clock()))
    clock.forward(60 * 86400)
    run(parts, two_days(parts))
    for day in (DAY, DAY + timedelta(days=1)):
        closing.close(parts, source, day)
    # Each is looked at once more after its first version.
    assert look(parts, source, clock) == {DAY: {"recovered": 1}, DAY + timedelta(days=1): {}}
    assert look(parts, source, clock) == {}
    return source


def two_days(parts: Runtime) -> Window:
    return sweeps.span(parts, "bcb", DAY, DAY + timedelta(days=2))


def look(parts: Runtime, source: SourceRecord, clock: StandingClock) -> dict[date, dict[str, int]]:
    """Look at the closed days that are due an hour later, when no pause lasts; return what is on them."""
    clock.forward(3600)
    found: dict[date, dict[str, int]] = {}
    while True:
        with parts.database.read() as connection:
            day = versions.due(connection, source.id, parts.clock(), closing.LOOK_MOST)
        if day is None:
            return found
        closing.close(parts, source, day)
        found[day] = numbers(days.find(parts, source.name, day))


def test_a_line_that_is_on_another_day_by_now_has_both_looked_at_however_old(
    parts: Runtime, bank: ListingBank, old_days: SourceRecord, clock: StandingClock
) -> None:
    at = old_days.created_at
    window = Window(at, at + timedelta(days=1))
    bank.lists[ACCOUNT] = [Entry("FT1", at + timedelta(hours=20))]
    run(parts, window)
    assert look(parts, old_days, clock) == {DAY: {}, DAY + timedelta(days=1): {"recovered": 1}}
    run(parts, window)
    assert look(parts, old_days, clock) == {}, "nothing has changed"


@pytest.mark.parametrize("is_told", [True, False])
def test_a_line_that_gets_its_event_once_its_day_was_closed_has_that_looked_at_however_old(
    parts: Runtime, bank: ListingBank, old_days: SourceRecord, clock: StandingClock, is_told: bool
) -> None:
    bank.add(Entry("FT2", old_days.created_at))
    until = clock() + timedelta(minutes=5)
    with parts.database.write() as connection:
        claimed = marks.claim(connection, old_days.id, ACCOUNT, now=clock(), until=until, lease="l")
    assert claimed is not None
    assert list(Sweeper(parts, old_days).read(claimed, two_days(parts), timedelta(days=2)))
    # The worker closes the day between what has stored the line and what joins it.
    assert look(parts, old_days, clock) == {DAY: {"recovered": 1, "bank_alone": 1}}
    if is_told:
        tell(parts, deposit(transactionId="FT2"))
    Recoverer(parts).run(old_days)
    expected = {"recovered": 1, "not_final": 1} if is_told else {"recovered": 2}
    assert look(parts, old_days, clock) == {DAY: expected}


def test_lines_are_on_the_days_of_a_calendar_that_was_changed_unless_theirs_is_closed(
    parts: Runtime, bank: ListingBank, old_days: SourceRecord, clock: StandingClock
) -> None:
    """The Thursday and the Friday are closed, with its evening; the Sunday and the evening of Monday are not."""
    sunday = datetime(2026, 3, 8, 12, tzinfo=UTC)
    bank.add(*(Entry(f"FT{number}", sunday + timedelta(hours=each)) for number, each in ((2, -40), (3, 0), (4, 32))))
    span = sweeps.span(parts, "bcb", DAY, date(2026, 3, 11))
    run(parts, span)
    assert look(parts, old_days, clock) == {date(2026, 3, 6): {"recovered": 1}}

    def change_meanwhile(_: int) -> None:
        bank.between = lambda _: None
        change(parts, "cli:ann", "bcb", NewSettings({"business_days": "mon-fri,19:00,UTC"}))

    # What is read by the former calendar meanwhile is not stored by it.
    bank.add(Entry("FT5", sunday + timedelta(minutes=1)))
    bank.between = change_meanwhile
    with pytest.raises(NotPossible, match="business days of bcb were changed"):
        run(parts, span)
    run(parts, span)
    for day, expected in ((date(2026, 3, 6), 1), (date(2026, 3, 9), 2), (date(2026, 3, 10), 1)):
        days.close(parts, "cli:ann", "bcb", day)
        assert numbers(days.find(parts, "bcb", day)) == {"recovered": expected}, day
