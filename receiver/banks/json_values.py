"""Tolerant reading of the JSON that banks write: any field may be new, gone, null, or of another type."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

TEXT_CHARACTERS_MAX = 200
"""Longer than any id or code that a bank documents; what is longer is none."""

AMOUNT_DIGITS_MAX = 40
"""More than any currency needs; a number in JSON may have a million."""

_CLEAN = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
"""No control characters, and no half of a surrogate pair."""

_AMOUNT = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")


class NotUnderstood(Exception):
    """The bytes are no JSON of the expected shape."""


def parse(body: bytes) -> Any:
    """Read strict JSON (RFC 8259: UTF-8, no NaN or Infinity); numbers with a fraction become `Decimal`.

    Raises:
        NotUnderstood
    """
    try:
        return _DECODER.decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise NotUnderstood(str(error)[:200]) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        NotUnderstood
    """
    found = parse(body)
    if not isinstance(found, dict):
        raise NotUnderstood(f"a JSON object is expected, not {type(found).__name__}")
    return found


def canonical(value: Any) -> str:
    """Write parsed JSON in one way, whatever order and spacing it came in.

    Raises:
        NotUnderstood: it is nested too deep.
    """
    try:
        return _ENCODER.encode(value)
    except (RecursionError, ValueError) as error:
        raise NotUnderstood(str(error)[:200]) from error


def text(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the named fields that holds a usable id or word; whole numbers count as text.

    Unusable is what no database can store or no person can read: empty, overlong, with control characters, or with
    half a surrogate pair.
    """
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            if 0 < len(value) <= TEXT_CHARACTERS_MAX and _is_clean(value):
                return value
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)
    return None


def _is_clean(value: str) -> bool:
    return (value.isascii() and value.isprintable()) or _CLEAN.fullmatch(value) is not None


def whole_number(fields: Mapping[str, Any], name: str) -> int | None:
    """Return a field that holds a whole number of a size that any database takes."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def inner(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object in a field; an empty one where there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def amount(fields: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a field that holds an amount as a number or as a decimal string; never through a float."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    # Decimal itself would take other scripts' digits, and underscores between them.
    if isinstance(value, str) and not _AMOUNT.fullmatch(value):
        return None
    try:
        found = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    is_usable = found.is_finite() and abs(found.adjusted()) < 30 and len(found.as_tuple().digits) <= AMOUNT_DIGITS_MAX
    return found if is_usable else None


def decimal_text(value: Decimal | None) -> str | None:
    """Write an amount with all its digits and no exponent."""
    return None if value is None else f"{value:f}"


def shortest_decimal_text(value: Decimal | None) -> str:
    """Write an amount so that equal amounts look the same: `1000.00` as `1000`; none as nothing."""
    written = decimal_text(value) or ""
    return written.rstrip("0").rstrip(".") if "." in written else written


DEPTH_MAX = 4
"""How deep ids are looked for where the bank does not say where they stand."""


def anywhere(fields: Mapping[str, Any], *names: str) -> list[str]:
    """Return every usable text under one of these names, in any object of the body and however the names are cased.

    Those of an earlier name come first, then those that stand less deep.
    """
    level: list[Mapping[str, Any]] = [fields]
    found: dict[str, list[str]] = {name.lower(): [] for name in names}
    for _ in range(DEPTH_MAX):
        for here in level:
            for name in here:
                if name.lower() in found and (value := text(here, name)) is not None:
                    found[name.lower()].append(value)
        level = [value for here in level for value in here.values() if isinstance(value, dict)]
    return [value for values in found.values() for value in values]


def first(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first text that `anywhere` finds; none where there is none."""
    return next(iter(anywhere(fields, *names)), None)


_UNIX_SECONDS = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_UNIX_MILLISECONDS = re.compile(r"[0-9]{12,14}")


def read_time(text: str) -> datetime | None:
    """Read Unix seconds, Unix milliseconds or ISO 8601 (UTC where it names no zone); none where it is none."""
    try:
        if _UNIX_SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        if _UNIX_MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        found = datetime.fromisoformat(text.strip())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None


_SPACE = re.compile(r"[ \t\n\r]*")


def array_items(text: str, member: str) -> Iterator[Any]:
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


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Document:
    """A place in a text, which moves forward value by value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)

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
