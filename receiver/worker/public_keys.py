"""Fetching the banks' public keys ahead, so that the callback path calls no bank."""

import logging
from datetime import timedelta

from receiver import banks
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.errors import BankError
from receiver.runtime import Runtime
from receiver.store import bank_sessions
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

FETCHED_EVERY = timedelta(hours=24)
TRIED_EVERY = timedelta(seconds=20)
"""So a callback that waits for a key is answered within a bank's first retries, at a bearable cost in requests."""


def refresh(runtime: Runtime) -> int:
    """Fetch the public keys of all sources that want them; return how many were tried.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.read() as connection:
        wanting = bank_sessions.sources_in_want_of_keys(
            connection, older_than=now - FETCHED_EVERY, tried_before=now - TRIED_EVERY
        )
    wanting = [source for source in wanting if banks.named(source.bank).publishes_keys]
    for source in wanting:
        _fetch(runtime, source)
    return len(wanting)


def _fetch(runtime: Runtime, source: SourceRecord) -> None:
    session = BankSession(runtime, source)
    jwks: str | None = None
    error: str | None = None
    try:
        jwks = session.ask(session.bank.fetch_public_keys)
    except (BankError, BudgetSpent) as failure:
        error = str(failure)
        log.warning("no public keys for %s: %s", source.name, failure)
    with runtime.database.write() as connection:
        bank_sessions.put_public_keys(connection, source.id, runtime.clock(), jwks=jwks, error=error)
