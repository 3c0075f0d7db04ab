"""The source `bcb` as the environment sets it: `BCB_CLIENT_ID`, `BCB_CLIENT_SECRET` and their like."""

import hashlib
import hmac
import json
from collections.abc import Mapping

from pydantic import SecretStr
from sqlalchemy import Connection

from receiver import banks
from receiver.runtime import Runtime
from receiver.settings import Settings, SettingsError
from receiver.signing.errors import Refusal
from receiver.store import bank_sessions, signing_secrets, sources
from receiver.store.database import StoreUnavailable

NAME = "bcb"


def apply(runtime: Runtime) -> bool:
    """Create or update the source `bcb`, where its variables changed since they were last applied.

    What was changed on the command line in the meantime (a rotated secret, say) is therefore never set back by a
    restart. Returns whether anything was written.

    Raises:
        SettingsError: the secret makes no key.
        StoreUnavailable
    """
    given = _given(runtime.settings)
    if not any(given.values()):
        return False
    digests = [_digest(key, given) for key in runtime.settings.keys]
    with runtime.database.read() as connection:
        known = sources.find(connection, NAME)
    if known is not None and known.environment_digest in digests:
        if known.environment_digest != digests[0]:
            with runtime.database.write() as connection:
                renew_digest(connection, runtime.settings)
        return False
    try:
        with runtime.database.write() as connection:
            _apply(connection, runtime, given, digests[0])
    except StoreUnavailable:
        # Of several processes that start together, on PostgreSQL, one may have been first.
        with runtime.database.read() as connection:
            known = sources.find(connection, NAME)
        if known is None or known.environment_digest != digests[0]:
            raise
        return False
    return True


def renew_digest(connection: Connection, settings: Settings) -> None:
    """Make the digest anew with the newest key.

    Else the variables would seem to have changed once the key that made it is dropped, and would be applied again,
    over what was rotated since.
    """
    given = _given(settings)
    known = sources.find(connection, NAME)
    digests = [_digest(key, given) for key in settings.keys]
    if known is not None and known.environment_digest in digests:
        sources.change(connection, known.id, environment_digest=digests[0])


def _given(settings: Settings) -> dict[str, str | None]:
    return {
        "client_id": settings.bcb_client_id,
        "client_secret": _text(settings.bcb_client_secret),
        "secret": _text(settings.bcb_message_signing_secret),
        "base_url": settings.bcb_base_url,
    }


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value().strip() if secret is not None else None


def _digest(key: str, given: Mapping[str, str | None]) -> str:
    """With a key, so that nobody who reads the database can try secrets against it."""
    return hmac.new(key.encode(), json.dumps(given, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _apply(connection: Connection, runtime: Runtime, given: Mapping[str, str | None], digest: str) -> None:
    now = runtime.clock()
    bank = banks.named("bcb")
    base_url = given["base_url"]
    environment = "production" if base_url in (None, bank.hosts["production"]) else "sandbox"
    source = sources.find(connection, NAME) or sources.add(
        connection, name=NAME, bank="bcb", environment=environment, base_url=base_url, options={}, now=now
    )
    sources.change(connection, source.id, environment_digest=digest, base_url=base_url or source.base_url)
    if given["client_id"] and given["client_secret"]:
        credentials = {"client_id": given["client_id"], "client_secret": given["client_secret"]}
        sources.set_credentials(connection, runtime.encryption, source.id, credentials)
        bank_sessions.forget(connection, source.id)
    if given["secret"]:
        try:
            bank.check_secret(given["secret"], source.options)
        except Refusal as refusal:
            accepted = "the message-signing secret as the bank gave it"
            wrong = f"BCB_MESSAGE_SIGNING_SECRET is wrong ({refusal.detail}); it takes: {accepted}"
            raise SettingsError(wrong) from None
        grace = runtime.settings.secret_grace_seconds
        signing_secrets.put(connection, runtime.encryption, source.id, given["secret"], now=now, grace_seconds=grace)
