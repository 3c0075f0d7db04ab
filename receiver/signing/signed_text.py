"""Texts that are given out and come back: opaque, signed with our own keys, bound to what they are for."""

from collections.abc import Sequence

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode


class NotOurs(Exception):
    """The text was not made here for this purpose, or was changed since."""


class SignedText:
    """Makes and reads the texts of one purpose."""

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        """Take the secret keys, newest first: the first signs, all verify."""
        self._serializer = URLSafeSerializer(list(reversed(keys)), salt=purpose)

    def make(self, value: object) -> str:
        """Return the text for what can be written as JSON; letters, digits, `-`, `_` and `.`."""
        made = self._serializer.dumps(value)
        return made if isinstance(made, str) else made.decode()

    def read(self, text: str) -> object:
        """Return what stands in a text.

        Raises:
            NotOurs
        """
        try:
            value: object = self._serializer.loads(text)
            signature = text.rpartition(".")[2]
            # Base64 has several spellings of the same bytes; only ours was given out.
            if base64_encode(base64_decode(signature)).decode() != signature:
                raise NotOurs
        except (BadData, ValueError) as error:
            raise NotOurs from error
        return value
