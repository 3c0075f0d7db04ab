"""What proves a source's callbacks, as it is stored at this moment."""

from datetime import datetime

from sqlalchemy import Connection

from receiver.banks.bank import Profile
from receiver.store import bank_access, signing_secrets, sources
from receiver.store.bank_access import StoredKeys
from receiver.store.sealing import Sealer
from receiver.store.sources import SourceRecord


def profile_of(
    connection: Connection, sealer: Sealer, source: SourceRecord, now: datetime
) -> tuple[Profile, StoredKeys]:
    """Return a source's options and valid keys, and what is known of its public keys.

    Raises:
        SealBroken
    """
    secrets = signing_secrets.valid(connection, sealer, source.id, now)
    keys = bank_access.public_keys(connection, source.id)
    longer_names = sources.names_starting(connection, source.name)
    versions = [(str(secret.version), secret.text) for secret in secrets]
    return Profile(source.name, source.options, versions, keys.jwks, longer_names, source.environment), keys
