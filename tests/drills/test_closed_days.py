"""A day of 200,000 lines: closed within a minute in little memory, and each change of it is found.

`make test` closes one of 2,000; it looks at no clock and no memory.
"""

import hashlib
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from conftest import KEY, StandingClock, add_source
from reconcile.ledger import DAY, EVENING, MORNING, Ledger
from sqlalchemy import text

from receiver.admin import day_verification, days
from receiver.admin.day_verification import DaysBroken
from receiver.runtime import Runtime
from receiver.store import tables
from receiver.store.bulk_insert import BulkInsert
from receiver.store.day_lines import packed, split
from receiver.store.records import lowest_id
from receiver.store.tables import table_of

PART = 10_000

SECONDS_MAX = 60
BYTES_MAX = 150_000_000

EVENTS = BulkInsert(
    table_of(tables.Event),
    [
        *("id", "source_id", "delivery_id", "identity", "content_sha256", "type", "kind", "subject", "payment_id"),
        *("claimed_status", "amount", "currency", "facts", "proof", "proof_key", "conflict", "late", "received_at"),
        *("payload_sha256", "found_by"),
    ],
)
LINES = BulkInsert(
    table_of(tables.BankLine),
    [
        *("source_id", "identity", "list_name", "day", "type", "payment_id", "account", "direction", "amount"),
        *("currency", "bank_status", "status", "at", "detail", "seen_at", "event_id"),
    ],
)
SUBJECTS = BulkInsert(
    table_of(tables.Subject),
    ["source_id", "kind", "subject", "status", "agreement", "claimed_status", "created_at", "updated_at", "attempts"],
)

CLOSE = r"""
import json, re, sys, time
from pathlib import Path
from datetime import datetime
from receiver import runtime
from receiver.reconcile.days import close_due
from receiver.settings import Settings
url, key, now = sys.argv[1:]
parts = runtime.start(Settings(_env_file=None, secret_keys=key, database_url=url), lambda: datetime.fromisoformat(now))
began = time.monotonic()
done = 0
while closed := close_due(parts):
    done += closed
peak = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
print(json.dumps([done, time.monotonic() - began, int(peak[1]) * 1024 if peak else 0]))
"""


@pytest.fixture
def ledger(parts: Runtime, clock: StandingClock) -> Ledger:
    """The evening after a day of which only the day before is filled."""
    clock.now = MORNING - timedelta(days=1)
    made = Ledger(parts, add_source(parts))
    made.event("FT-other", at=MORNING - timedelta(days=2))
    clock.now = EVENING + timedelta(hours=36)
    made.covered(EVENING + timedelta(hours=25))
    return made


def fill(ledger: Ledger, number: int) -> None:
    """Write a day of so many lines: of a hundred, one without an event and one that the sweep found."""
    with ledger.parts.database.read() as connection:
        delivery_id = connection.execute(text("SELECT id FROM deliveries LIMIT 1")).scalar_one()
    for first in range(0, number, PART):
        events: list[tuple[object, ...]] = []
        lines: list[tuple[object, ...]] = []
        subjects: list[tuple[object, ...]] = []
        for row in range(first, min(first + PART, number)):
            at = MORNING + timedelta(milliseconds=row * 200)
            payment, amount = f"FT{row:010d}", f"{row % 9973}.{row % 100:02d}"
            digest = hashlib.sha256(payment.encode())
            event_id = f"{lowest_id('evt', at)}{digest.hexdigest()[:16]}"
            is_swept = row % 100 == 1
            if row % 100:
                proof = "none" if is_swept else "signature"
                said = (digest.digest(), digest.hexdigest(), "bcb.deposit", "payment", payment, payment, "completed")
                how = (proof, "secret:1", False, False, at, digest.hexdigest(), "sweep" if is_swept else None)
                events.append((event_id, ledger.source.id, delivery_id, *said, amount, "EUR", {}, *how))
                known = ("completed", "confirmed", "completed", at, at, 1)
                subjects.append((ledger.source.id, "payment", payment, *known))
            line = (digest.hexdigest(), "1046406142", DAY, "bcb.deposit", payment, "1046406142", "incoming", amount)
            seen: tuple[object, ...] = ("EUR", None, "unknown", at, {}, EVENING, event_id if row % 100 else None)
            lines.append((ledger.source.id, *line, *seen))
        with ledger.parts.database.write() as connection:
            EVENTS.run(connection, events)
            LINES.run(connection, lines)
            SUBJECTS.run(connection, subjects)


def close(parts: Runtime) -> tuple[int, float, int]:
    """Close what is due in a process of its own; return how many days, the seconds and the peak of its memory."""
    words = [sys.executable, "-c", CLOSE, parts.settings.database_url, KEY, parts.clock().isoformat()]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    number, seconds, peak = json.loads(ended.stdout)
    return number, seconds, peak


def faults(parts: Runtime) -> list[str]:
    try:
        day_verification.verify(parts)
    except DaysBroken as error:
        return list(error.found)
    return []


def closed_and_changed(ledger: Ledger, number: int) -> tuple[float, int]:
    """Close a day, and change it in three ways, each of which is found; return seconds and bytes of closing it."""
    parts = ledger.parts
    fill(ledger, number)
    done, seconds, peak = close(parts)
    assert done == 3
    found = days.find(parts, "bcb", DAY)
    some = number // 100
    assert {str(category): count for category, count in found.numbers.items() if count} == {
        "agreed": number - 2 * some,
        "recovered": some,
        "bank_alone": some,
    }
    assert faults(parts) == []
    lines = table_of(tables.DayLines)
    with parts.database.read() as connection:
        chunk = connection.execute(lines.select().where(lines.c.category == "agreed").order_by(lines.c.id)).first()
    assert chunk is not None
    rows = split(chunk.content)
    for changed, words in (
        ([rows[0].replace(b"incoming", b"outgoing"), *rows[1:]], "a line of agreed was changed, or moved"),
        (rows[1:], f"{number - 2 * some} lines of agreed were written, and {number - 2 * some - 1} are there"),
    ):
        put(parts, chunk.id, packed(changed))
        assert faults(parts) == [f"bcb 2026-03-02, version 1: {words}"]
    put(parts, chunk.id, chunk.content)
    assert faults(parts) == []
    with parts.database.write() as connection:
        move = text("UPDATE day_versions SET day = :to WHERE day = :from")
        for day, to in ((DAY, DAY + timedelta(days=50)), (DAY + timedelta(days=1), DAY)):
            connection.execute(move, {"from": day, "to": to})
        connection.execute(move, {"from": DAY + timedelta(days=50), "to": DAY + timedelta(days=1)})
    assert [fault for fault in faults(parts) if "it stands in the place of another" in fault]
    return seconds, peak


def put(parts: Runtime, row_id: int, content: bytes) -> None:
    lines = table_of(tables.DayLines)
    with parts.database.write() as connection:
        connection.execute(lines.update().where(lines.c.id == row_id).values(content=content))


def test_a_day_is_closed_and_each_change_of_it_is_found(ledger: Ledger) -> None:
    closed_and_changed(ledger, 2_000)


@pytest.mark.drill
def test_a_day_of_200_000_lines_is_closed_within_a_minute_in_150_mb(ledger: Ledger) -> None:
    seconds, peak = closed_and_changed(ledger, 200_000)
    kind = ledger.parts.database.engine.dialect.name
    print(f"{kind}: 200,000 lines closed in {seconds:.1f} s, {peak / 1024**2:.0f} MiB at most")
    assert seconds < SECONDS_MAX
    assert peak < BYTES_MAX
