"""Many readers that wait: a bounded number of them does, the others are answered at once, and so are the banks."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from bank import BankSigner
from conftest import make_token
from drills.senders import Senders
from servers import WebServer

from receiver.runtime import Runtime

READERS = 50
SEATS = 8
"""How many may wait; one process, so that it is the same for all."""
SHARE = 4
"""How many of them for one token: as many as it leaves to others."""
WAIT_SECONDS = 20
AT_ONCE_SECONDS = 5
"""Far below what those who wait would take, even on a busy machine."""


def read(url: str, token: dict[str, str], after: str) -> tuple[float, int]:
    """Ask once; how many seconds it took, and how many entries came."""
    query: dict[str, str | int] = {"after": after, "wait": WAIT_SECONDS}
    started = time.monotonic()
    answer = requests.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=60)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - started, len(answer.json()["data"])


def drill(server: WebServer, parts: Runtime, bank: BankSigner, *, callbacks: int) -> None:
    token = make_token(parts)
    after = requests.get(f"{server.url}/api/v1/feed", headers=token, timeout=30).json()["next"]
    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read, server.url, token, after) for _ in range(READERS)]
        ends = time.monotonic() + AT_ONCE_SECONDS
        while sum(reader.done() for reader in readers) < READERS - SHARE:
            assert time.monotonic() < ends, "readers beyond the bound were not answered at once"
            time.sleep(0.01)
        assert sum(reader.done() for reader in readers) == READERS - SHARE
        assert [reader.result()[1] for reader in readers if reader.done()] == [0] * (READERS - SHARE)
        with Senders(server.url, bank, range(callbacks), threads=4) as senders:
            results = senders.results()
        answered = [reader.result() for reader in readers]
    assert sum(number > 0 for _, number in answered) == SHARE
    assert max(seconds for seconds, _ in answered) < WAIT_SECONDS
    assert not senders.refusals
    assert all(sent.attempts == 1 for sent in results)


def test_callbacks_and_readers_are_all_answered_while_more_readers_wait_than_may(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    server.stop()
    crowded = {"RECEIVER_PROCESSES": "1", "RECEIVER_WAITING_READERS_MAX": str(SEATS)}
    few_seats = WebServer({**server.environment, **crowded}).start()
    try:
        drill(few_seats, live, live_bank, callbacks=60)
    finally:
        few_seats.stop()


@pytest.mark.drill
def test_callbacks_and_readers_are_all_answered_each_time_that_50_readers_wait(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    token = make_token(live, name="followers")

    callbacks = 1000
    deadline = time.monotonic() + 120

    def follow() -> int:
        query: dict[str, str | int] = {"wait": WAIT_SECONDS, "limit": 1000}
        seen = 0
        with requests.Session() as session:
            while seen < callbacks and time.monotonic() < deadline:
                page = session.get(f"{server.url}/api/v1/feed", params=query, headers=token, timeout=60).json()
                seen += len(page["data"])
                query["after"] = page["next"]
                if not page["data"]:
                    time.sleep(1)
        return seen

    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(follow) for _ in range(READERS)]
        with Senders(server.url, live_bank, range(callbacks), threads=4) as senders:
            results = senders.results()
        assert all(sent.attempts == 1 for sent in results)
        assert [reader.result() for reader in readers] == [callbacks] * READERS
