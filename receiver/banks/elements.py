"""Reading a large JSON document one element at a time, so that its parsed form is never held whole."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from receiver.banks.payload import NotUnderstood

_SPACE = re.compile(r"[ \t\n\r]*")


def elements(text: str, member: str) -> Iterator[Any]:
    """Yield what the array `member` of a JSON object holds, or a bare array; numbers with a fraction are `Decimal`.

    The name is taken in any case of its letters. Whether the whole is JSON (RFC 8259) is known only at the end.

    Raises:
        NotUnderstood: it is no JSON, or there is no such array.
    """
    document = _Document(text)
    try:
        if document.peek() == "[":
            yield from document.array()
        else:
            yield from document.array_in_object(member.lower())
        document.end()
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise NotUnderstood(str(error)[:200]) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Document:
    """A place in a text, which moves forward value by value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)

    def peek(self) -> str:
        """Return the next character that is no white space; nothing at the end."""
        found = _SPACE.match(self._text, self._place)
        self._place = found.end() if found else self._place
        return self._text[self._place : self._place + 1]

    def take(self, *expected: str) -> str:
        """Move over one of these characters."""
        found = self.peek()
        if found not in expected:
            raise ValueError(f"{' or '.join(expected)} is expected at character {self._place}")
        self._place += 1
        return found

    def value(self) -> Any:
        """Move over a value."""
        self.peek()
        found, self._place = self._decoder.raw_decode(self._text, self._place)
        return found

    def array(self) -> Iterator[Any]:
        """Move over an array, value by value."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",", "]") == "]":
                return

    def array_in_object(self, member: str) -> Iterator[Any]:
        """Move over an object, and value by value over the array that is its member of this name."""
        self.take("{")
        is_there = False
        while True:
            if self.peek() != '"':
                raise ValueError(f"a name is expected at character {self._place}")
            name = self.value()
            self.take(":")
            if name.lower() == member and self.peek() == "[":
                is_there = True
                yield from self.array()
            else:
                self.value()
            if self.take(",", "}") == "}":
                break
        if not is_there:
            raise ValueError(f"there is no array {member!r}")

    def end(self) -> None:
        """Accept that nothing more comes."""
        if self.peek():
            raise ValueError(f"something follows the end at character {self._place}")
