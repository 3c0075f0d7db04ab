"""The days that are rehearsed: made up, or as a database holds them, without a byte of what was in them."""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_encrypting_source
from encrypting_bank import EncryptingBank
from flask.testing import FlaskClient
from rehearse.rehearsed import assert_well, left_over, rehearse
from sqlalchemy.exc import OperationalError

from receiver.model import NameUnknown
from receiver.rehearse import day
from receiver.rehearse.banks import BANKS, Bcb
from receiver.rehearse.day import NothingCaptured
from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord
from receiver.store.sqlite import sqlite_engine

RANDOM = random.Random(1)  # noqa: S311 - no secret


def test_a_made_up_day_has_its_peak_in_the_business_hours_and_every_bank() -> None:
    made = day.made_up(5000, seed=3)
    hours = Counter(int(each.at // 3600) for each in made.planned)
    assert hours[15] > hours[12] > hours[7] > hours[3]
    assert [each.at for each in made.planned] == sorted(each.at for each in made.planned)
    assert set(made.banks) == {each.source for each in made.planned} == set(BANKS)
    assert any(each.repeats for each in made.planned)
    assert max(len(each.types) for each in made.planned) > 1


def test_the_same_seed_makes_the_same_day_and_another_another() -> None:
    assert day.made_up(50, seed=1) == day.made_up(50, seed=1) != day.made_up(50, seed=2)


def test_every_bank_comes_where_there_are_few_callbacks() -> None:
    assert {each.source for each in day.made_up(5).planned} == set(BANKS)
    assert len(day.made_up(1).planned) == 1


@pytest.fixture
def captured(parts: Runtime, client: FlaskClient, bank: BankSigner, clock: StandingClock, source: SourceRecord) -> str:
    """The URL of a database with a day: a deposit, the same signed anew, a forgery, and a batch of two."""
    assert source.name == "bcb"
    add_encrypting_source(parts)
    for _ in range(2):
        signed = bank.sign(deposit(transactionId="FT-SECRET-1"))
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
        clock.forward(1800)
    later = bank.sign(deposit(transactionId="FT-SECRET-2"))
    forged = {**later.headers, "Bcb-Signature": signed.headers["Bcb-Signature"]}
    assert client.post(later.path, data=later.body, headers=forged).status_code == 401
    batch = EncryptingBank().sign([notification(1), notification(2)])
    assert client.post(batch.path, data=batch.body, headers=batch.headers).status_code == 200
    return parts.settings.database_url


def notification(number: int) -> dict[str, object]:
    return {
        "eventId": f"00000000-0000-4000-8000-00000000000{number}",
        "notificationType": "OutgoingPaymentRejected",
        "timestamp": "2026-03-04T12:00:00.0000000Z",
        "payment": {"paymentId": f"10000000-0000-4000-8000-00000000000{number}", "status": "Rejected"},
    }


def test_a_captured_day_has_times_types_and_sizes(captured: str) -> None:
    found = day.captured(captured, date(2026, 3, 4))
    assert found.banks == {"bcb": "bcb", "bc": "banking_circle"}
    first, again, *later = found.planned
    assert (first.at, first.source, first.types, first.repeats) == (12 * 3600, "bcb", ("bcb.deposit",), False)
    assert first.size > 100
    assert (again.at, again.repeats) == (12.5 * 3600, True)
    forged, batch = sorted(later, key=lambda each: not each.forged)
    assert (forged.at, forged.source, forged.forged) == (13 * 3600, "bcb", True)
    assert batch.types == ("banking_circle.outgoing_payment_rejected",) * 2


def test_of_a_captured_day_nothing_is_said_but_times_types_and_sizes(captured: str) -> None:
    assert "FT-SECRET" not in repr(day.captured(captured, date(2026, 3, 4)))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_captured_day_is_rehearsed_with_callbacks_of_its_own(captured: str, tmp_path: Path) -> None:
    folder = tmp_path / "rehearsed"
    folder.mkdir()
    # The folder is meant from where the command is called; the processes stand elsewhere.
    where = ("--folder", "meanwhile")
    words = ("--minutes=0.1", "--no-faults", "--from-database", captured, "--day=2026-03-04", *where)
    ended, found = rehearse(folder, *words)
    assert_well(ended, found)
    assert found["day"] == "2026-03-04 as captured: 4 callbacks"
    assert found["sources"] == {"bcb": "bcb", "bc": "banking_circle"}
    assert (found["callbacks"]["genuine"], found["callbacks"]["forged"]) == (3, 1)
    # The second deposit is the first one once more, and the batch tells two things.
    assert found["feed"]["callbacks"] == 3
    assert left_over(folder) == []


def test_some_sources_of_a_captured_day(captured: str) -> None:
    found = day.captured(captured, date(2026, 3, 4), ["bc"])
    assert {each.source for each in found.planned} == set(found.banks) == {"bc"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (date(2026, 3, 5), "holds no callback of 2026-03-05"),
        (date(9999, 12, 31), "holds no callback of 9999-12-31"),
    ],
)
def test_a_day_that_is_not_there(captured: str, asked: date, said: str) -> None:
    with pytest.raises(NothingCaptured, match=said):
        day.captured(captured, asked)


def test_a_source_that_is_not_there(captured: str) -> None:
    with pytest.raises(NameUnknown, match="There is no source 'shop'; the nearest is"):
        day.captured(captured, date(2026, 3, 4), ["shop"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_captured_day_is_only_read(captured: str, parts: Runtime, tmp_path: Path, mode: str) -> None:
    parts.database.close()
    copy = tmp_path / "a copy #1.db"
    with closing(sqlite3.connect(parts.settings.database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
    copy.chmod(0o400)
    before = copy.read_bytes(), copy.stat().st_mtime_ns
    assert day.captured(f"sqlite:///{copy}", date(2026, 3, 4)) == day.captured(captured, date(2026, 3, 4))
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == before
    engine = sqlite_engine(f"sqlite:///{copy}", is_read_only=True)
    with engine.connect() as reading, pytest.raises(OperationalError, match="readonly"):
        reading.exec_driver_sql("CREATE TABLE a (b)")


def test_a_bank_without_a_simulator_is_refused(captured: str, parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.exec_driver_sql("UPDATE sources SET bank = 'another' WHERE name = 'bc'")
    with pytest.raises(NothingCaptured, match="'bc' is of the bank 'another', of which there is no simulator"):
        day.captured(captured, date(2026, 3, 4))
    assert day.captured(captured, date(2026, 3, 4), ["bcb"]).banks == {"bcb": "bcb"}


@pytest.mark.parametrize("name", BANKS)
def test_every_bank_makes_a_callback_of_a_size_about_something_new(name: str) -> None:
    bank = BANKS[name]()
    try:
        types = ("", "") if bank.sends_batches else ("",)
        made = [bank.make("http://127.0.0.1:1/webhooks/x", types, 6000, RANDOM) for _ in range(2)]
        assert len({subject for each in made for subject in each.subjects}) == 2 * len(types)
        assert all(len(each.callback.content) > 5500 for each in made)
        assert made[0].url.startswith("http://127.0.0.1:1/webhooks/x")
        assert bank.base_url is None or "//127.0.0.1:" in bank.base_url
    finally:
        bank.simulator.close()


def test_a_job_becomes_a_job() -> None:
    bank = Bcb()
    try:
        made = bank.make("http://127.0.0.1:1/webhooks/bcb", ("bcb.job.completed",), 0, RANDOM)
        assert b'"jobStatus"' in made.callback.content.replace(b" ", b"")
        assert bank.simulator.bank.jobs.get(made.subjects[0]) is not None
    finally:
        bank.simulator.close()
