"""A line of a bank's list: whatever the bank gave can be stored, and a line that gets on is one line all the same.

What has no name is as many payments as a reading of the list has, and reading it once more makes none more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import StandingClock, add_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, select

from receiver import banks
from receiver.banks import listing
from receiver.banks.abilities import Listed
from receiver.model import Status
from receiver.reconcile import list_lines
from receiver.reconcile.recovery import Joined, Recoverer
from receiver.runtime import Runtime
from receiver.store import bank_lines, events
from receiver.store.bank_lines import NewLine
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankLine, table_of

LINE = Listed(
    "bcb.deposit",
    "FT1",
    account="1",
    direction="incoming",
    amount=Decimal("5.00"),
    currency="USD",
    status=Status.PENDING,
)

HOSTILE = [
    replace(LINE, payment_id="F\0T\ud800", account="\udfff", bank_status="x" * 10_000),
    replace(LINE, amount=Decimal("NaN"), currency="", direction="sideways"),
    replace(LINE, amount=Decimal("-0E+20"), at=datetime(2026, 3, 4, 12)),  # noqa: DTZ001 - it names no zone
    replace(LINE, amount=Decimal("Infinity"), at=datetime.max.replace(tzinfo=UTC)),
    replace(LINE, payment_id=None, reference=None, type="", detail={"of": object(), "nul": "\0", "half": "\ud800"}),
    replace(LINE, payment_id="", at=datetime.min.replace(tzinfo=UTC)),
]


def stored(line: Listed, now: datetime, begin: datetime) -> NewLine:
    bank = banks.named("bcb")
    return list_lines.as_stored(line, "1", bank.name, lambda _: bank.days({}), now, begin)


def write(parts: Runtime, source: SourceRecord, clock: StandingClock, *lines: Listed) -> int:
    """Write what a reading of the last two hours found; return how many lines are new."""
    return read(parts, source, lines, clock() - timedelta(hours=2), clock())


def read(
    parts: Runtime,
    source: SourceRecord,
    lines: Sequence[Listed],
    begin: datetime,
    end: datetime,
    now: datetime | None = None,
) -> int:
    """Write what a reading of a window found, at its end or at another time; return how many lines are new."""
    new, now = 0, now or end
    for part in bank_lines.in_groups([stored(line, now, begin) for line in lines]):
        with parts.database.write() as connection:
            new += bank_lines.write(connection, source.id, part, (begin, end), now).new
    return new


def rows(parts: Runtime) -> list[dict[str, Any]]:
    with parts.database.read() as connection:
        found = connection.execute(select(table_of(BankLine)).order_by("id"))
        return [dict(row._mapping) for row in found]


def test_whatever_a_bank_gives_is_stored_and_becomes_an_event(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    assert write(parts, source, clock, *HOSTILE) == len(HOSTILE)
    assert write(parts, source, clock, *HOSTILE) == 0
    clock.forward(901)
    assert Recoverer(parts).run(source) == Joined(recovered=len(HOSTILE))
    assert Recoverer(parts).run(source) == Joined()


def test_a_line_whose_time_changes_as_it_gets_on_is_the_same_line(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    at = clock() - timedelta(hours=5)
    assert write(parts, source, clock, replace(LINE, at=at)) == 1
    done = replace(LINE, at=clock() - timedelta(hours=1), status=Status.COMPLETED)
    assert write(parts, source, clock, done) == 0
    (row,) = rows(parts)
    assert (row["status"], row["at"]) == (Status.COMPLETED, done.at)
    made = replace(LINE, payment_id="FT2", at=at, detail={"created_at": "2026-03-04T01:00:00Z"})
    assert write(parts, source, clock, made) == 1
    assert write(parts, source, clock, replace(made, at=clock() - timedelta(hours=1))) == 0
    # However many zeros stand behind the point; another one at another time is another line.
    assert write(parts, source, clock, replace(done, amount=Decimal(5))) == 0
    assert write(parts, source, clock, done, replace(done, at=clock() - timedelta(minutes=1))) == 1


HOUR = timedelta(hours=1)


def test_a_reversal_is_a_line_beside_what_it_reverses_though_it_was_read_in_a_later_window(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    nine = clock() - 3 * HOUR
    booked = replace(LINE, direction="outgoing", status=Status.COMPLETED, at=nine + HOUR / 2)
    undone = replace(
        booked, type="bcb.reversed", status=Status.REVERSED, at=nine + 2.5 * HOUR, detail={"is_reversal": True}
    )
    assert read(parts, source, [booked], nine, nine + HOUR) == 1
    assert read(parts, source, [undone], nine + 2 * HOUR, nine + 3 * HOUR) == 1
    assert read(parts, source, [undone, booked], nine - 9 * HOUR, nine + 15 * HOUR) == 0
    assert [row["status"] for row in rows(parts)] == [Status.COMPLETED, Status.REVERSED]


NAMELESS = replace(LINE, payment_id=None, status=Status.UNKNOWN)


def test_equal_lines_without_a_name_are_as_many_as_one_reading_has(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    at = clock() - timedelta(hours=1)
    for line in (replace(NAMELESS, at=at), replace(NAMELESS, amount=Decimal(7))):
        assert write(parts, source, clock, line) == 1
        assert write(parts, source, clock, line, line) == 1
        assert write(parts, source, clock, line, line) == 0
        assert write(parts, source, clock, line) == 0
        assert write(parts, source, clock, *[line] * 5) == 3
    assert len(rows(parts)) == 10


def test_an_equal_line_without_a_name_that_is_further_on_is_another_payment(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """By its status alone, which says of a line with an id that it has got on."""
    morning = clock() - timedelta(hours=3)
    pending = replace(NAMELESS, at=morning, status=Status.PENDING)
    done = replace(NAMELESS, at=clock() - timedelta(minutes=5), status=Status.COMPLETED)
    assert read(parts, source, [pending], morning - timedelta(hours=1), morning + timedelta(hours=1)) == 1
    assert read(parts, source, [done], clock() - timedelta(hours=1), clock()) == 1
    # Where it was made at the same time, or is gone from where it was, it is the same.
    assert read(parts, source, [done], morning - timedelta(hours=1), clock()) == 0
    assert read(parts, source, [replace(pending, at=morning + timedelta(minutes=1))], morning, clock()) == 0
    assert len(rows(parts)) == 2


def test_a_line_without_name_and_time_is_another_payment_on_another_day(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    assert write(parts, source, clock, NAMELESS) == 1
    clock.forward(8 * 3600)
    assert write(parts, source, clock, NAMELESS) == 0
    clock.forward(86400)
    assert write(parts, source, clock, NAMELESS) == 1
    assert write(parts, source, clock, NAMELESS) == 0
    named = replace(NAMELESS, reference="R1")
    assert write(parts, source, clock, named) == 1
    clock.forward(30 * 86400)
    assert write(parts, source, clock, named) == 0
    # Neither of the two is lost: each becomes an event.
    assert Recoverer(parts).run(source) == Joined(recovered=3)


def test_lines_without_name_and_time_of_past_days_that_are_read_at_once_are_a_payment_for_each_day(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    for _ in range(2):
        for day in (1, 2, 3):
            begin = datetime(2026, 1, day + 4, tzinfo=UTC)
            read(parts, source, [NAMELESS] * day, begin, begin + timedelta(days=1), clock())
    assert Counter(f"{row['day']}" for row in rows(parts)) == {"2026-01-05": 1, "2026-01-06": 2, "2026-01-07": 3}


def test_of_lines_without_name_and_time_another_word_of_the_bank_is_another_payment(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    entries = [listing.unreadable("bcb.unrecognised", entry, "1") for entry in (["a"], ["b"], ["a"])]
    assert write(parts, source, clock, entries[0]) == 1
    assert write(parts, source, clock, entries[1]) == 1
    assert write(parts, source, clock, *entries) == 1
    assert write(parts, source, clock, *reversed(entries)) == 0
    assert Counter(row["detail"]["unreadable"] for row in rows(parts)) == {'["a"]': 2, '["b"]': 1}
    # That it has got on is no other payment.
    texts = [replace(NAMELESS, detail={"remittance": text}) for text in "AB"]
    assert write(parts, source, clock, *texts) == 2
    done = replace(texts[0], status=Status.COMPLETED)
    assert write(parts, source, clock, texts[1], done) == 0
    told = {(row["detail"]["remittance"], row["status"]) for row in rows(parts)[3:]}
    assert told == {("A", Status.COMPLETED), ("B", Status.UNKNOWN)}


def test_lines_without_a_name_at_one_time_do_not_swap_what_they_say(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """A report of a day gives the beginning of the day as the time of each."""
    line = replace(NAMELESS, at=clock() - HOUR)
    pending = replace(line, status=Status.PENDING, detail={"remittance": "A"})
    rejected = replace(line, status=Status.REJECTED, detail={"remittance": "B"})
    assert write(parts, source, clock, pending, rejected) == 2
    before = rows(parts)
    assert write(parts, source, clock, rejected, pending) == 0
    assert rows(parts) == before
    # One that has got on is still the one of which the bank says the same.
    assert write(parts, source, clock, rejected, replace(pending, status=Status.REJECTED)) == 0
    assert [(row["detail"]["remittance"], row["status"]) for row in rows(parts)] == [
        ("A", Status.REJECTED),
        ("B", Status.REJECTED),
    ]
    # And one of which the bank says more by now is the one that is left.
    more = replace(pending, status=Status.REJECTED, detail={"remittance": "A", "reason": "no funds"})
    assert write(parts, source, clock, more, rejected) == 0
    assert [row["detail"].get("reason") for row in rows(parts)] == ["no funds", None]


CALENDARS = ["mon-sun,24:00,UTC", "mon-fri,19:00,Europe/Copenhagen", "mon-sun,24:00,Atlantic/Bermuda"]


@pytest.mark.parametrize("business_days", CALENDARS)
def test_a_line_whose_day_alone_is_known_is_of_that_day_and_as_old_as_it_is_known(
    parts: Runtime, clock: StandingClock, business_days: str
) -> None:
    source, calendar = add_source(parts, business_days=business_days), banks.named("bcb").days
    clock.now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    line = replace(LINE, at=datetime(2026, 3, 2, tzinfo=UTC), named_day=date(2026, 3, 2))
    new = list_lines.as_stored(line, "1", "bcb", lambda _: calendar(source.options), clock())
    assert (new.day, new.named_day) == (date(2026, 3, 2), date(2026, 3, 2))
    with parts.database.write() as connection:
        bank_lines.write(connection, source.id, {new.base: [new]}, (clock() - HOUR, clock()), clock())
    # Its callback may be on its way.
    assert Recoverer(parts).run(source) == Joined()
    clock.forward(901)
    assert Recoverer(parts).run(source) == Joined(recovered=1)
    with parts.database.read() as connection:
        (made,) = events.of_payments(connection, source.id, ["FT1"])
    assert "bank_time" not in made.facts


def test_a_day_that_is_no_business_day_means_the_next_one() -> None:
    days = banks.named("bcb").days({"business_days": "mon-fri,19:00,Europe/Copenhagen"})
    saturday = replace(LINE, at=datetime(2026, 2, 28, tzinfo=UTC), named_day=date(2026, 2, 28))
    assert list_lines.as_stored(saturday, "1", "bcb", lambda _: days, datetime(2026, 3, 1, tzinfo=UTC)).day == date(
        2026, 3, 2
    )


def test_of_a_line_that_an_earlier_release_has_read_it_is_known_by_its_next_reading_that_its_day_alone_is(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    line = replace(LINE, at=clock() - HOUR)
    assert write(parts, source, clock, line) == 1
    assert rows(parts)[0]["named_day"] is None
    yesterday = clock().date() - timedelta(days=1)
    assert write(parts, source, clock, replace(line, named_day=yesterday)) == 0
    assert [(row["named_day"], row["day"]) for row in rows(parts)] == [(yesterday, yesterday)]
    assert write(parts, source, clock, line) == 0
    assert [(row["named_day"], row["day"]) for row in rows(parts)] == [(None, clock().date())]


def statements(parts: Runtime, source: SourceRecord, *lines: Listed) -> int:
    """Write what a reading of two hours from the first line's time on found; return how many statements that takes."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    begin = lines[0].at or datetime(2026, 3, 4, tzinfo=UTC)
    event.listen(parts.database.engine, "before_cursor_execute", note)
    try:
        assert read(parts, source, lines, begin, begin + 2 * HOUR) == 0
    finally:
        event.remove(parts.database.engine, "before_cursor_execute", note)
    return len([statement for statement in sent if "bank_lines" in statement])


MANY = 2000


def test_a_long_history_of_equal_lines_without_a_name_is_not_read(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """A bank that names its ids otherwise one day has none but such lines."""
    first = datetime(2024, 1, 1, 12, tzinfo=UTC)
    history = [replace(NAMELESS, at=first + timedelta(days=number // 4, minutes=number % 4)) for number in range(MANY)]
    assert read(parts, source, history, first, clock()) == MANY
    assert statements(parts, source, *history[-4:]) == 1
    assert statements(parts, source, *history[:1]) == 2


@pytest.mark.parametrize("line", [NAMELESS, replace(NAMELESS, reference="RENT")], ids=["nameless", "named"])
def test_many_equal_lines_of_a_day_take_few_statements(
    parts: Runtime, source: SourceRecord, clock: StandingClock, line: Listed
) -> None:
    lines = [replace(line, at=clock() - timedelta(seconds=number)) for number in range(MANY)]
    assert read(parts, source, lines, clock() - HOUR, clock() + HOUR) == MANY
    assert statements(parts, source, *lines[:1]) <= 10
    assert statements(parts, source, *reversed(lines)) == 1
    assert read(parts, source, [replace(line, at=clock() + HOUR)], clock() + HOUR, clock() + 2 * HOUR) == 1


PAYMENTS = st.lists(
    st.tuples(st.integers(0, 23), st.sampled_from([Status.UNKNOWN, Status.PENDING, Status.COMPLETED])), max_size=8
)
"""The hour of each from a noon on, so of two days, and what the bank says of it: all are equal but for that."""

WINDOWS = st.lists(st.tuples(st.integers(0, 22), st.integers(1, 24)), min_size=1, max_size=6)
"""The first hour of each window, and how many it lasts."""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payments=PAYMENTS, windows=WINDOWS)
def test_lines_without_a_name_are_never_fewer_nor_more_than_the_bank_has_whatever_is_read(
    parts: Runtime, source: SourceRecord, payments: list[tuple[int, Status]], windows: list[tuple[int, int]]
) -> None:
    with parts.database.write() as connection:
        connection.execute(delete(table_of(BankLine)))
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)
    seen: set[int] = set()
    for first, hours in (*windows, (0, 24), (0, 24)):
        here = range(first, min(first + hours, 24))
        listed = [(noon + hour * HOUR, status) for hour, status in payments if hour in here]
        window = noon + here.start * HOUR, noon + here.stop * HOUR
        read(parts, source, [replace(NAMELESS, at=at, status=status) for at, status in listed], *window)
        seen |= {*here}
        known = Counter((noon + hour * HOUR, status) for hour, status in payments if hour in seen)
        assert Counter((row["at"], row["status"]) for row in rows(parts)) == known
