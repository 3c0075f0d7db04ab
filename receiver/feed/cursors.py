"""Opaque, signed cursors, each bound to the list that it came from."""

from collections.abc import Sequence

from receiver.signing.signed_text import NotOurs, SignedText
from receiver.web.problems import Problem


class Cursors:
    """Makes and reads the cursors of one list."""

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        """Take the secret keys, newest first: the first signs, all verify. A cursor of another purpose is forged."""
        self._texts = SignedText(keys, f"cursor:{purpose}")

    def make(self, place: int | str) -> str:
        """Return the cursor for a place in the list."""
        return self._texts.make(place)

    def read_number(self, cursor: str) -> int:
        """Return the place behind a cursor made of a number.

        Raises:
            Problem: 400, it was not made here for this list.
        """
        place = self._read(cursor)
        if not isinstance(place, int):
            raise _not_ours()
        return place

    def read_text(self, cursor: str) -> str:
        """Return the place behind a cursor made of text.

        Raises:
            Problem: 400, it was not made here for this list.
        """
        place = self._read(cursor)
        if not isinstance(place, str):
            raise _not_ours()
        return place

    def _read(self, cursor: str) -> object:
        try:
            return self._texts.read(cursor)
        except NotOurs as error:
            raise _not_ours() from error


def _not_ours() -> Problem:
    return Problem(400, "The cursor was not given out by this list: take one from `next`, unchanged.")
