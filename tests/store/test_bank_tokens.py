"""The token that all processes share: one of them fetches it, and it opens at its own source alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import StandingClock, add_source
from sqlalchemy import select, update

from receiver.bank_client.shared_token import FETCHING, SharedToken
from receiver.runtime import Runtime
from receiver.store import bank_tokens, request_budget
from receiver.store.bank_tokens import StoredToken
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, table_of

WINDOW = timedelta(seconds=60)
LIMIT = 3

_tokens = table_of(BankToken)


def claim(parts: Runtime, source: SourceRecord) -> bool:
    now = parts.clock()
    with parts.database.write() as connection:
        return bank_tokens.claim_fetching(connection, source.id, now=now, until=now + FETCHING)


def put(parts: Runtime, source: SourceRecord, text: str) -> None:
    with parts.database.write() as connection:
        bank_tokens.put(connection, parts.encryption, source, fetched(parts, text), parts.clock() + FETCHING)


def fetched(parts: Runtime, text: str) -> StoredToken:
    return StoredToken(text, parts.clock() + WINDOW)


def start_anew(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        bank_tokens.start_anew(connection, source.id)


def stored(parts: Runtime, source: SourceRecord) -> StoredToken | None:
    with parts.database.read() as connection:
        return bank_tokens.token(connection, parts.encryption, source)


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
        bank_tokens.end_fetching(connection, source.id, parts.clock() + FETCHING)
    assert claim(parts, source)


def test_a_fetch_that_fails_too_late_leaves_the_one_that_has_followed_alone(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    until = clock() + FETCHING
    assert claim(parts, source)
    clock.forward(FETCHING.total_seconds())
    assert claim(parts, source)
    with parts.database.write() as connection:
        bank_tokens.end_fetching(connection, source.id, until)
    assert not claim(parts, source)


@pytest.mark.parametrize("is_anew", [False, True])
def test_a_token_that_comes_after_its_lease_is_used_and_not_stored(
    parts: Runtime, source: SourceRecord, clock: StandingClock, *, is_anew: bool
) -> None:
    def overtaken() -> StoredToken:
        pass_on(parts, source, clock, is_anew=is_anew)
        assert SharedToken(parts, source, lambda: fetched(parts, "newer")).get() == "newer"
        return fetched(parts, "older")

    assert SharedToken(parts, source, overtaken).get() == "older"
    found = stored(parts, source)
    assert found is not None
    assert found.text == "newer"


@pytest.mark.parametrize("is_anew", [False, True])
def test_a_token_that_comes_after_its_lease_leaves_the_one_that_has_followed_alone(
    parts: Runtime, source: SourceRecord, clock: StandingClock, *, is_anew: bool
) -> None:
    def overtaken() -> StoredToken:
        pass_on(parts, source, clock, is_anew=is_anew)
        assert claim(parts, source)
        return fetched(parts, "older")

    assert SharedToken(parts, source, overtaken).get() == "older"
    assert stored(parts, source) is None
    assert not claim(parts, source)
    put(parts, source, "newer")
    assert stored(parts, source) == fetched(parts, "newer")


def pass_on(parts: Runtime, source: SourceRecord, clock: StandingClock, *, is_anew: bool) -> None:
    """Have the next process take the lease of fetching: it has run out, or the credentials have changed."""
    if is_anew:
        clock.forward(1)
        start_anew(parts, source)
    else:
        clock.forward(FETCHING.total_seconds())


def test_a_refused_token_is_forgotten(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    put(parts, source, "first")
    with parts.database.write() as connection:
        bank_tokens.drop(connection, parts.encryption, source, "first")
    assert stored(parts, source) is None


def test_a_refused_token_that_was_replaced_already_takes_nothing_with_it(parts: Runtime, source: SourceRecord) -> None:
    claim(parts, source)
    put(parts, source, "second")
    with parts.database.write() as connection:
        bank_tokens.drop(connection, parts.encryption, source, "first")
    found = stored(parts, source)
    assert found is not None
    assert found.text == "second"


def test_a_token_stored_while_the_refused_one_is_dropped_stays(parts: Runtime, source: SourceRecord) -> None:
    if parts.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    claim(parts, source)
    put(parts, source, "first")
    with ThreadPoolExecutor(1) as pool:
        now = parts.clock()
        with parts.database.write() as connection:
            bank_tokens.claim_fetching(
                connection, source.id, now=now, until=now + FETCHING, in_place_of_a_good_one=True
            )
            bank_tokens.put(connection, parts.encryption, source, fetched(parts, "second"), now + FETCHING)
            dropping = pool.submit(drop, parts, source, "first")
            with pytest.raises(TimeoutError):
                dropping.result(0.3)
        dropping.result(60)
    found = stored(parts, source)
    assert found is not None
    assert found.text == "second"


def drop(parts: Runtime, source: SourceRecord, text: str) -> None:
    with parts.database.write() as connection:
        bank_tokens.drop(connection, parts.encryption, source, text)


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


def test_new_credentials_forget_the_token_and_the_block(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    claim(parts, source)
    put(parts, source, "first")
    with parts.database.write() as connection:
        request_budget.take(connection, source.id, now=clock(), limit=LIMIT, window=WINDOW)
        request_budget.block(connection, source.id, clock() + WINDOW)
        bank_tokens.start_anew(connection, source.id)
    assert stored(parts, source) is None
    with parts.database.read() as connection:
        found = request_budget.budget(connection, source.id, now=clock(), limit=LIMIT, window=WINDOW)
    assert (found.left, found.blocked_until) == (LIMIT - 1, None)


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
        assert bank_tokens.claim_fetching(
            connection, source.id, now=now, until=now + FETCHING, in_place_of_a_good_one=True
        )
