"""Alarms to people: once for each change of what needs one, by the services of `RECEIVER_ALERT_URLS` (apprise).

Each address is told in a thread of its own, so that a service that hangs holds up neither another one nor the worker.
How far it was told is written down after each message: a kill between the two tells it once more, nothing else does.
"""

import hashlib
import logging
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from receiver.logs import ids
from receiver.model import ExceptionKind, name_to_tell
from receiver.runtime import Runtime
from receiver.settings import SettingsError, wrong
from receiver.store import alarms, exceptions
from receiver.store.database import StoreUnavailable
from receiver.store.feed import Entry
from receiver.worker.chore import is_within

log = logging.getLogger(__name__)

LOOKED_EVERY = timedelta(seconds=2)

LEASE = timedelta(minutes=2)
"""Longer than one message takes that just escapes the services' time-outs: each one that is taken renews it, and the
first failure ends it."""

NEWS_FOR = timedelta(days=1)
"""What is older than that when its service is there once more is not told: it would be a flood of old news."""

INSTALL = "pip install 'bank-callback-receiver[alerts]'"


@dataclass(frozen=True)
class Message:
    """What a person is told."""

    title: str
    body: str
    is_over: bool


class Address:
    """Where a person is told; its URL holds a password or a token, so it is called by its number alone."""

    def __init__(self, number: int, url: str, keys: Sequence[str]) -> None:
        """Take the place in the setting, the URL, and the keys for its digests, newest first.

        Raises:
            SettingsError
        """
        self.name = f"address {number} of RECEIVER_ALERT_URLS"
        self.digest, *self.digests_before = (_digest(url, key) for key in keys)
        try:
            import apprise
        except ImportError as error:
            raise SettingsError(f"RECEIVER_ALERT_URLS needs the extra alerts: {INSTALL}") from error
        # It would log addresses whole.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._service: Any = apprise.Apprise()
        if not self._service.add(url):
            raise SettingsError(wrong("alert_urls", f"number {number} is none that apprise knows"))
        # Repeated to all where one fails, it would come to the others time and again.
        if any(len(each) > getattr(each, "retry", 0) + 1 for each in self._service):
            raise SettingsError(
                wrong("alert_urls", f"number {number} has several recipients: write an address for each")
            )

    def tell(self, message: Message) -> bool:
        """Send a message; false where it was not taken."""
        kind = "success" if message.is_over else "warning"
        try:
            return bool(self._service.notify(title=message.title, body=message.body, notify_type=kind))
        except Exception as error:
            # Whatever a service's package does: what it says may hold the address.
            log.warning("%s: %s", self.name, type(error).__name__)
            return False


def _digest(url: str, key: str) -> str:
    return hashlib.blake2b(url.encode(), key=hashlib.sha256(key.encode()).digest(), digest_size=16).hexdigest()


@dataclass
class Alarms:
    """Tells people of what needs one, in each worker; those of one database take turns."""

    runtime: Runtime
    _addresses: list[Address] = field(init=False)
    _pool: ThreadPoolExecutor | None = field(default=None, init=False)
    _at_work: dict[str, "Future[bool]"] = field(default_factory=dict, init=False)
    _looked_at: datetime | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Read the addresses.

        Raises:
            SettingsError
        """
        settings = self.runtime.settings
        urls = [url.get_secret_value() for url in settings.alert_urls]
        self._addresses = [Address(number, url, settings.keys) for number, url in enumerate(urls, 1)]

    def look(self) -> int:
        """Have each address told what it was not told yet, beside the worker. Returns 0: nobody waits for it."""
        now = self.runtime.clock()
        if not self._addresses or is_within(LOOKED_EVERY, self._looked_at, now):
            return 0
        self._looked_at = now
        if self._pool is None:
            self._pool = ThreadPoolExecutor(len(self._addresses), "alarms")
        for address in self._addresses:
            before = self._at_work.get(address.digest)
            if before is None or before.done():
                self._at_work[address.digest] = self._pool.submit(self._guarded, address)
        return 0

    def wait(self) -> bool:
        """Wait until all that is under way has ended; tell whether there may be more to tell."""
        return any(future.result() for future in futures.wait(self._at_work.values()).done)

    def tell_all(self) -> None:
        """Tell each address all that it takes now, and wait for that."""
        is_more_left = True
        while is_more_left:
            self._looked_at = None
            self.look()
            is_more_left = self.wait()

    def _guarded(self, address: Address) -> bool:
        try:
            return self.tell(address)
        except StoreUnavailable:
            log.debug("the database is unavailable")
        except Exception:
            log.exception("telling %s failed", address.name)
        return False

    def tell(self, address: Address) -> bool:
        """Tell an address some of what it was not told yet; false where that was nothing, or it was not reached.

        Raises:
            StoreUnavailable
        """
        database, now = self.runtime.database, self.runtime.clock()
        with database.read() as connection:
            known = alarms.progress(connection, address.digest)
            page = alarms.left(connection, known.position) if known is not None else None
        if known is None or page is None:
            with database.write() as connection:
                alarms.begin(connection, address.digest, address.digests_before)
            return False
        if not page.entries:
            is_further = page.through > known.position
            if is_further:
                with database.write() as connection:
                    alarms.pass_over(connection, address.digest, known.position, page.through)
            return is_further
        until = now + LEASE
        with database.write() as connection:
            if not alarms.claim(connection, address.digest, known.position, now, until):
                return False
        failures = known.failures
        for entry in page.entries:
            renewed = self._tell_one(address, entry, until, failures)
            if renewed is None:
                return False
            until, failures = renewed, 0
        with database.write() as connection:
            alarms.give_back(connection, address.digest, until)
        return True

    def _tell_one(self, address: Address, entry: Entry, until: datetime, failures: int) -> datetime | None:
        """Tell an address of one change, by the lease that ends at `until`, and return the end of the renewed one.

        None where it was not reached, or another worker is at it by now.
        """
        now = self.runtime.clock()
        if now - entry.time > NEWS_FOR:
            log.warning("%s was not told of %s in time", address.name, entry.data.get("exception_id"))
        elif not address.tell(self._message(entry)):
            with self.runtime.database.write() as connection:
                retry_at = alarms.put_off(connection, address.digest, until, failures, now)
            log.warning("%s was not reached; the next try is at %s", address.name, f"{retry_at:%H:%M:%S} UTC")
            return None
        else:
            about = ids(exception=entry.data.get("exception_id"), source=entry.source, address=address.name)
            log.info("%s was told of %s", address.name, entry.data.get("exception_id"), extra=about)
        renewed = self.runtime.clock() + LEASE
        with self.runtime.database.write() as connection:
            is_ours = alarms.advance(connection, address.digest, entry.position, renewed)
        return renewed if is_ours else None

    def _message(self, entry: Entry) -> Message:
        """Return what is so, where, since when, and where to look: no payload, no amount, no words of a payer."""
        given, is_over = entry.data, entry.type == alarms.RESOLVED
        with self.runtime.database.read() as connection:
            found = exceptions.find(connection, str(given.get("exception_id")))
        kind = str(given.get("kind")).replace("_", " ")
        state = "resolved" if is_over else str(given.get("severity") or "open")
        about = str(given.get("about"))
        name = name_to_tell(about, str(given.get("about_id")))
        lines = [f"{about}{'' if name is None else f' {name}'} of {entry.source}: {kind}"]
        # What is said of amounts that differ names them both.
        has_amounts = given.get("kind") == ExceptionKind.AMOUNT_DIFFERS
        lines += [str(given["detail"])] if given.get("detail") and not has_amounts else []
        lines += [f"since {found.opened_at:%Y-%m-%d %H:%M:%S} UTC"] if found is not None else []
        lines += [f"resolved by {given['resolved_by']}"] if given.get("resolved_by") else []
        settings = self.runtime.settings
        if settings.public_url is not None:
            page = f"/staff/exceptions/{given.get('exception_id')}"
            lines.append(f"{settings.public_url}{settings.public_path_prefix}{page}")
        return Message(f"[{state}] {kind}: {entry.source}", "\n".join(lines), is_over)
