"""Who can write to the database, but has no key, changes no closed day without `days verify` finding it."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import pytest
from conftest import StandingClock, add_source
from reconcile.ledger import DAY, EVENING, MORNING, Ledger, known_day
from sqlalchemy import Connection, text

from receiver.admin import database, day_verification
from receiver.admin.day_verification import DaysBroken
from receiver.runtime import Runtime
from receiver.store import days, tables
from receiver.store.day_lines import packed, split
from receiver.worker.loop import Worker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Digests are over the same bytes on both databases; `test_days.py` verifies on both."""
    return sqlite_url


@pytest.fixture
def ledger(parts: Runtime, clock: StandingClock) -> Ledger:
    """A ledger of three closed days, the middle one in two versions."""
    clock.now = MORNING - timedelta(days=1)
    made = Ledger(parts, add_source(parts))
    known_day(made)
    made.line("FT-next", event_id=made.event("FT-next", at=MORNING + timedelta(days=1)), day=DAY + timedelta(days=1))
    clock.now = EVENING + timedelta(hours=36)
    made.covered(EVENING + timedelta(hours=26))
    Worker(parts).run_once()
    made.line("FT-more", event_id=made.event("FT-more"))
    clock.forward(86400)
    Worker(parts).run_once()
    return made


def found(parts: Runtime, day: date | None = None) -> Sequence[str]:
    """What does not fit."""
    try:
        number = day_verification.verify(parts, "bcb" if day else None, day)
    except DaysBroken as error:
        return error.found
    assert number == (2 if day else 4)
    return []


def record(connection: Connection, day: date, version: int = 1) -> int:
    """The number of a version's row."""
    (source_id,) = connection.execute(text("SELECT id FROM sources WHERE name = 'bcb'")).scalars()
    made = days.find(connection, source_id, day, version)
    assert made is not None
    return made.id


def edit(connection: Connection, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the lines of the day's first version that are agreed."""
    lines = tables.table_of(tables.DayLines)
    where = (lines.c.version_id == record(connection, DAY), lines.c.category == "agreed")
    (row,) = connection.execute(lines.select().where(*where))
    made = change(split(row.content))
    connection.execute(lines.update().where(*where).values(content=packed(made), number=len(made)))


def change_line(connection: Connection) -> None:
    edit(connection, lambda rows: [rows[0].replace(b'"10.00"', b'"10.01"', 1), *rows[1:]])


def cut_line(connection: Connection) -> None:
    edit(connection, lambda rows: rows[:-1])


def hide_lines(connection: Connection) -> None:
    """Have those behind the first one be passed over: pages and exports go on behind where a chunk says it ends."""
    change = "UPDATE day_lines SET number = 1 WHERE version_id = :id AND category = 'agreed'"
    connection.execute(text(change), {"id": record(connection, DAY)})


def double_lines(connection: Connection) -> None:
    """Have them stand further back than they do: a page that begins behind the last one shows them once more."""
    change = "UPDATE day_lines SET first = 3 WHERE version_id = :id AND category = 'agreed'"
    connection.execute(text(change), {"id": record(connection, DAY)})


def swap_lines(connection: Connection) -> None:
    edit(connection, lambda rows: [rows[1], rows[0], *rows[2:]])


def exchange_days(connection: Connection) -> None:
    one, other = record(connection, DAY - timedelta(days=1)), record(connection, DAY + timedelta(days=1))
    move = text("UPDATE day_versions SET day = :day WHERE id = :id")
    connection.execute(move, {"day": DAY + timedelta(days=30), "id": one})
    connection.execute(move, {"day": DAY - timedelta(days=1), "id": other})
    connection.execute(move, {"day": DAY + timedelta(days=1), "id": one})


def exchange_contents(connection: Connection) -> None:
    """Put what one day says in the place of another, its lines with it."""
    one, other = record(connection, DAY - timedelta(days=1)), record(connection, DAY + timedelta(days=1))
    versions = tables.table_of(tables.DayVersion)
    rows = {row.id: row for row in connection.execute(versions.select())}
    for row_id, taken in ((one, other), (other, one)):
        said = {"header": rows[taken].header, "digest": rows[taken].digest}
        connection.execute(versions.update().where(versions.c.id == row_id).values(said))
    lines = "UPDATE day_lines SET version_id = :to WHERE version_id = :from"
    connection.execute(text(lines), {"from": other, "to": one})


def change_sum(connection: Connection) -> None:
    versions = tables.table_of(tables.DayVersion)
    row_id = record(connection, DAY)
    header = connection.execute(versions.select().where(versions.c.id == row_id)).one().header
    header["numbers"][0][3] = "1.00"
    connection.execute(versions.update().where(versions.c.id == row_id).values(header=header))


def take_out(connection: Connection, day: date, version: int) -> None:
    row_id = record(connection, day, version)
    connection.execute(text("DELETE FROM day_lines WHERE version_id = :id"), {"id": row_id})
    connection.execute(text("DELETE FROM day_versions WHERE id = :id"), {"id": row_id})


def take_first_version(connection: Connection) -> None:
    take_out(connection, DAY, 1)


def take_newest(connection: Connection) -> None:
    take_out(connection, DAY, 2)


def take_newest_and_correct_the_head(connection: Connection) -> None:
    take_out(connection, DAY, 2)
    newest = connection.execute(text("SELECT digest FROM day_versions ORDER BY id DESC LIMIT 1")).scalar_one()
    connection.execute(text("UPDATE day_heads SET versions = 3, digest = :digest"), {"digest": newest})


def take_head(connection: Connection) -> None:
    connection.execute(text("DELETE FROM day_heads"))


def spoil_content(connection: Connection) -> None:
    lines = tables.table_of(tables.DayLines)
    connection.execute(lines.update().where(lines.c.version_id == record(connection, DAY)).values(content=b"x"))


TAMPERING: dict[Callable[[Connection], None], str] = {
    change_line: "bcb 2026-03-02, version 1: a line of agreed was changed, or moved",
    cut_line: "bcb 2026-03-02, version 1: 3 lines of agreed were written, and 2 are there",
    hide_lines: "bcb 2026-03-02, version 1: where lines of agreed stand was changed",
    double_lines: "bcb 2026-03-02, version 1: where lines of agreed stand was changed",
    swap_lines: "bcb 2026-03-02, version 1: a line of agreed was changed, or moved",
    exchange_days: "bcb 2026-03-01, version 1: it stands in the place of another: it is the day 2026-03-03, version 1",
    exchange_contents: "bcb 2026-03-03, version 1: it stands in the place of another: it is the day 2026-03-01",
    change_sum: "bcb 2026-03-02, version 1: its counts, sums, or what binds it, were changed",
    take_first_version: "bcb 2026-03-03, version 1: the day before it, 2026-03-02 in version 1, is not there",
    take_newest: "bcb: 3 versions are there, and the head says otherwise",
    take_newest_and_correct_the_head: "bcb: 3 versions are there, and the head says otherwise",
    take_head: "bcb: 4 versions are there, and the head says otherwise",
    spoil_content: "bcb 2026-03-02, version 1: its lines can't be read",
}


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
def test_what_was_changed_behind_its_back_is_found(parts: Runtime, tamper: Callable[[Connection], None]) -> None:
    assert found(parts) == []
    with parts.database.write() as connection:
        tamper(connection)
    faults = found(parts)
    assert any(fault.startswith(TAMPERING[tamper]) for fault in faults), faults
    assert {checked.what: [*checked.faults] for checked in database.check(parts)}["days"] == faults


@pytest.mark.usefixtures("ledger")
def test_one_day_is_verified_alone(parts: Runtime) -> None:
    assert found(parts, DAY) == []
    with parts.database.write() as connection:
        change_line(connection)
    assert found(parts, DAY) == ["bcb 2026-03-02, version 1: a line of agreed was changed, or moved"]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("tamper", [take_first_version, take_newest], ids=lambda tamper: tamper.__name__)
def test_what_was_taken_out_is_found_whatever_day_is_verified(
    parts: Runtime, tamper: Callable[[Connection], None]
) -> None:
    with parts.database.write() as connection:
        tamper(connection)
    for day in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
        assert "bcb: 3 versions are there, and the head says otherwise" in "; ".join(found(parts, day))


@pytest.mark.usefixtures("ledger")
def test_a_version_that_is_put_in_without_the_key_is_found(parts: Runtime) -> None:
    with parts.database.write() as connection:
        versions = tables.table_of(tables.DayVersion)
        row = connection.execute(versions.select().where(versions.c.id == record(connection, DAY, 2))).one()
        values = row._asdict() | {"version": 3, "header": row.header | {"version": 3}}
        del values["id"]
        connection.execute(versions.insert().values(values))
    assert "bcb 2026-03-02, version 3: its counts, sums, or what binds it, were changed" in found(parts)
