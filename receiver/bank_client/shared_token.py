"""The access token that all processes share: one fetches it (the leader, by a lease), the others wait for it."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from receiver.banks.errors import RateLimited
from receiver.runtime import Runtime
from receiver.store import bank_tokens, request_budget
from receiver.store.bank_tokens import StoredToken
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

FETCHING = timedelta(seconds=45)
"""How long one process alone fetches a token (a lease): longer than the time-outs of one token request."""

POLL_SECONDS = 0.2
"""How often the others look whether it has one."""


class SharedToken:
    """The access token of one source: one process fetches it (the leader), all others wait and use it too."""

    def __init__(self, runtime: Runtime, source: SourceRecord, fetch: Callable[[], StoredToken]) -> None:
        """`fetch` asks the bank for a new token, and raises a `BankError` where it gives none."""
        self._database = runtime.database
        self._encryption = runtime.encryption
        self._clock = runtime.clock
        self._source = source
        self._fetch = fetch

    def get(self, *, is_new: bool = False) -> str | None:
        """Return the token; where there is none, or a new one is wanted, fetch it or wait for whoever is at it.

        None where others have been at it for longer than `FETCHING`: nobody knows yet what the bank says.

        Raises:
            BankError
            BudgetSpent
            StoreUnavailable
            DecryptionFailed
        """
        # By the process's own clock: the one that tells the date may be set meanwhile.
        give_up = time.monotonic() + FETCHING.total_seconds()
        while True:
            now = self._clock()
            stored, is_readable = self._stored()
            if stored is not None and now < stored.expires_at and not is_new:
                return stored.text
            until = now + FETCHING
            with self._database.write() as connection:
                is_leader = bank_tokens.claim_fetching(
                    connection,
                    self._source.id,
                    now=now,
                    until=until,
                    in_place_of_a_good_one=is_new or not is_readable,
                )
            if is_leader:
                return self._fetch_and_store(until)
            if time.monotonic() > give_up:
                return None
            time.sleep(POLL_SECONDS)

    def _stored(self) -> tuple[StoredToken | None, bool]:
        """Return the token that is stored, and whether it can be read; one sealed for another bank can't."""
        try:
            with self._database.read() as connection:
                return bank_tokens.token(connection, self._encryption, self._source), True
        except DecryptionFailed as error:
            log.warning("%s: %s; another one is fetched", self._source.name, error)
            return None, False

    def drop(self, token: str) -> None:
        """Forget a token that the bank refused, unless it was replaced meanwhile.

        Raises:
            StoreUnavailable
        """
        with self._database.write() as connection:
            bank_tokens.drop(connection, self._encryption, self._source, token)

    def _fetch_and_store(self, until: datetime) -> str:
        try:
            token = self._fetch()
        except BaseException as error:
            with self._database.write() as connection:
                if isinstance(error, RateLimited):
                    # Before the next process may fetch: it would ask a bank that has just said not to.
                    request_budget.block(connection, self._source.id, self._clock() + error.wait)
                bank_tokens.end_fetching(connection, self._source.id, until)
            raise
        with self._database.write() as connection:
            bank_tokens.put(connection, self._encryption, self._source, token, until)
        return token.text
