"""A database that another one holds: banks hear 503 while they still listen, and all goes on once it is free."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source
from drills.senders import assert_asks_to_come_back
from servers import WebServer, environment

from receiver import runtime
from receiver.settings import Settings

BANK_WAITS_SECONDS = 10

Start = Callable[..., WebServer]


@pytest.fixture
def start(sqlite_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a server of one process over a SQLite file, with its log in `log`."""
    parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=sqlite_url))
    add_source(parts)
    parts.database.close()
    started = []

    def start(**more: str) -> WebServer:
        given = {"RECEIVER_PROCESSES": "1", "RECEIVER_LOG_LEVEL": "WARNING"} | more
        server = WebServer(environment(sqlite_url, KEY, **given), output=tmp_path / "log")
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@contextmanager
def held(url: str) -> Iterator[None]:
    """Another program has SQLite's write lock."""
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def send(server: WebServer, bank: BankSigner, number: int = 0) -> requests.Response:
    signed = bank.sign(deposit(transactionId=f"FT{number}"))
    return requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=BANK_WAITS_SECONDS)


def test_a_write_lock_that_is_not_given_back_is_503_until_it_is(
    start: Start, sqlite_url: str, live_bank: BankSigner, tmp_path: Path
) -> None:
    server = start()
    with held(sqlite_url), ThreadPoolExecutor(12) as pool:
        for answer in pool.map(lambda number: send(server, live_bank, number), range(12)):
            assert_asks_to_come_back(answer)
    assert send(server, live_bank).json()["status"] == "accepted"
    told = [line for line in (tmp_path / "log").read_text().splitlines() if "unavailable" in line]
    assert len(told) == 1


def test_who_finds_as_many_waiting_as_may_is_answered_before_they_are(
    start: Start, sqlite_url: str, live_bank: BankSigner
) -> None:
    server = start(RECEIVER_WAITING_MAX="2")
    assert send(server, live_bank).status_code == 200
    with ThreadPoolExecutor(3) as pool:
        with held(sqlite_url):
            waiting = [pool.submit(send, server, live_bank, number) for number in range(3)]
            first = next(as_completed(waiting))
            assert_asks_to_come_back(first.result())
            # The two others have a place, and wait for the lock.
            assert [future.done() for future in waiting].count(True) == 1
        assert [future.result().status_code for future in waiting if future is not first] == [200, 200]
