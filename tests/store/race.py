"""Writers and readers of the feed at once, in a short and in a long form."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import feed, outbox
from receiver.store.feed import Entry, Wanted
from receiver.store.sources import SourceRecord

WRITERS = 4
READERS = 2


def append(connection: Connection, parts: Runtime, source: SourceRecord, name: str, kind: str = "test.entry") -> None:
    outbox.append(
        connection, type=kind, source_id=source.id, subject=name, event_id=name, data={"name": name}, now=parts.clock()
    )


def read(parts: Runtime, after: int = 0, limit: int = 1000, types: tuple[str, ...] = ()) -> list[Entry]:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return list(feed.read(connection, after=after, limit=limit, wanted=Wanted(types=types)).entries)


def race(parts: Runtime, source: SourceRecord, *, seconds: float) -> int:
    """Writers that commit late on purpose, beside readers who follow along: each sees each entry once, in order.

    Returns how many entries there were.
    """
    # On SQLite a writer that holds its transaction holds up all others; on PostgreSQL it holds up nobody.
    longest = 0.05 if parts.database.is_sqlite else seconds / 10
    ends = time.monotonic() + seconds
    written: list[list[str]] = [[] for _ in range(WRITERS)]
    finished = threading.Event()

    def keep_writing(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - the same race each time
        while time.monotonic() < ends:
            names = [f"{number}-{len(written[number]) + count}" for count in range(chance.randint(1, 3))]
            with parts.database.write() as connection:
                for name in names:
                    append(connection, parts, source, name)
                time.sleep(longest * chance.choice([0, 0, 0.01, 0.2, 1]))
            written[number] += names

    def follow(number: int) -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        while True:
            last_look = finished.is_set()
            page = read(parts, after=seen[-1][0] if seen else 0, limit=5 + number)
            seen += [(entry.position, entry.subject or "") for entry in page]
            if last_look and not page:
                return seen
            time.sleep(0.005)

    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        readers = [pool.submit(follow, number) for number in range(READERS)]
        try:
            for writer in [pool.submit(keep_writing, number) for number in range(WRITERS)]:
                writer.result()
        finally:
            finished.set()
        expected = sorted(name for names in written for name in names)
        assert len(expected) > WRITERS
        for reader in readers:
            seen = reader.result()
            assert [position for position, _ in seen] == list(range(1, len(expected) + 1))
            assert sorted(name for _, name in seen) == expected
    return len(expected)
