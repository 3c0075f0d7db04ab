"""What every process of the receiver starts from: settings, database, sealer and clock, put together once."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from receiver import banks
from receiver.inbox.inbox import Inbox, Limits
from receiver.reconcile.schedule import Schedule
from receiver.reconcile.worker import Worker
from receiver.settings import Settings, SettingsError
from receiver.signing.errors import Refusal
from receiver.store import bank_access, signing_secrets, sources
from receiver.store.database import Database
from receiver.store.sealing import Sealer

ACCEPTED = "the message-signing secret as the bank gave it"

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of every process; tests hand in others."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """The parts of one process."""

    settings: Settings
    database: Database
    sealer: Sealer
    clock: Clock = utc_now

    def inbox(self) -> Inbox:
        """Return the inbox with this process's limits."""
        settings = self.settings
        limits = Limits(settings.max_body_bytes, settings.rejected_kept, settings.rejected_body_bytes)
        return Inbox(self.database, self.sealer, self.clock, limits)

    def worker(self) -> Worker:
        """Return the worker with this process's schedule."""
        settings = self.settings
        schedule = Schedule(settings.recheck_seconds, settings.recheck_max_seconds)
        return Worker(self.database, self.sealer, self.clock, schedule, settings.lease_seconds)


def start(settings: Settings, clock: Clock = utc_now) -> Runtime:
    """Put the parts together; opens no connection yet."""
    return Runtime(settings, Database(settings.database_url), Sealer(settings.keys), clock)


def apply_environment(runtime: Runtime) -> bool:
    """Create or update the source `bcb` from `BCB_*`, where these changed since they were last applied.

    What was changed on the command line in the meantime (a rotated secret, say) is therefore never set back by a
    restart. Returns whether anything was written.

    Raises:
        SettingsError: the secret makes no key.
        StoreUnavailable
    """
    settings = runtime.settings
    given = {
        "client_id": settings.bcb_client_id,
        "client_secret": settings.bcb_client_secret.get_secret_value() if settings.bcb_client_secret else None,
        "secret": settings.bcb_message_signing_secret.get_secret_value()
        if settings.bcb_message_signing_secret
        else None,
        "base_url": settings.bcb_base_url,
    }
    if not any(given.values()):
        return False
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
    with runtime.database.read() as connection:
        known = sources.find(connection, "bcb")
    if known is not None and known.environment_digest == digest:
        return False
    with runtime.database.write() as connection:
        _apply(connection, runtime, given, digest)
    return True


def _apply(connection: Connection, runtime: Runtime, given: dict[str, str | None], digest: str) -> None:
    now = runtime.clock()
    base_url = given["base_url"]
    environment = "production" if base_url in (None, banks.named("bcb").hosts["production"]) else "sandbox"
    source = sources.find(connection, "bcb") or sources.add(
        connection, name="bcb", bank="bcb", environment=environment, base_url=base_url, options={}, now=now
    )
    sources.change(connection, source.id, environment_digest=digest, base_url=base_url or source.base_url)
    if given["client_id"] and given["client_secret"]:
        credentials = {"client_id": given["client_id"], "client_secret": given["client_secret"]}
        sources.set_credentials(connection, runtime.sealer, source.id, credentials)
        bank_access.forget(connection, source.id)
    if given["secret"]:
        try:
            banks.named("bcb").check_secret(given["secret"], source.options)
        except Refusal as refusal:
            wrong = f"BCB_MESSAGE_SIGNING_SECRET is wrong ({refusal.detail}); it takes: {ACCEPTED}"
            raise SettingsError(wrong) from None
        grace = runtime.settings.secret_grace_seconds
        signing_secrets.put(connection, runtime.sealer, source.id, given["secret"], now=now, grace_seconds=grace)
