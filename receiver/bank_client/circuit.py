"""The breaker of one source's circuit: whether a question may be put to its bank, and what its outcome says of it."""

import logging
import random
from datetime import datetime, timedelta

from receiver.banks.errors import (
    AnswerUnreadable,
    BankError,
    CertificateRefused,
    Forbidden,
    NotKnown,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TokenRefused,
    Unreachable,
)
from receiver.model import Purpose
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import circuits
from receiver.store.circuits import Circuit, Entered
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

DOWN = (Unreachable, ServerFailed)
"""No answer came, or the bank says that it has failed."""

ANSWERED = (
    TokenRefused,
    Forbidden,
    NotKnown,
    RateLimited,
    RequestRefused,
    AnswerUnreadable,
    CertificateRefused,
)
"""The bank is there, whatever it says. With any other error it was not asked."""

JITTER = 0.2
"""A fifth either way, so that not all sources of a bank ask at once whether it is back."""


def longest(settings: Settings) -> timedelta:
    """Return the longest pause between two probes, chance included."""
    return timedelta(seconds=max(settings.circuit_seconds, settings.circuit_max_seconds) * (1 + JITTER))


def words_of(source: SourceRecord, found: Circuit, until: datetime) -> str:
    """Return in words why no question is put before `until` (UTC)."""
    at = f"{until:%Y-%m-%d %H:%M:%S} UTC"
    if found.opened_at is None:
        return f"the bank of {source.name} is just back, and asked little by little: no question before {at}"
    since = f"{found.opened_at:%Y-%m-%d %H:%M:%S} UTC"
    if until == found.probing_until:
        return f"the bank of {source.name} is down since {since} ({found.error}): it is being tried just now, till {at}"
    return f"the bank of {source.name} is down since {since} ({found.error}): it is tried at {at}"


class Breaker:
    """Watches one source's circuit; any number of threads and processes may, since they share it."""

    def __init__(self, runtime: Runtime, source: SourceRecord, purpose: Purpose) -> None:
        """Take what the questions are for: a person's is not put off by the pause between two probes."""
        self._database = runtime.database
        self._clock = runtime.clock
        self._settings = runtime.settings
        self._source = source
        self._is_person = purpose == Purpose.PERSON

    def enter(self) -> Entered:
        """Let a question through, or say when to come back.

        Raises:
            StoreUnavailable
        """
        now, most = self._clock(), longest(self._settings)
        with self._database.read() as connection:
            found = circuits.find(connection, self._source.id)
        if found.opened_at is None and found.room(now) is None:
            return Entered()
        with self._database.write() as connection:
            return circuits.enter(connection, self._source.id, now=now, longest=most, is_person=self._is_person)

    def words(self, until: datetime) -> str:
        """Return in words why no question is put before `until` (UTC).

        Raises:
            StoreUnavailable
        """
        return words_of(self._source, self._found(), until)

    def note(self, error: BaseException | None, probe: datetime | None) -> None:
        """Note what came of a question that was let through, an error or none; `probe` is what `enter` said of it.

        Raises:
            StoreUnavailable
        """
        if isinstance(error, DOWN):
            self._fail(error, probe)
        elif error is None or isinstance(error, ANSWERED):
            self._succeed()
        elif probe is not None:
            with self._database.write() as connection:
                circuits.leave(connection, self._source.id, probe)

    def _fail(self, error: BankError, probe: datetime | None) -> None:
        settings = self._settings
        chance = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        first, last = (
            timedelta(seconds=seconds * chance)
            for seconds in (settings.circuit_seconds, max(settings.circuit_seconds, settings.circuit_max_seconds))
        )
        with self._database.write() as connection:
            has_opened = circuits.fail(
                connection,
                self._source.id,
                now=self._clock(),
                most=settings.circuit_failures,
                pauses=(first, last),
                error=str(error),
                probe=probe,
            )
        if has_opened:
            log.warning("the bank of %s is down, and not asked until it is back: %s", self._source.name, error)

    def _succeed(self) -> None:
        if self._found().is_calm:
            return
        with self._database.write() as connection:
            has_closed = circuits.succeed(connection, self._source.id, now=self._clock())
        if has_closed:
            log.warning("the bank of %s is back", self._source.name)

    def _found(self) -> Circuit:
        with self._database.read() as connection:
            return circuits.find(connection, self._source.id)
