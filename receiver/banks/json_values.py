"""Reading the JSON that banks write: strict as JSON, tolerant in content, since any field may be new, gone or null."""

import hashlib
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

_SPACE = re.compile(r"[ \t\n\r]*")
"""The white space of JSON."""


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
    """Write parsed JSON in one way (canonical form), in ASCII, whatever order and spacing it came in.

    Raises:
        NotUnderstood: it is nested too deep.
    """
    try:
        return _ENCODER.encode(value)
    except (RecursionError, ValueError) as error:
        raise NotUnderstood(str(error)[:200]) from error


def digest(canonical_text: str) -> str:
    """Return the SHA-256 of what `canonical` wrote, in hexadecimal."""
    return hashlib.sha256(canonical_text.encode("ascii")).hexdigest()


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


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list; none where it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Return what a list holds that `text` finds usable; nothing where it is no list."""
    found = (text({"": entry}, "") for entry in value) if isinstance(value, list) else ()
    return [entry for entry in found if entry is not None]


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


def money_text(fields: Mapping[str, Any]) -> str | None:
    """Write an object of `amount` and `currency` as `1000.00 USD`, or what there is of the two; none for neither."""
    parts = (decimal_text(amount(fields, "amount")), text(fields, "currency"))
    return " ".join(part for part in parts if part) or None


def shortest_decimal_text(value: Decimal | None) -> str:
    """Write an amount so that equal amounts look the same: `1000.00` as `1000`; none as nothing."""
    written = decimal_text(value) or ""
    return written.rstrip("0").rstrip(".") if "." in written else written


DEPTH_MAX = 4
"""How deep ids are looked for where the bank does not say where they stand."""


def within(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield an object and the objects within it, level by level, down to `DEPTH_MAX` levels."""
    level = [fields]
    for _ in range(DEPTH_MAX):
        if not level:
            return
        yield from level
        level = [value for here in level for value in here.values() if isinstance(value, dict)]


def anywhere(fields: Mapping[str, Any], *names: str) -> list[str]:
    """Return every usable text under one of these names, in any object of the body and however the names are cased.

    Those of an earlier name come first, then those that stand less deep.
    """
    found: dict[str, list[str]] = {name.lower(): [] for name in names}
    for here in within(fields):
        for name in here:
            if name.lower() in found and (value := text(here, name)) is not None:
                found[name.lower()].append(value)
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


def array_items(text: str, member: str) -> Iterator[Any]:
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
        found, self._place = _DECODER.raw_decode(self._text, self._place)
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

    def array(self) -> Iterator[Any]:
        """Move over an array; yield value by value."""
        for _ in self._entries("[", "]"):
            yield self._value()

    def array_in_object(self, member: str) -> Iterator[Any]:
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
