"""A line of a bank's list: whatever the bank gave can be stored, and a line that gets on is one line all the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from conftest import StandingClock
from sqlalchemy import select

from receiver import banks
from receiver.banks.abilities import Listed
from receiver.model import Status
from receiver.reconcile import list_lines
from receiver.reconcile.recovery import Joined, Recoverer
from receiver.runtime import Runtime
from receiver.store import bank_lines
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


def stored(line: Listed, now: datetime) -> NewLine:
    bank = banks.named("bcb")
    return list_lines.as_stored(line, "1", bank.name, bank.days({}), now)


def write(parts: Runtime, source: SourceRecord, clock: StandingClock, *lines: Listed) -> int:
    """Write what a reading of the last two hours found; return how many lines are new."""
    new, window = 0, (clock() - timedelta(hours=2), clock())
    for part in bank_lines.in_groups([stored(line, clock()) for line in lines]):
        with parts.database.write() as connection:
            new += bank_lines.write(connection, source.id, part, window, clock())
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
