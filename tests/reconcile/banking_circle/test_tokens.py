"""Tokens of five minutes: one for all processes, and none more than the bank allows."""

from datetime import timedelta

import pytest
from banking_circle import accounts_of, asked, control
from conftest import StandingClock

from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.errors import RateLimited
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Simulator
from receiver.store import bank_tokens
from receiver.store.sources import SourceRecord


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


def test_an_expired_token_is_replaced_and_a_good_one_kept(
    simulator: Simulator, session: BankSession, clock: StandingClock
) -> None:
    for _ in range(3):
        accounts_of(session)
    assert asked(simulator, "/authorize") == 1
    clock.forward(269)
    accounts_of(session)
    assert asked(simulator, "/authorize") == 1
    clock.forward(2)
    accounts_of(session)
    assert asked(simulator, "/authorize") == 2


@pytest.mark.parametrize("expires_in", ["text", "number"])
def test_the_life_of_a_token_is_read_as_text_and_as_a_number(
    parts: Runtime, simulator: Simulator, source: SourceRecord, session: BankSession, expires_in: str
) -> None:
    control(simulator, "/options", {"expires_in": expires_in, "token_lifetime_seconds": 100}, "PATCH")
    session.authorize()
    with parts.database.read() as connection:
        stored = bank_tokens.token(connection, parts.encryption, source)
    assert stored is not None
    assert stored.expires_at == parts.clock() + timedelta(seconds=90)


def test_a_bank_that_wants_no_more_token_requests_gets_none(
    simulator: Simulator, session: BankSession, clock: StandingClock
) -> None:
    control(simulator, "/options", {"token_requests": 1, "token_window_seconds": 60}, "PATCH")
    session.authorize()
    with pytest.raises(RateLimited):
        session.authorize()
    with pytest.raises(BudgetSpent):
        session.authorize()
    assert asked(simulator, "/authorize") == 2
    clock.forward(3600)
    session.authorize()
