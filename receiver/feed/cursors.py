"""Opaque, signed cursors, each bound to the list that it came from."""

from collections.abc import Sequence

from receiver.model import ReceiverError
from receiver.signing.signed_text import NotOurs, SignedText
from receiver.store.consumers import ConsumerPlace


class CursorInvalid(ReceiverError):
    """A cursor was made up, was changed, or is another list's."""

    def __init__(self) -> None:
        super().__init__("The cursor was not given out by this list: take one from `next`, unchanged.")


class Cursors:
    """Makes and reads the cursors of one list."""

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        """Take the secret keys, newest first: the first signs, all verify. A cursor of another purpose is forged."""
        self._texts = SignedText(keys, f"cursor:{purpose}")

    def make(self, place: int | str) -> str:
        """Return the cursor for a place in the list."""
        return self._texts.make(place)

    def make_place(self, place: ConsumerPlace) -> str:
        """Return the cursor for a place of a consumer: a number alone until it is moved for the first time."""
        return self._texts.make(list(place) if place.generation else place.position)

    def read_number(self, cursor: str) -> int:
        """Return the place behind a cursor made of a number.

        Raises:
            CursorInvalid
        """
        return self.read_place(cursor).position

    def read_place(self, cursor: str) -> ConsumerPlace:
        """Return the place of a consumer behind a cursor.

        Raises:
            CursorInvalid
        """
        match self._read(cursor):
            case int(position):
                return ConsumerPlace(position)
            case [int(position), int(generation)]:
                return ConsumerPlace(position, generation)
        raise CursorInvalid

    def read_text(self, cursor: str) -> str:
        """Return the place behind a cursor made of text.

        Raises:
            CursorInvalid
        """
        place = self._read(cursor)
        if not isinstance(place, str):
            raise CursorInvalid
        return place

    def _read(self, cursor: str) -> object:
        try:
            return self._texts.read(cursor)
        except NotOurs as error:
            raise CursorInvalid from error


def read_either(given: str, one: Cursors, other: Cursors) -> int:
    """Read a cursor of a number that either of two lists gave out.

    Raises:
        CursorInvalid
    """
    try:
        return one.read_number(given)
    except CursorInvalid:
        return other.read_number(given)
