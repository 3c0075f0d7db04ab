"""What all processes share of the way into a bank: one token, one budget of requests, one set of public keys."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from conftest import StandingClock, add_source
from sqlalchemy import select, update

from receiver.runtime import Runtime
from receiver.store import bank_sessions, sources
from receiver.store.bank_sessions import StoredKeys, StoredToken
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, table_of

WINDOW = timedelta(seconds=60)
FETCHING = timedelta(seconds=45)
LIMIT = 3

_tokens = table_of(BankToken)


def claim(parts: Runtime, source: SourceRecord) -> bool:
    now = parts.clock()
    with parts.database.write() as connection:
        return bank_sessions.claim_fetching(connection, source.id, now=now, until=now + FETCHING)


def put(parts: Runtime, source: SourceRecord, text: str) -> None:
    with parts.database.write() as connection:
        bank_sessions.put_token(connection, parts.encryption, source, text, parts.clock() + WINDOW)


def stored(parts: Runtime, source: SourceRecord) -> StoredToken | None:
    with parts.database.read() as connection:
        return bank_sessions.token(connection, parts.encryption, source)


def take(parts: Runtime, source: SourceRecord) -> datetime:
    with parts.database.write() as connection:
        return bank_sessions.take_request(connection, source.id, now=parts.clock(), limit=LIMIT, window=WINDOW)


def seconds_to_wait(parts: Runtime, source: SourceRecord) -> float:
    return (take(parts, source) - parts.clock()).total_seconds()


def test_a_token_is_shared_sealed(parts: Runtime, source: SourceRecord) -> None:
    assert stored(parts, source) is None
    claim(parts, source)
    put(parts, source, "bank-token-1")
    found = stored(parts, source)
    assert found is not None
    assert (found.text, found.expires_at) == ("bank-token-1", parts.clock() + WINDOW)
    assert "bank-token-1" not in repr(found)
    with parts.database.read() as connection:
        assert b"bank-token-1" not in connection.execute(select(_tokens.c.sealed)).scalar_one()


def test_of_many_that_want_a_token_one_fetches_it(parts: Runtime, source: SourceRecord) -> None:
    start = threading.Barrier(8)

    def want(_: int) -> bool:
        start.wait(60)
        return claim(parts, source)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(want, range(8))) == [False] * 7 + [True]


def test_who_fetches_and_does_not_come_back_is_replaced(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    assert claim(parts, source)
    clock.forward(FETCHING.total_seconds() - 1)
    assert not claim(parts, source)
    clock.forward(1)
    assert claim(parts, source)


def test_a_failed_fetch_lets_another_try_at_once(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    with parts.database.write() as connection:
        bank_sessions.end_fetching(connection, source.id)
    assert claim(parts, source)


def test_a_refused_token_is_forgotten(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    put(parts, source, "first")
    with parts.database.write() as connection:
        bank_sessions.drop_token(connection, parts.encryption, source, "first")
    assert stored(parts, source) is None


def test_a_refused_token_that_was_replaced_already_takes_nothing_with_it(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    put(parts, source, "second")
    with parts.database.write() as connection:
        bank_sessions.drop_token(connection, parts.encryption, source, "first")
    found = stored(parts, source)
    assert found is not None
    assert found.text == "second"


def test_a_token_stored_while_the_refused_one_is_dropped_stays(parts: Runtime, source: SourceRecord) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    claim(parts, source)
    put(parts, source, "first")
    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            bank_sessions.put_token(connection, parts.encryption, source, "second", parts.clock() + WINDOW)
            dropping = pool.submit(drop, parts, source, "first")
            with pytest.raises(TimeoutError):
                dropping.result(0.3)
        dropping.result(60)
    found = stored(parts, source)
    assert found is not None
    assert found.text == "second"


def drop(parts: Runtime, source: SourceRecord, text: str) -> None:
    with parts.database.write() as connection:
        bank_sessions.drop_token(connection, parts.encryption, source, text)


def test_a_token_moved_to_another_source_does_not_open(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other")
    for owner, text in ((source, "mine"), (other, "theirs")):
        claim(parts, owner)
        put(parts, owner, text)
    with parts.database.write() as connection:
        moved = connection.execute(select(_tokens.c.sealed).where(_tokens.c.source_id == other.id)).scalar_one()
        connection.execute(update(_tokens).where(_tokens.c.source_id == source.id).values(sealed=moved))
    with pytest.raises(DecryptionFailed):
        stored(parts, source)


def test_a_window_takes_so_many_requests_and_says_when_the_next_one_starts(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
    clock.forward(20)
    assert seconds_to_wait(parts, source) == 40
    clock.forward(39)
    assert seconds_to_wait(parts, source) == 1
    clock.forward(1)
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
    assert seconds_to_wait(parts, source) == 60


def test_a_window_starts_with_its_first_request(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    take(parts, source)
    clock.forward(90)
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT
    clock.forward(59)
    assert seconds_to_wait(parts, source) == 1


def test_processes_at_once_do_not_overdraw_the_budget(parts: Runtime, source: SourceRecord) -> None:
    now = parts.clock()
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: take(parts, source), range(24)))
    assert given.count(now) == LIMIT
    assert set(given) == {now, now + WINDOW}


def test_sources_have_budgets_of_their_own(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other")
    for _ in range(LIMIT):
        take(parts, source)
    assert seconds_to_wait(parts, other) == 0


def test_no_request_is_made_until_the_bank_said(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    take(parts, source)
    with parts.database.write() as connection:
        bank_sessions.block_requests(connection, source.id, clock() + timedelta(seconds=200))
    clock.forward(199)
    assert seconds_to_wait(parts, source) == 1
    clock.forward(1)
    assert [seconds_to_wait(parts, source) for _ in range(LIMIT)] == [0] * LIMIT


def test_new_credentials_forget_the_token_and_the_block(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    claim(parts, source)
    put(parts, source, "first")
    take(parts, source)
    with parts.database.write() as connection:
        bank_sessions.block_requests(connection, source.id, clock() + WINDOW)
        bank_sessions.forget(connection, source.id)
    assert stored(parts, source) is None
    assert seconds_to_wait(parts, source) == 0


def keys(parts: Runtime, source: SourceRecord) -> StoredKeys:
    with parts.database.read() as connection:
        return bank_sessions.public_keys(connection, parts.encryption, source)


def want(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        bank_sessions.want_public_keys(connection, source.id, parts.clock())


def fetched(parts: Runtime, source: SourceRecord, jwks: str | None, error: str | None = None) -> None:
    with parts.database.write() as connection:
        bank_sessions.put_public_keys(connection, parts.encryption, source, parts.clock(), jwks=jwks, error=error)


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
            found = bank_sessions.sources_in_want_of_keys(
                connection, now=clock(), older_than=timedelta(seconds=50), pause=timedelta(seconds=10)
            )
        return [found_source.name for found_source in found]

    assert in_want() == ["old"]
    want(parts, fresh)
    assert in_want() == ["old"]
    clock.forward(11)
    assert sorted(in_want()) == ["fresh", "old"]


def test_nobody_fetches_a_token_where_another_process_has_just_stored_one(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    put(parts, source, "bank-token-1")
    # This process looked for a token before it was stored, and claims only now.
    assert not claim(parts, source)


def test_a_token_that_has_expired_may_be_fetched_anew(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    claim(parts, source)
    put(parts, source, "bank-token-1")
    clock.forward(WINDOW.total_seconds())
    assert claim(parts, source)


def test_a_stored_token_ends_the_fetching_and_is_replaced_on_purpose(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    put(parts, source, "bank-token-1")
    now = parts.clock()
    with parts.database.write() as connection:
        assert bank_sessions.claim_fetching(
            connection, source.id, now=now, until=now + FETCHING, in_place_of_a_good_one=True
        )
