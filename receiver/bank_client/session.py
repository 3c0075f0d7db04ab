"""Asking one source's bank: within its rate limit (budget), with the shared token, once more after a 401."""

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from receiver import banks
from receiver.bank_client.circuit import Breaker
from receiver.bank_client.shared_token import FETCHING, SharedToken
from receiver.banks import tls
from receiver.banks.abilities import PresentsCertificate
from receiver.banks.errors import BankError, RateLimited, TokenRefused
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Bank
from receiver.banks.tls import ClientCertificate
from receiver.model import CredentialChangeKind, Purpose, ReceiverError
from receiver.runtime import Runtime
from receiver.store import credential_changes, request_budget, sources
from receiver.store.bank_tokens import StoredToken
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.request_budget import Budget
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

TOKEN_MARGIN = timedelta(seconds=60)
"""A token is replaced this long before it ends, or at nine tenths of its lifetime where that is shorter."""

CHANGING = timedelta(seconds=2)
"""How long a question waits for new credentials that will be here at once ..."""

STUCK = timedelta(seconds=15)
"""... and for those whose change did not come off at the first try."""

DEADLY = (CredentialChangeKind.ROTATE, CredentialChangeKind.DISABLE)
"""The changes that kill the credentials that are stored, where it is those that they are about."""

Asked = TypeVar("Asked")


class CredentialsMissing(BankError):
    """The source has no API credentials."""

    outcome = "no_credentials"


class BudgetSpent(ReceiverError):
    """The bank takes no request until then: the limit is spent, or it has said so itself."""

    def __init__(self, until: datetime, words: str | None = None) -> None:
        super().__init__(words or f"no request to the bank before {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class CircuitOpen(BudgetSpent):
    """The bank is down, and not asked until it is back; or it is just back, and spared."""


class CredentialsChanging(BudgetSpent):
    """The credentials are being changed at the bank, and the new ones are not known here yet."""

    def __init__(self, until: datetime) -> None:
        Exception.__init__(self, "its API credentials are being changed; not asked meanwhile")
        self.until = until


class TokenAwaited(BudgetSpent):
    """Others have been fetching a token for too long: the bank was not asked, and nothing is known of it by that."""

    def __init__(self, until: datetime) -> None:
        Exception.__init__(self, "an access token is being fetched for too long; not asked meanwhile")
        self.until = until


SHARE = 5
"""A fifth of a bank's budget is left to others by what has time, and is a turn of what is read in turns."""


def rate_limit(source: SourceRecord) -> tuple[int, timedelta]:
    """Return how many requests a source's bank takes in a window, and how long that lasts."""
    bank = banks.named(source.bank)
    return int(source.options.get("requests_per_window", bank.requests)), timedelta(seconds=bank.window_seconds)


def spent_of(connection: Connection, source: SourceRecord, budget: Budget) -> dict[Purpose, int]:
    """Return what the requests of the present window were made for."""
    return request_budget.spent(connection, source.id, budget, rate_limit(source)[1])


def budget_of(connection: Connection, source: SourceRecord, now: datetime) -> Budget:
    """Return how a source stands with its bank's rate limit at `now` (UTC)."""
    limit, window = rate_limit(source)
    return request_budget.budget(connection, source.id, now=now, limit=limit, window=window)


class BankSession:
    """Asks one source's bank; any number of threads and processes may, since they share what the bank counts."""

    def __init__(
        self,
        runtime: Runtime,
        source: SourceRecord,
        purpose: Purpose = Purpose.OTHER,
        *,
        leaves_some: bool = False,
    ) -> None:
        """Ask nothing yet; `bank` says how this source's bank is asked, `purpose` what its requests are counted for.

        What `leaves_some` is swept, and never takes the last requests of a window: those are left to checks and to
        people. It may be said by the purpose too.
        """
        if leaves_some and purpose == Purpose.OTHER:
            purpose = Purpose.SWEEP
        self._leaves_some = leaves_some or purpose == Purpose.SWEEP
        self._database = runtime.database
        self._encryption = runtime.encryption
        self._clock = runtime.clock
        self._counters = runtime.counters
        self._source = source
        self._purpose = purpose
        self._breaker = Breaker(runtime, source, purpose)
        self.bank: Bank = banks.named(source.bank)
        self._base_url = source.base_url or self.bank.hosts.get(source.environment, "")
        self._token = SharedToken(runtime, source, lambda: self._new_token(self._credentials()))

    def ask(self, question: Callable[[HttpClient], Asked]) -> Asked:
        """Put a question with a valid token; where that is refused (401) fetch one new token and ask once more.

        Raises:
            BankError
            BudgetSpent: also while the credentials are being changed, and are not taken therefore; `CircuitOpen` while
                the bank is down, `TokenAwaited` where others fetch a token for too long.
            StoreUnavailable
            DecryptionFailed
        """
        self._stop_while_stuck()
        with self._through_circuit(), self._heeding_limits():
            try:
                return self._ask_with_shared(question)
            except TokenRefused:
                self._stop_while_changing()
                raise

    def ask_with(self, token: str, question: Callable[[HttpClient], Asked]) -> Asked:
        """Put a question with this token, which is not shared, and which no other takes the place of.

        Raises:
            BankError
            BudgetSpent
            StoreUnavailable
        """
        with self._heeding_limits(), self._client(self._base_url, token) as client:
            return question(client)

    def log_in(self) -> str:
        """Fetch a token with the stored credentials, and share it with nobody.

        Raises:
            BankError: `TokenRefused` where the credentials are dead.
            BudgetSpent
            StoreUnavailable
            DecryptionFailed
        """
        with self._heeding_limits():
            return self._new_token(self._credentials()).text

    def uses(self, client_id: str | None) -> bool:
        """Tell whether these are the source's own credentials, which it asks the bank with.

        Raises:
            BankError: `CredentialsMissing` where it has none.
            StoreUnavailable
            DecryptionFailed
        """
        return self._credentials().get("client_id") == client_id

    def try_out(self, credentials: Mapping[str, str]) -> None:
        """See that credentials work from here: fetch a token with them, share it with nobody, and ask one question.

        Raises:
            BankError: `TokenRefused` or `Forbidden` where they do not work, or not yet.
            BudgetSpent
            StoreUnavailable
        """
        with self._heeding_limits():
            token = self._new_token(credentials).text
            with self._client(self._base_url, token) as client:
                self.bank.clock(client)

    def authorize(self) -> None:
        """Fetch a new shared token, however good the one before is: to see that the bank gives one.

        Raises:
            BankError
            BudgetSpent
            StoreUnavailable
            DecryptionFailed
        """
        with self._through_circuit():
            self._shared(is_new=True)

    def certificate(self) -> ClientCertificate | None:
        """Return the TLS client certificate that the bank wants; none where it wants none.

        Raises:
            CredentialsMissing
            CertificateUnusable
            StoreUnavailable
            DecryptionFailed
        """
        return self.bank.certificate(self._credentials()) if isinstance(self.bank, PresentsCertificate) else None

    def _authority(self) -> ssl.SSLContext | None:
        """Return what checks the bank's own certificate, where a CA was given for that and no client certificate."""
        if not self._source.has_credentials or isinstance(self.bank, PresentsCertificate):
            return None
        try:
            with self._database.read() as connection:
                found = sources.credentials(connection, self._encryption, self._source)
        except DecryptionFailed:
            # Whoever asks with credentials is told so by them; by the public CAs no false bank is trusted.
            return None
        return tls.authority_in(found or {})

    def _ask_with_shared(self, question: Callable[[HttpClient], Asked]) -> Asked:
        if not self._source.has_credentials:
            # Where there are none, all hear it at once: else each would in its turn to fetch a token.
            self._credentials()
        token = self._shared()
        try:
            return self._ask_once(token, question)
        except TokenRefused:
            if not self.bank.renews_tokens:
                raise
            log.info("the bank of %s refused the token; asking again with a new one", self._source.name)
        return self._ask_once(self._shared(), question)

    def _shared(self, *, is_new: bool = False) -> str:
        token = self._token.get(is_new=is_new)
        if token is None:
            raise TokenAwaited(self._clock() + FETCHING)
        return token

    def _ask_once(self, token: str, question: Callable[[HttpClient], Asked]) -> Asked:
        with self._client(self._base_url, token) as client:
            try:
                return question(client)
            except TokenRefused:
                self._token.drop(token)
                raise

    def _new_token(self, credentials: Mapping[str, str]) -> StoredToken:
        with self._client(self._authorization_url()) as client:
            text, ends = self.bank.new_token(client, credentials)
        now = self._clock()
        lifetime = (ends - now) if ends is not None else timedelta(seconds=self.bank.token_seconds)
        return StoredToken(text, now + max(lifetime - min(TOKEN_MARGIN, lifetime / 10), timedelta(0)))

    def _authorization_url(self) -> str:
        return self.bank.authorization_url(self._source.environment, self._source.base_url, self._source.options)

    def _credentials(self) -> dict[str, str]:
        with self._database.read() as connection:
            found = sources.credentials(connection, self._encryption, self._source)
        if found is None:
            raise CredentialsMissing(f"source {self._source.name} has no API credentials")
        return found

    @contextmanager
    def _client(self, url: str, token: str | None = None) -> Iterator[HttpClient]:
        options = self._source.options
        client = HttpClient(
            url,
            clock=self._clock,
            before_request=self._take_request,
            after_request=partial(self._counters.asked, self._source.name),
            token=token,
            authorization=None if token is None else self.bank.authorization(token, options),
            options=options,
            certificate=self.certificate(),
            trusting=self._authority(),
        )
        try:
            yield client
        finally:
            client.close()

    def _take_request(self) -> None:
        """Take one request out of the budget that all processes share.

        Raises:
            BudgetSpent
            StoreUnavailable
        """
        limit, window = rate_limit(self._source)
        now = self._clock()
        if self._leaves_some:
            limit -= max(1, limit // SHARE)
        with self._database.write() as connection:
            when = request_budget.take(
                connection, self._source.id, now=now, limit=limit, window=window, purpose=self._purpose
            )
            words = budget_of(connection, self._source, now).hindrance(self._source.name) if when > now else None
        if when > now:
            raise BudgetSpent(when, words)

    @contextmanager
    def _through_circuit(self) -> Iterator[None]:
        """Ask nothing while the bank is down, and note by what comes of a question whether it is."""
        wait, probe = self._breaker.enter()
        if wait is not None:
            raise CircuitOpen(wait, self._breaker.words(wait))
        try:
            yield
        except BaseException as error:
            # Where the database is away the lease of a probe ends by itself.
            with suppress(StoreUnavailable):
                self._breaker.note(error, probe)
            raise
        self._breaker.note(None, probe)

    @contextmanager
    def _heeding_limits(self) -> Iterator[None]:
        """Let no process ask before the time that the bank has said (429, `Retry-After`)."""
        try:
            yield
        except BankError as error:
            # What was done only in part tells by its cause why.
            limited = next((each for each in (error, error.__cause__) if isinstance(each, RateLimited)), None)
            if limited is not None:
                with self._database.write() as connection:
                    request_budget.block(connection, self._source.id, self._clock() + limited.wait)
            raise

    def _stop_while_stuck(self) -> None:
        """Spend no requests on dead credentials: they are needed to finish the change."""
        with self._database.read() as connection:
            change = credential_changes.pending(connection, self._source.id)
        if change is None or change.kind not in DEADLY or change.attempts == 1:
            return
        if self.uses(change.client_id):
            raise CredentialsChanging(self._clock() + STUCK)

    def _stop_while_changing(self) -> None:
        now = self._clock()
        with self._database.read() as connection:
            is_changing = credential_changes.secrets_may_be_newer(connection, self._source.id, now)
        if is_changing:
            raise CredentialsChanging(now + CHANGING)
