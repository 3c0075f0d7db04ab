"""Workers killed -9 amid a sweep, over and over: nothing doubled, nothing skipped, the watermark right throughout."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from bank import BankSigner, deposit
from conftest import KEY, add_source
from listing import Entry, ListingBank, listing_bank
from servers import environment
from sqlalchemy import text

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import feed, sweeps
from receiver.store.sources import SourceRecord
from receiver.web import create_app

WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
import pytest
from listing import teach
teach(pytest.MonkeyPatch())
from receiver.cli import main
main(["worker"])
"""

SETTINGS = {
    "RECEIVER_LOG_LEVEL": "ERROR",
    "RECEIVER_LEASE_SECONDS": "2",
    "RECEIVER_SWEEP_SECONDS": "0.5",
    "RECEIVER_RECOVER_AFTER_SECONDS": "0",
}


@pytest.fixture
def bank() -> Iterator[ListingBank]:
    with listing_bank() as found:
        found.lists.clear()
        yield found


def start_worker(parts: Runtime) -> subprocess.Popen[bytes]:
    served = environment(parts.settings.database_url, KEY, **SETTINGS)
    here = str(Path(__file__).resolve().parent.parent)
    return subprocess.Popen([sys.executable, "-c", WORKER, here], env=served)


def drill(
    parts: Runtime, bank: ListingBank, signer: BankSigner, *, lines: int, kills: Callable[[int, float], bool]
) -> None:
    """`kills` tells, of so many kills and seconds, whether it is to go on."""
    source = add_source(parts, base_url=bank.server.url, requests_per_window=1_000_000)
    with parts.database.write() as connection:
        long_ago = parts.clock() - timedelta(days=1)
        connection.execute(text("UPDATE sources SET created_at = :at"), {"at": long_ago.isoformat(" ")})
    names = [f"FT{number}" for number in range(lines)]
    client = create_app(parts).test_client()
    for place, name in enumerate(names):
        account = f"list-{place % 5}"
        bank.add(Entry(name, parts.clock() - timedelta(minutes=5, seconds=place / 10)), name=account)
        if place % 3 == 0:
            signed = signer.sign(deposit(transactionId=name, accountNumber=account))
            assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    bank.page_size = 20
    began, killed = time.monotonic(), 0
    while kills(killed, time.monotonic() - began):
        workers = [start_worker(parts) for _ in range(2)]
        seen = len(bank.pages)
        _wait_for(lambda: len(bank.pages) > seen, workers)  # noqa: B023 - called at once
        time.sleep(random.uniform(0, 0.2))  # noqa: S311 - wherever they are
        for worker in workers:
            worker.kill()
            worker.wait()
        killed += 1
        _check_watermarks(parts, bank, source)
    workers = [start_worker(parts) for _ in range(2)]
    try:
        _wait_for(lambda: _is_done(parts, source, lines), workers)
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait(60)
    catch_up(parts.database)
    with parts.database.read() as connection:
        found = connection.execute(text("SELECT payment_id, event_id FROM bank_lines")).all()
        events = connection.execute(text("SELECT payment_id, id FROM events")).all()
        entries = feed.read(connection, after=0, limit=10 * lines).entries
    assert sorted(payment for payment, _ in found) == sorted(names)
    assert sorted(map(tuple, found)) == sorted(map(tuple, events))
    of_type = {
        kind: sorted(entry.subject or "" for entry in entries if entry.type == kind)
        for kind in ("bcb.deposit", "payment.recovered")
    }
    assert of_type["bcb.deposit"] == sorted(names[::3])
    assert of_type["payment.recovered"] == sorted(set(names) - set(names[::3]))
    dialect = parts.database.engine.dialect.name
    print(
        f"{dialect}: {killed} times two workers killed, {len(bank.pages)} pages, {Counter(map(len, of_type.values()))}"
    )


def _wait_for(holds: Callable[[], bool], workers: list[subprocess.Popen[bytes]]) -> None:
    ends = time.monotonic() + 240
    while not holds():
        assert all(worker.poll() is None for worker in workers)
        assert time.monotonic() < ends
        time.sleep(0.005)


def _is_done(parts: Runtime, source: SourceRecord, lines: int) -> bool:
    with parts.database.read() as connection:
        joined = text("SELECT count(*) FROM bank_lines WHERE event_id IS NOT NULL")
        return sweeps.covered(connection, source.id) is not None and connection.execute(joined).scalar_one() == lines


def _check_watermarks(parts: Runtime, bank: ListingBank, source: SourceRecord) -> None:
    """All that a list has from before its watermark is stored."""
    with parts.database.read() as connection:
        stored = set(connection.execute(text("SELECT payment_id FROM bank_lines")).scalars())
        lists = sweeps.of_source(connection, source.id)
    for each in lists:
        if each.covered_until is not None:
            before = {entry.id for entry in bank.lists[each.list_name] if entry.at < each.covered_until}
            assert before <= stored


def test_two_workers_killed_three_times_amid_a_sweep(live: Runtime, bank: ListingBank, live_bank: BankSigner) -> None:
    drill(live, bank, live_bank, lines=150, kills=lambda number, _: number < 3)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_two_workers_killed_for_a_minute_amid_a_sweep(live: Runtime, bank: ListingBank, live_bank: BankSigner) -> None:
    drill(live, bank, live_bank, lines=1500, kills=lambda _, seconds: seconds < 60)
