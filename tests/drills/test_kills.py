"""kill -9 of the whole web server amid callbacks loses nothing that was answered 2xx, and doubles nothing."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
import requests
from bank import BankSigner
from conftest import make_token
from drills.ledger import assert_each_once, assert_whole, read_feed
from drills.senders import PAUSE_SECONDS, Senders
from servers import WebServer

from receiver.runtime import Runtime


def drill(server: WebServer, parts: Runtime, bank: BankSigner, *, callbacks: int, kills: int) -> None:
    """Send `callbacks` from several threads, kill and restart the server `kills` times, then count."""
    token = make_token(parts)
    started = time.monotonic()
    with followed(server.url, token, callbacks) as seen, Senders(server.url, bank, range(callbacks)) as senders:
        for kill in range(1, kills + 1):
            senders.wait_for(callbacks * kill // (kills + 1))
            server.kill()
            server.start()
        results = senders.results()
    seconds = time.monotonic() - started
    entries = read_feed(server.url, token)
    doubled = assert_each_once(parts, results, entries)
    assert seen == [entry["eventid"] for entry in entries]
    assert_whole(parts)
    again = sum(sent.attempts > 1 for sent in results)
    told = Counter(sent.status for sent in results)
    print(
        f"{parts.database.engine.dialect.name}: {len(results)} answered 2xx ({told['accepted']} accepted, "
        f"{told['duplicate']} duplicate), {kills} kills, {again} sent again, {doubled} doubled, {seconds:.1f} s"
    )


@contextmanager
def followed(url: str, token: dict[str, str], entries: int) -> Iterator[list[str]]:
    """A reader that follows the feed all the while, through every kill, until it has seen so many entries."""
    seen: list[str] = []
    stop = Event()

    def follow() -> None:
        query: dict[str, str | int] = {"limit": 50, "wait": 1}
        while len(seen) < entries and not stop.is_set():
            try:
                page = requests.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=30).json()
            except requests.RequestException:
                time.sleep(PAUSE_SECONDS)
                continue
            if "data" in page:
                seen.extend(entry["eventid"] for entry in page["data"])
                query["after"] = page["next"]

    reader = Thread(target=follow)
    reader.start()
    try:
        yield seen
        reader.join(30)
    finally:
        stop.set()
        reader.join()


def test_two_kills_amid_200_callbacks_lose_and_double_nothing(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    drill(server, live, live_bank, callbacks=200, kills=2)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_ten_kills_amid_2000_callbacks_lose_and_double_nothing(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    drill(server, live, live_bank, callbacks=2000, kills=10)
