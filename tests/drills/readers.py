"""Readers that go on through everything: one that follows `next`, one with a name that acknowledges what it handled."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from drills.senders import PAUSE_SECONDS

PATIENCE_SECONDS = 60


@dataclass
class Follower:
    """Follows `next`, asks again where no answer came, and keeps every cursor that it was given."""

    url: str
    token: dict[str, str]
    seen: list[str] = field(default_factory=list)
    cursors: list[tuple[str, int]] = field(default_factory=list)
    """Each with how many entries stand before it."""
    _query: dict[str, str | int] = field(default_factory=lambda: {"limit": 50, "wait": 1})

    def step(self) -> None:
        page = asked("GET", f"{self.url}/api/v1/feed", self.token, params=self._query)
        if page is not None:
            self.seen.extend(entry["eventid"] for entry in page["data"])
            self._query["after"] = page["next"]
            self.cursors.append((page["next"], len(self.seen)))


@dataclass
class Consumer:
    """Handles pages under a name and acknowledges each; an answer that is lost leaves it in doubt."""

    url: str
    token: dict[str, str]
    seen: list[str] = field(default_factory=list)
    """What it handled, what was given again included."""
    again: int = 0
    _committed: int = 0
    _in_doubt: int | None = None

    def step(self) -> None:
        base = f"{self.url}/api/v1/consumers/ledger"
        page = asked("GET", f"{base}/feed", self.token, params={"limit": 20, "wait": 1})
        if page is None or not page["data"]:
            return
        first, last = page["data"][0]["position"], page["data"][-1]["position"]
        allowed = {self._committed + 1} | ({self._in_doubt + 1} if self._in_doubt is not None else set())
        assert first in allowed, f"given {first} after {self._committed} (in doubt: {self._in_doubt})"
        self._committed, self._in_doubt = first - 1, None
        fresh = page["data"][max(0, len(self.seen) + 1 - first) :]
        self.again += len(page["data"]) - len(fresh)
        self.seen.extend(entry["eventid"] for entry in fresh)
        if asked("POST", f"{base}/ack", self.token, json={"cursor": page["next"]}) is None:
            self._in_doubt = last
        else:
            self._committed = last


def asked(method: str, url: str, token: dict[str, str], **rest: Any) -> dict[str, Any] | None:
    """The answer's JSON; none where none came, or the receiver asked to come back."""
    try:
        answer = requests.request(method, url, headers=token, timeout=30, **rest)
    except requests.RequestException:
        time.sleep(PAUSE_SECONDS)
        return None
    if answer.status_code == 503:
        time.sleep(PAUSE_SECONDS)
        return None
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@contextmanager
def reading(entries: int, *readers: Follower | Consumer) -> Iterator[None]:
    """Let readers go on in the background; in the end each must have seen so many entries."""
    stop = threading.Event()
    faults: list[BaseException] = []

    def go_on(reader: Follower | Consumer) -> None:
        try:
            while len(reader.seen) < entries and not stop.is_set():
                reader.step()
        except BaseException as fault:
            faults.append(fault)
            raise

    threads = [threading.Thread(target=go_on, args=[reader]) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        yield
        ends = time.monotonic() + PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.1, ends - time.monotonic()))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert [len(reader.seen) for reader in readers] == [entries] * len(readers)


def assert_continues(url: str, token: dict[str, str], cursors: list[tuple[str, int]], eventids: list[str]) -> None:
    """Every cursor that was ever given still continues right behind what was read before it."""
    for cursor, before in cursors:
        query: dict[str, str | int] = {"after": cursor, "limit": 3}
        page = requests.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=30).json()
        assert [entry["eventid"] for entry in page["data"]] == eventids[before : before + 3]
        assert [entry["position"] for entry in page["data"]] == list(range(before + 1, before + 4))[: len(page["data"])]
