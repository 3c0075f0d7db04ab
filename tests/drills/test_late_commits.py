"""The feed's race over HTTP: writers in two processes commit late on purpose, readers follow `next` all the while."""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import requests
from conftest import make_token
from drills.writers import write_late
from servers import WebServer

from receiver.runtime import Runtime

PROCESSES = 2
READERS = 3


def follow(url: str, token: dict[str, str], limit: int, finished: threading.Event) -> list[tuple[int, str]]:
    """Follow `next` until the writers have finished and nothing more comes: each entry's position and name."""
    seen: list[tuple[int, str]] = []
    query: dict[str, str | int] = {"limit": limit, "wait": 1}
    with requests.Session() as session:
        while True:
            last_look = finished.is_set()
            answer = session.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=30)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            seen += [(entry["position"], entry["subject"]) for entry in page["data"]]
            query["after"] = page["next"]
            if last_look and not page["data"]:
                return seen


def drill(server: WebServer, parts: Runtime, *, seconds: float) -> None:
    # On SQLite a writer that holds its transaction holds up all others; on PostgreSQL it holds up nobody.
    longest = 0.02 if parts.database.is_sqlite else 2.0
    token = make_token(parts)
    finished = threading.Event()
    fresh = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(READERS) as pool, ProcessPoolExecutor(PROCESSES, mp_context=fresh) as processes:
        readers = [pool.submit(follow, server.url, token, 5 + 20 * number, finished) for number in range(READERS)]
        try:
            url = parts.settings.database_url
            writers = [processes.submit(write_late, url, number, seconds, longest) for number in range(PROCESSES)]
            written = [name for writer in writers for name in writer.result()]
        finally:
            finished.set()
        seen = [reader.result() for reader in readers]
    assert len(written) > PROCESSES
    for entries in seen:
        missed = set(written) - {name for _, name in entries}
        assert not missed, f"{len(missed)} of {len(written)} entries were stepped over"
        assert sorted(name for _, name in entries) == sorted(written)
        assert [position for position, _ in entries] == list(range(1, len(written) + 1))
    print(f"{parts.database.engine.dialect.name}: {len(written)} entries, each seen once by each of {READERS} readers")


def test_readers_who_follow_next_see_each_entry_exactly_once(server: WebServer, live: Runtime) -> None:
    drill(server, live, seconds=3)


@pytest.mark.drill
def test_readers_who_follow_next_for_long_see_each_entry_exactly_once(server: WebServer, live: Runtime) -> None:
    started = time.monotonic()
    drill(server, live, seconds=20)
    print(f"{time.monotonic() - started:.1f} s")
