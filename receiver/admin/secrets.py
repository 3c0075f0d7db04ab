"""Message-signing secrets: set, list and expire their versions, and encrypt all that is secret anew."""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from receiver import banks
from receiver.admin import bcb_from_environment, sources
from receiver.credentials import outcomes
from receiver.model import NotFound, NotPossible
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import audit, credential_changes, signing_secrets
from receiver.store import sources as stored
from receiver.store.credential_changes import ChangeRecord
from receiver.store.database import retried
from receiver.store.encryption import DecryptionFailed, Encryption, reencrypt_all
from receiver.store.signing_secrets import SecretVersion, StoredSecret
from receiver.store.sources import SourceRecord


@dataclass(frozen=True)
class Secrets:
    """The versions of a source's secret, newest first, and a change at the bank that is unfinished."""

    versions: Sequence[SecretVersion]
    unfinished: ChangeRecord | None
    warning: str | None
    """What the unfinished change means, in words."""


@retried
def put(runtime: Runtime, who: str, source_name: str, text: str) -> StoredSecret:
    """Make a secret the current one and return its version; audited as `secret.set` where it was not that already.

    The one before it stays valid for the grace period. White space at both ends is dropped.

    Raises:
        NotFound
        Refusal: the text makes no key with the source's options, or one that could be guessed.
        NotPossible: another source has the same secret, and the bank's scheme does not sign the path.
        StoreUnavailable
    """
    secret = text.strip()
    grace = runtime.settings.secret_grace_seconds
    now = runtime.clock()
    with runtime.database.write() as connection:
        source = sources.in_use(connection, source_name)
        banks.named(source.bank).check_secret(secret, source.options)
        _refuse_shared(connection, runtime.encryption, source, secret, now)
        made = signing_secrets.put(connection, runtime.encryption, source.id, secret, now=now, grace_seconds=grace)
        if made.is_new:
            credential_changes.supersede(connection, source.id, now)
            about = {"source": source_name, "version": made.version}
            audit.write(connection, runtime.encryption, at=now, who=who, what="secret.set", about=about)
    return made


def _refuse_shared(
    connection: Connection, encryption: Encryption, source: SourceRecord, secret: str, now: datetime
) -> None:
    if banks.named(source.bank).signs_path:
        return
    # Two who set one secret at two sources at the same time take turns.
    stored.lock_bank(connection, source.bank)
    if others := sharing(connection, encryption, source, secret, now):
        raise NotPossible(
            f"{', '.join(others)} has the same secret: {source.bank} does not sign the path, so that each callback of "
            "the one could be sent to the other as a new one. Ask the bank for another secret"
        )


def sharing(
    connection: Connection, encryption: Encryption, source: SourceRecord, secret: str, now: datetime
) -> list[str]:
    """Return the names of other sources that take callbacks by the same secret, whether or not they are enabled.

    None where the bank's scheme signs the path, and a callback to the one is none to the other therefore.
    """
    bank = banks.named(source.bank)
    if bank.signs_path:
        return []
    material = bank.key_material(secret, source.options)
    others = [other for other in stored.every(connection) if other.bank == source.bank and other.id != source.id]
    return [other.name for other in others if _has(connection, encryption, other, material, now)]


def _has(connection: Connection, encryption: Encryption, source: SourceRecord, material: bytes, now: datetime) -> bool:
    bank, found = banks.named(source.bank), False
    try:
        secrets = signing_secrets.valid(connection, encryption, source.id, now)
    except DecryptionFailed:
        return False
    for secret in secrets:
        with suppress(Refusal):
            found |= hmac.compare_digest(bank.key_material(secret.text, source.options), material)
    return found


def listing(runtime: Runtime, source_name: str) -> Secrets:
    """Return what may be shown of a source's secrets; never the secrets themselves.

    Raises:
        NotFound
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        source = sources.named(connection, source_name)
        versions = signing_secrets.versions(connection, source.id)
        change = credential_changes.pending(connection, source.id)
    warning = outcomes.standing(source, change) if change is not None else None
    return Secrets(versions, change, warning)


@retried
def expire(runtime: Runtime, who: str, source_name: str, version: int) -> bool:
    """End one version of a secret now; audited as `secret.expired`.

    Returns whether another one is still valid; where none is, the source's callbacks get 503.

    Raises:
        NotFound
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.write() as connection:
        source = sources.in_use(connection, source_name)
        if not signing_secrets.expire(connection, source.id, version, now):
            raise NotFound(f"{source_name} has no valid secret {version}")
        about = {"source": source_name, "version": version}
        audit.write(connection, runtime.encryption, at=now, who=who, what="secret.expired", about=about)
        left = signing_secrets.versions(connection, source.id)
    return any(secret.state(now) != "expired" for secret in left)


@retried
def reencrypt(runtime: Runtime, who: str) -> int:
    """Encrypt everything secret with the newest key (key rotation); audited as `secrets.reencrypted`.

    Returns how many secrets that were. The other keys can be dropped afterwards.

    Raises:
        DecryptionFailed: no key opens one of them; nothing is changed.
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        number = reencrypt_all(connection, runtime.encryption)
        bcb_from_environment.renew_digest(connection, runtime.settings)
        about = {"number": number}
        audit.write(
            connection,
            runtime.encryption,
            at=runtime.clock(),
            who=who,
            what="secrets.reencrypted",
            about=about,
        )
    return number
