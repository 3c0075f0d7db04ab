"""The public keys of a source's bank: when they are wanted, and what stays of them."""

from datetime import timedelta

from conftest import StandingClock, add_source

from receiver.runtime import Runtime
from receiver.store import public_keys, sources
from receiver.store.public_keys import StoredKeys
from receiver.store.sources import SourceRecord

WINDOW = timedelta(seconds=60)


def keys(parts: Runtime, source: SourceRecord) -> StoredKeys:
    with parts.database.read() as connection:
        return public_keys.stored(connection, parts.encryption, source)


def want(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        public_keys.want(connection, source.id, parts.clock())


def fetched(parts: Runtime, source: SourceRecord, jwks: str | None, error: str | None = None) -> None:
    with parts.database.write() as connection:
        public_keys.put(connection, parts.encryption, source, parts.clock(), jwks=jwks, error=error)


def test_asking_for_keys_again_keeps_the_time_of_the_first_asking(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    asked = clock()
    want(parts, source)
    clock.forward(5)
    want(parts, source)
    assert keys(parts, source) == StoredKeys(wanted_at=asked)


def test_a_failed_fetch_of_keys_keeps_the_old_ones(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    want(parts, source)
    fetched(parts, source, "{}")
    first = clock()
    clock.forward(5)
    fetched(parts, source, None, "timed out")
    assert keys(parts, source) == StoredKeys("{}", first, clock(), None, "timed out")


def test_only_sources_with_credentials_that_lack_keys_want_them(parts: Runtime, clock: StandingClock) -> None:
    with_credentials = [add_source(parts, name, base_url="http://127.0.0.1:1") for name in ("fresh", "old", "off")]
    add_source(parts, "without")
    fresh, old, off = with_credentials
    with parts.database.write() as connection:
        sources.change(connection, off.id, enabled=False)
    fetched(parts, old, "{}")
    clock.forward(100)
    fetched(parts, fresh, "{}")

    def in_want() -> list[str]:
        with parts.database.read() as connection:
            found = public_keys.sources_in_want(
                connection, now=clock(), older_than=timedelta(seconds=50), pause=timedelta(seconds=10)
            )
        return [found_source.name for found_source in found]

    assert in_want() == ["old"]
    want(parts, fresh)
    assert in_want() == ["old"]
    clock.forward(11)
    assert sorted(in_want()) == ["fresh", "old"]
