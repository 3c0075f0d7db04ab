"""A way into one source's bank: one token for all processes, one request budget, one retry after a 401."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from receiver import banks
from receiver.banks.abilities import PresentsCertificate
from receiver.banks.errors import BankError, RateLimited, TokenRefused
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Bank
from receiver.banks.tls import ClientCertificate
from receiver.model import ReceiverError
from receiver.runtime import Runtime
from receiver.store import bank_sessions, credential_changes, sources
from receiver.store.bank_sessions import StoredToken
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

TOKEN_MARGIN = timedelta(seconds=60)
"""A token is replaced this long before it ends, or at nine tenths of its life where that is shorter."""

FETCHING = timedelta(seconds=45)
"""Longer than the time-outs of one token request; after it another process tries."""

POLL_SECONDS = 0.2

CHANGING = timedelta(seconds=2)
"""How long a question waits for new credentials that will be here at once ..."""

STUCK = timedelta(seconds=15)
"""... and for those whose change did not come off at the first try."""

Asked = TypeVar("Asked")


class CredentialsMissing(BankError):
    """The source has no API credentials."""

    outcome = "no_credentials"


class BudgetSpent(ReceiverError):
    """The bank takes no more requests in this window; `until` says when the next one starts."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"no request to the bank before {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class CredentialsChanging(BudgetSpent):
    """The credentials are being changed at the bank, and the new ones are not known here yet."""

    def __init__(self, until: datetime) -> None:
        Exception.__init__(self, "its API credentials are being changed; not asked meanwhile")
        self.until = until


class BankSession:
    """Asks one source's bank; any number of threads and processes may, they share what the bank counts."""

    def __init__(self, runtime: Runtime, source: SourceRecord) -> None:
        self._database = runtime.database
        self._encryption = runtime.encryption
        self._source = source
        self._clock = runtime.clock
        self.bank: Bank = banks.named(source.bank)
        self._base_url = source.base_url or self.bank.hosts.get(source.environment, "")

    def ask(self, question: Callable[[HttpClient], Asked]) -> Asked:
        """Put a question with a valid token; on a 401 fetch one new token and ask once more.

        Raises:
            BankError
            BudgetSpent: also while the credentials are being changed, and are not taken therefore.
            StoreUnavailable
            DecryptionFailed
        """
        self._stop_while_stuck()
        with self._heeding_limits():
            try:
                return self._ask_once(question)
            except TokenRefused:
                if not self.bank.renews_tokens:
                    raise
                log.info("the bank of %s refused the token; asking again with a new one", self._source.name)
            try:
                return self._ask_once(question)
            except TokenRefused:
                self._stop_while_changing()
                raise

    def ask_with(self, token: str, question: Callable[[HttpClient], Asked]) -> Asked:
        """Put a question with this token, which all others need not know of.

        Raises:
            BankError
            BudgetSpent
            StoreUnavailable
        """
        with self._heeding_limits(), self._connected(self._base_url, token) as connection:
            return question(connection)

    def log_in(self) -> str:
        """Fetch a token with the stored credentials for oneself.

        Raises:
            BankError: `TokenRefused` where the credentials are dead.
            BudgetSpent
            StoreUnavailable
            DecryptionFailed
        """
        with self._heeding_limits():
            return self._new_token().text

    @contextmanager
    def _heeding_limits(self) -> Iterator[None]:
        try:
            yield
        except RateLimited as limited:
            until = self._clock() + limited.wait
            with self._database.write() as connection:
                bank_sessions.block_requests(connection, self._source.id, until)
            raise

    def _stop_while_stuck(self) -> None:
        """Spend no requests on dead credentials: they are needed to finish the change."""
        with self._database.read() as connection:
            change = credential_changes.pending(connection, self._source.id)
        if change is not None and change.attempts > 1:
            raise CredentialsChanging(self._clock() + STUCK)

    def _stop_while_changing(self) -> None:
        now = self._clock()
        with self._database.read() as connection:
            is_changing = credential_changes.secrets_may_be_newer(connection, self._source.id, now)
        if is_changing:
            raise CredentialsChanging(now + CHANGING)

    def _ask_once(self, question: Callable[[HttpClient], Asked]) -> Asked:
        token = self._token()
        with self._connected(self._base_url, token) as connection:
            try:
                return question(connection)
            except TokenRefused:
                with self._database.write() as transaction:
                    bank_sessions.drop_token(transaction, self._encryption, self._source.id, token)
                raise

    @contextmanager
    def _connected(self, url: str, token: str | None = None) -> Iterator[HttpClient]:
        options = self._source.options
        connection = HttpClient(
            url,
            clock=self._clock,
            before_request=self._take_request,
            token=token,
            authorization=None if token is None else self.bank.authorization(token, options),
            options=options,
            certificate=self.certificate(),
        )
        try:
            yield connection
        finally:
            connection.close()

    def certificate(self) -> ClientCertificate | None:
        """Return the client certificate that the bank wants; none where it wants none.

        Raises:
            CredentialsMissing
            CertificateUnusable
            StoreUnavailable
            DecryptionFailed
        """
        return self.bank.certificate(self._credentials()) if isinstance(self.bank, PresentsCertificate) else None

    def _credentials(self) -> dict[str, str]:
        with self._database.read() as connection:
            found = sources.credentials(connection, self._encryption, self._source.id)
        if found is None:
            raise CredentialsMissing(f"source {self._source.name} has no API credentials")
        return found

    def _authorization_url(self) -> str:
        return self.bank.authorization_url(self._source.environment, self._source.base_url, self._source.options)

    def _take_request(self) -> None:
        limit = int(self._source.options.get("requests_per_window", self.bank.requests))
        window = timedelta(seconds=self.bank.window_seconds)
        now = self._clock()
        with self._database.write() as connection:
            when = bank_sessions.take_request(connection, self._source.id, now=now, limit=limit, window=window)
        if when > now:
            raise BudgetSpent(when)

    def authorize(self) -> None:
        """Fetch a new token, however good the shared one is: to see that the bank gives one.

        Raises:
            BankError
            BudgetSpent
            StoreUnavailable
            DecryptionFailed
        """
        self._token(is_new=True)

    def _token(self, *, is_new: bool = False) -> str:
        """Return the shared token; where there is none, fetch one, or wait for the process that is at it."""
        give_up = self._clock() + FETCHING
        while True:
            now = self._clock()
            with self._database.read() as connection:
                stored = bank_sessions.token(connection, self._encryption, self._source.id)
            if stored is not None and now < stored.expires_at and not is_new:
                return stored.text
            with self._database.write() as connection:
                mine = bank_sessions.claim_fetching(
                    connection, self._source.id, now=now, until=now + FETCHING, in_place_of_a_good_one=is_new
                )
            if mine:
                return self._fetch_token().text
            if now > give_up:
                raise TokenRefused("another process has been fetching a token for too long")
            time.sleep(POLL_SECONDS)

    def _fetch_token(self) -> StoredToken:
        try:
            token = self._new_token()
        except BaseException as error:
            with self._database.write() as connection:
                if isinstance(error, RateLimited):
                    # Before the next process may fetch: it would ask a bank that has just said not to.
                    bank_sessions.block_requests(connection, self._source.id, self._clock() + error.wait)
                bank_sessions.end_fetching(connection, self._source.id)
            raise
        with self._database.write() as connection:
            bank_sessions.put_token(connection, self._encryption, self._source.id, token.text, token.expires_at)
        return token

    def _new_token(self) -> StoredToken:
        credentials = self._credentials()
        with self._connected(self._authorization_url()) as way:
            text, ends = self.bank.new_token(way, credentials)
        now = self._clock()
        life = (ends - now) if ends is not None else timedelta(seconds=self.bank.token_seconds)
        return StoredToken(text, now + max(life - min(TOKEN_MARGIN, life / 10), timedelta(0)))
