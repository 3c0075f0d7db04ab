"""What is known of the sources, cached for a second: callbacks look it up thousands of times in one."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.callback import Carried, Profile
from receiver.banks.protocol import Bank
from receiver.runtime import Runtime
from receiver.store import public_keys, signing_secrets, sources
from receiver.store.database import ANSWER_SECONDS, StoreUnavailable
from receiver.store.encryption import Encryption
from receiver.store.public_keys import StoredKeys
from receiver.store.sources import SourceRecord

CACHE_SECONDS = 0.8
"""A change shows in every process within a second, the time to read it anew included."""

_CACHE = timedelta(seconds=CACHE_SECONDS)


def profile_of(
    connection: Connection, encryption: Encryption, source: SourceRecord, now: datetime
) -> tuple[Profile, StoredKeys]:
    """Return a source's options and valid keys, and what is known of its public keys.

    Raises:
        DecryptionFailed
    """
    secrets = signing_secrets.valid(connection, encryption, source.id, now)
    keys = public_keys.stored(connection, encryption, source)
    longer_names = sources.names_starting(connection, source.name)
    versions = [(str(secret.version), secret.text) for secret in secrets]
    return Profile(source.name, source.options, versions, keys.jwks, longer_names, source.environment), keys


def whole_profile(connection: Connection, encryption: Encryption, source: SourceRecord) -> Profile:
    """Return a source with every version of its secret, expired ones too: what was sealed or signed then is read.

    Raises:
        DecryptionFailed
    """
    keys = public_keys.stored(connection, encryption, source)
    opened = signing_secrets.every(connection, encryption, source.id)
    secrets = [(str(secret.version), secret.text) for secret in opened]
    return Profile(source.name, source.options, secrets, keys.jwks, environment=source.environment)


class SourceUnknown(Exception):
    """No enabled source has this name."""


@dataclass(frozen=True)
class KnownSource:
    """A source, and what proves its callbacks, as they were read at `read_at`."""

    source: SourceRecord
    bank: Bank
    carried: Carried
    """Where its callbacks carry a token in the clear."""
    profile: Profile
    keys: StoredKeys
    read_at: datetime
    read_when: float
    """By the process's own clock, in seconds."""


class SourceCache:
    """The sources of a database; any number of threads may ask."""

    def __init__(self, runtime: Runtime, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = runtime.database
        self._encryption = runtime.encryption
        self._timer = timer
        self._known: dict[str, KnownSource] = {}
        self._names: tuple[frozenset[str], float] = (frozenset(), float("-inf"))
        self._reading = threading.Lock()
        self._failed_when = float("-inf")

    def find(self, name: str, now: datetime) -> KnownSource:
        """Return what is known of an enabled source.

        Raises:
            SourceUnknown
            StoreUnavailable
            DecryptionFailed
        """
        found = self._fresh(name, now)
        if found is None:
            came_when = self._timer()
            # One thread reads, the others find what it has read.
            with self._reading:
                found = self._read_meanwhile(name, came_when) or self._fresh(name, now) or self._read(name, now)
        if not found.source.enabled:
            raise SourceUnknown(name)
        return found

    def knew(self, name: str) -> bool:
        """Tell whether there was a source of this name when they were last read; asks nothing."""
        return name in self._names[0]

    def forget(self, name: str) -> None:
        """Read a source anew when it is asked for next."""
        self._known.pop(name, None)

    def _fresh(self, name: str, now: datetime) -> KnownSource | None:
        found = self._known.get(name)
        if found is None:
            return None
        # By both clocks: secrets expire by the one that tells the date, and that one can be set.
        is_young = self._timer() - found.read_when < CACHE_SECONDS
        return found if is_young and abs(now - found.read_at) < _CACHE else None

    def _read_meanwhile(self, name: str, came_when: float) -> KnownSource | None:
        """Return what was read since a thread came, however long that took; it shares in the failure too.

        So nobody waits for one slow reading, or one time-out, after the other.

        Raises:
            StoreUnavailable
        """
        if self._failed_when >= came_when:
            raise StoreUnavailable("the sources could not be read")
        found = self._known.get(name)
        return found if found is not None and found.read_when > came_when else None

    def _read(self, name: str, now: datetime) -> KnownSource:
        try:
            return self._read_anew(name, now)
        except StoreUnavailable:
            self._failed_when = self._timer()
            raise

    def _read_anew(self, name: str, now: datetime) -> KnownSource:
        self._check_name(name)
        read_when = self._timer()
        with self._database.read(ANSWER_SECONDS) as connection:
            source = sources.find(connection, name)
            if source is None:
                self._known.pop(name, None)
                raise SourceUnknown(name)
            profile, keys = profile_of(connection, self._encryption, source, now)
        known = _known(source, profile, keys, now, read_when)
        self._known[name] = known
        return known

    def _check_name(self, name: str) -> None:
        """Turn away names that there are not without asking the database for each: anybody can make them up.

        Raises:
            SourceUnknown
            StoreUnavailable
        """
        names, read_when = self._names
        if self._timer() - read_when >= CACHE_SECONDS:
            read_when = self._timer()
            with self._database.read(ANSWER_SECONDS) as connection:
                names = frozenset(sources.names(connection).values())
            self._names = (names, read_when)
        if name not in names:
            raise SourceUnknown(name)


def _known(
    source: SourceRecord, profile: Profile, keys: StoredKeys, read_at: datetime, read_when: float
) -> KnownSource:
    """Put together what callbacks need, so that none of it is asked for again at each of them."""
    bank = banks.named(source.bank)
    return KnownSource(
        source=source,
        bank=bank,
        carried=bank.carried(source.options),
        profile=profile,
        keys=keys,
        read_at=read_at,
        read_when=read_when,
    )
