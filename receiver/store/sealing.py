"""Encryption at rest: Fernet (AES-128-CBC, HMAC-SHA256) with keys that can be rotated."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class SealBroken(Exception):
    """What was stored can't be opened: none of RECEIVER_SECRET_KEYS fits, or it was moved from another row."""


class Sealer:
    """Seals text for one purpose; what was sealed for one purpose does not open for another."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take keys of 32 bytes in URL-safe Base64, newest first: the first seals, all open."""
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, purpose: str, text: str) -> bytes:
        """Encrypt `text`."""
        return self._fernet.encrypt(f"{purpose}\0{text}".encode())

    def open(self, purpose: str, sealed: bytes) -> str:
        """Decrypt what `seal` gave for the same purpose.

        Raises:
            SealBroken: no key fits, or it was sealed for something else.
        """
        try:
            found, _, text = self._fernet.decrypt(sealed).decode().partition("\0")
        except InvalidToken as error:
            raise SealBroken(f"no key in RECEIVER_SECRET_KEYS opens the stored {purpose}") from error
        if found != purpose:
            raise SealBroken(f"the stored {purpose} was sealed for another place")
        return text

    def renew(self, what: str, sealed: bytes) -> bytes:
        """Encrypt with the first key what any of the keys opens; `what` names it where none does.

        Raises:
            SealBroken
        """
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise SealBroken(f"no key in RECEIVER_SECRET_KEYS opens the stored {what}") from error
