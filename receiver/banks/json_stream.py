"""Reading an array in JSON piece by piece (streaming): banks send batches too large to be held as parsed JSON."""

import re
from collections.abc import Iterator
from decimal import InvalidOperation
from typing import Any, NamedTuple

from receiver.banks.json_values import DECODER, NotUnderstood

_SPACE = re.compile(r"[ \t\n\r]*")
"""The white space of JSON."""


class Item(NamedTuple):
    """A value in a JSON text, and where it stands there: `text[start:end]`."""

    value: Any
    start: int
    end: int


def array_items(text: str, member: str) -> Iterator[Item]:
    """Read an array piece by piece (streaming): each item is yielded as soon as it is parsed, so never are all held.

    It is the array `member` of a JSON object, the name in any case of its letters, or a bare array. Whether the whole
    is JSON (RFC 8259) is known only at the end. Numbers with a fraction are `Decimal`.

    Raises:
        NotUnderstood: it is no JSON, or there is no such array.
    """
    document = _Document(text)
    try:
        if document.peek() == "[":
            yield from document.array()
        else:
            yield from document.array_in_object(member.lower())
        if document.peek():
            raise ValueError(f"something follows the end at {document}")
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise NotUnderstood(str(error)[:200]) from error


class _Document:
    """A place in a JSON text, which moves forward value by value.

    Not by `ijson` 3.6: a whole number of more than 4,300 digits crashes the process in its C parser (yajl), which also
    reads half a surrogate pair as another character; its parser in Python takes 15 to 100 times as long as this.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def __str__(self) -> str:
        return f"character {self._place}"

    def peek(self) -> str:
        """Return the next character that is no white space; nothing at the end."""
        found = _SPACE.match(self._text, self._place)
        self._place = found.end() if found else self._place
        return self._text[self._place : self._place + 1]

    def _take(self, *expected: str) -> str:
        found = self.peek()
        if found not in expected:
            raise ValueError(f"{' or '.join(expected)} is expected at {self}")
        self._place += 1
        return found

    def _value(self) -> Any:
        self.peek()
        found, self._place = DECODER.raw_decode(self._text, self._place)
        return found

    def _entries(self, opening: str, closing: str) -> Iterator[None]:
        """Move over the brackets and commas of an array or object; yield where an entry begins."""
        self._take(opening)
        if self.peek() == closing:
            self._take(closing)
            return
        while True:
            yield
            if self._take(",", closing) == closing:
                return

    def array(self) -> Iterator[Item]:
        """Move over an array; yield value by value."""
        for _ in self._entries("[", "]"):
            self.peek()
            start = self._place
            value = self._value()
            yield Item(value, start, self._place)

    def array_in_object(self, member: str) -> Iterator[Item]:
        """Move over an object; yield value by value what the arrays under this name hold."""
        is_there = False
        for _ in self._entries("{", "}"):
            if self.peek() != '"':
                raise ValueError(f"a name is expected at {self}")
            name = self._value()
            self._take(":")
            if name.lower() == member and self.peek() == "[":
                is_there = True
                yield from self.array()
            else:
                self._value()
        if not is_there:
            raise ValueError(f"there is no array {member!r}")
