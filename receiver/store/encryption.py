"""Encryption of secrets at rest: Fernet (AES-128-CBC, HMAC-SHA256) with keys that can be rotated."""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, select, update

from receiver.model import ReceiverError
from receiver.store.tables import (
    AuditKey,
    BankToken,
    CredentialChange,
    PublicKeys,
    SigningSecret,
    Source,
    StaffUser,
    table_of,
)

BOUND = " bound to "
"""What stands between a purpose and the digest of what the value is bound to (its associated data)."""


class DecryptionFailed(ReceiverError):
    """What was stored can't be opened: none of RECEIVER_SECRET_KEYS fits, or it was moved from another row."""


class Encryption:
    """Encrypts text for one purpose; what was encrypted for one purpose does not open for another."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take keys of 32 bytes in URL-safe Base64, newest first: the first encrypts, all decrypt."""
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._first = base64.urlsafe_b64decode(keys[0])

    def encrypt(self, purpose: str, text: str, bound_to: str = "") -> bytes:
        """Encrypt `text`; what is `bound_to` the digest of something else opens together with that alone."""
        return self._fernet.encrypt(f"{_place(purpose, bound_to)}\0{text}".encode())

    def decrypt(self, purpose: str, sealed: bytes, bound_to: str = "") -> str:
        """Decrypt what `encrypt` gave for the same purpose, bound to the same.

        Raises:
            DecryptionFailed: no key fits, or it was encrypted for another purpose, or bound to something else.
        """
        try:
            found, _, text = self._fernet.decrypt(sealed).decode().partition("\0")
        except InvalidToken as error:
            raise DecryptionFailed(f"no key in RECEIVER_SECRET_KEYS opens the stored {purpose}") from error
        if found == _place(purpose, bound_to):
            return text
        if bound_to and found.partition(BOUND)[0] == purpose:
            raise DecryptionFailed(
                f"what is stored as {purpose} is not bound to the address, environment and options that stand beside "
                "it: these were changed in the database itself, or an older release wrote it; see docs/secrets.md"
            )
        raise DecryptionFailed(f"the stored {purpose} was sealed for another place")

    def derived(self, purpose: str) -> str:
        """Return 256 bits in hexadecimal, made of the first key for one purpose (HKDF-SHA256, RFC 5869)."""
        return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(self._first).hex()

    def renew(self, what: str, sealed: bytes) -> bytes:
        """Encrypt with the first key what any of the keys opens; `what` names it where none does.

        Raises:
            DecryptionFailed
        """
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise DecryptionFailed(f"no key in RECEIVER_SECRET_KEYS opens the stored {what}") from error


def _place(purpose: str, bound_to: str) -> str:
    return f"{purpose}{BOUND}{bound_to}" if bound_to else purpose


ENCRYPTED_COLUMNS = (
    (table_of(Source), "credentials"),
    (table_of(SigningSecret), "sealed"),
    (table_of(BankToken), "sealed"),
    (table_of(PublicKeys), "sealed"),
    (table_of(CredentialChange), "token"),
    (table_of(CredentialChange), "made"),
    (table_of(CredentialChange), "previous"),
    (table_of(AuditKey), "sealed"),
    (table_of(StaffUser), "sealed"),
)
"""Every column that holds something encrypted."""


def reencrypt_all(connection: Connection, encryption: Encryption) -> int:
    """Encrypt all of it anew (key rotation), in the caller's transaction; return how many values there were.

    Raises:
        DecryptionFailed: no key opens one of them; nothing is changed then.
    """
    number = 0
    for table, name in ENCRYPTED_COLUMNS:
        (identity,) = table.primary_key.columns
        column = table.c[name]
        # `FOR NO KEY UPDATE`: callbacks insert rows that refer to these, and must not wait.
        rows = connection.execute(select(identity, column).where(column.is_not(None)).with_for_update(key_share=True))
        for key, sealed in rows.all():
            renewed = encryption.renew(f"{name} of {table.name} {key}", bytes(sealed))
            connection.execute(update(table).where(identity == key).values({name: renewed}))
            number += 1
    return number
