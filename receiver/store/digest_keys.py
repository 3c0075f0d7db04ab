"""The keys that digests are made with (HMAC-SHA256), each stored, encrypted, under a name that is a digest of itself.

A key is derived for one purpose from the first of RECEIVER_SECRET_KEYS and stored on first use; so it is still there to
verify with when its secret key has been rotated out.
"""

import hashlib
import hmac
from datetime import datetime

from sqlalchemy import Connection, select

from receiver.store.bulk_insert import insert_or_skip
from receiver.store.encryption import Encryption
from receiver.store.tables import AuditKey, table_of

_keys = table_of(AuditKey)


class DigestKeys:
    """The keys of one purpose."""

    def __init__(self, connection: Connection, encryption: Encryption, purpose: str) -> None:
        self._connection = connection
        self._encryption = encryption
        self._derived_for = purpose
        self._opened: dict[str, str | None] = {}

    def current(self, at: datetime) -> str:
        """Return the name of the key for what is written now; it is stored on first use."""
        key = self._encryption.derived(self._derived_for)
        name = name_of(key)
        if not self.knows(name):
            sealed = self._encryption.encrypt(_purpose(name), key)
            insert_or_skip(self._connection, _keys, ["name"], {"name": name, "sealed": sealed, "created_at": at})
            self._opened[name] = key
        return name

    def knows(self, name: str) -> bool:
        """Tell whether a key of this name is stored.

        Raises:
            DecryptionFailed
        """
        if name not in self._opened:
            sealed = self._connection.execute(select(_keys.c.sealed).where(_keys.c.name == name)).scalar()
            key = None if sealed is None else self._encryption.decrypt(_purpose(name), bytes(sealed))
            self._opened[name] = key if key is not None and name_of(key) == name else None
        return self._opened[name] is not None

    def mac(self, name: str, content: bytes) -> str:
        """Return the digest of content (HMAC-SHA256, RFC 2104) in hexadecimal, with a key that is known."""
        key = self._opened[name]
        assert key is not None  # noqa: S101 - for the type checker
        return mac(key, content)


def mac(key: str, content: bytes) -> str:
    """Return the digest of content (HMAC-SHA256, RFC 2104) in hexadecimal."""
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def name_of(key: str) -> str:
    """Return the name that a key is stored under."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _purpose(name: str) -> str:
    return f"audit key {name}"
