"""Moving a source: what decides where its credentials go is changed, and all that is bound to it is sealed anew."""

from typing import Any

from sqlalchemy import Connection

from receiver.store import bank_tokens, credential_changes, public_keys, sources
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.sources import SourceRecord


def locked(connection: Connection, name: str) -> SourceRecord | None:
    """Return a source as it stands now, with other writers about it waiting until the transaction ends.

    None where there is none, or another has its name since the lock was asked for.
    """
    source = sources.find(connection, name)
    if source is None:
        return None
    sources.lock(connection, source.id)
    found = sources.find(connection, name)
    return found if found is not None and found.id == source.id else None


def move(connection: Connection, encryption: Encryption, source: SourceRecord, **values: Any) -> SourceRecord:
    """Set columns of a `locked` source, such as `base_url` and `options`, and return it.

    Its credentials and the token of an unfinished change are opened by what stands in the database before the change,
    and sealed anew for what stands there afterwards. Where somebody else changed that, nothing opens, and the one thing
    that can be done is to set it back. The shared token is forgotten; the bank's public keys go on counting as
    long as the address and the environment are the same.

    Raises:
        DecryptionFailed: nothing may be kept of what the caller's transaction did.
    """
    try:
        credentials = sources.credentials(connection, encryption, source)
        change = credential_changes.pending(connection, source.id)
        token = None if change is None else credential_changes.token(encryption, source, change)
        aside = _opened_aside(connection, encryption, source)
    except DecryptionFailed:
        return _set_back(connection, encryption, source, **values)
    keys = public_keys.stored(connection, encryption, source)
    moved = _changed(connection, source, **values)
    if moved.destination == source.destination:
        return moved
    if credentials is not None:
        sources.set_credentials(connection, encryption, moved, credentials)
    if change is not None and token is not None:
        credential_changes.pin_token(connection, encryption, moved, change, token)
    for change_id, columns in aside.items():
        sealed = {name: sources.seal_credentials(encryption, moved, opened) for name, opened in columns.items()}
        credential_changes.change_values(connection, change_id, **sealed)
    is_same_bank = (moved.base_url, moved.environment) == (source.base_url, source.environment)
    public_keys.seal(connection, encryption, moved, keys.jwks if is_same_bank else None)
    bank_tokens.forget(connection, source.id)
    return moved


def _set_back(connection: Connection, encryption: Encryption, source: SourceRecord, **values: Any) -> SourceRecord:
    """Set columns, where the credentials are bound to just what these say."""
    back = _changed(connection, source, **values)
    if sources.credentials(connection, encryption, back) is None:
        raise DecryptionFailed(f"what is stored for an unfinished change of {source.name} is not bound to its bank")
    return back


def _changed(connection: Connection, source: SourceRecord, **values: Any) -> SourceRecord:
    sources.change(connection, source.id, **values)
    found = sources.find(connection, source.name)
    assert found is not None  # noqa: S101 - it is locked by this transaction
    return found


def _opened_aside(
    connection: Connection, encryption: Encryption, source: SourceRecord
) -> dict[int, dict[str, dict[str, str]]]:
    """Return the credentials that the source does not use, by change and column.

    Raises:
        DecryptionFailed
    """
    return {
        change.id: {
            name: sources.open_credentials(encryption, source, sealed)
            for name, sealed in (("made", change.made), ("previous", change.previous))
            if sealed is not None
        }
        for change in credential_changes.set_aside(connection, source.id)
    }


def vouched(connection: Connection, encryption: Encryption, source: SourceRecord) -> SourceRecord:
    """Return the source as it is to be sealed for: as it stands now, where its credentials say that it may.

    `source` is how it stood when its bank was asked, which it was by means of what is bound to it. A change made since
    then by `move` has sealed the credentials anew; one made in the database itself has not, and does not count.
    """
    current = locked(connection, source.name)
    if current is None or current.destination == source.destination:
        return source
    try:
        is_bound = sources.credentials(connection, encryption, current) is not None
    except DecryptionFailed:
        is_bound = False
    return current if is_bound else source
