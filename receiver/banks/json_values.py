"""Reading the JSON that banks write: strict as JSON, tolerant in content, since any field may be new, gone or null."""

import hashlib
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

TEXT_CHARACTERS_MAX = 200
"""Longer than any id or code that a bank documents; what is longer is none."""

AMOUNT_DIGITS_MAX = 40
"""More than any currency needs; a number in JSON may have a million."""

_WHOLE_MAX = 10**TEXT_CHARACTERS_MAX

_CLEAN = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
"""No control characters, and no half of a surrogate pair."""

_AMOUNT = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")

_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3}){1,12}(?:\.[0-9]{1,40})|[+-]?[0-9]{1,3}(?:,[0-9]{3}){2,12}")
"""Thousands parted by commas, in which a comma can be nothing else: `1,000.00`, `1,000,000`, but not `1,000`."""

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]{1,40},(?:[0-9]{1,2}|[0-9]{4,40})")
"""A comma that parts no thousands: `1000,50`, but not `1,000`."""

_SWAPPED = str.maketrans(",.", ".,")

_MONEY = re.compile(r"(?P<amount>[0-9.,eE+-]{1,90}) ?(?P<currency>[A-Za-z]{3})")
_CURRENCY_FIRST = re.compile(r"(?P<currency>[A-Za-z]{3}) ?(?P<amount>[0-9.,eE+-]{1,90})")


class NotUnderstood(Exception):
    """The bytes are no JSON of the expected shape."""


def parse(body: bytes) -> Any:
    """Read strict JSON (RFC 8259: UTF-8, no NaN or Infinity); numbers with a fraction become `Decimal`.

    Raises:
        NotUnderstood
    """
    try:
        # Not by the codec `utf-8-sig`, which is Python's own and ten times as slow.
        return DECODER.decode(body.removeprefix(BOM_UTF8).decode())
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise NotUnderstood(str(error)[:200]) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members.

    RFC 8259 does not say which of several members of one name counts. Where they differ, the name has a list of them
    all: so none of them is taken for what the bank says, and none is lost.
    """
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    members: dict[str, dict[str, Any]] = {}
    for name, value in pairs:
        members.setdefault(name, {})[repr(value)] = value
    return {name: next(iter(each.values())) if len(each) == 1 else [*each.values()] for name, each in members.items()}


DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_object)
"""Strict JSON; numbers with a fraction become `Decimal`."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)
_FASTER = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        NotUnderstood
    """
    return object_of(parse(body))


def object_of(value: Any) -> dict[str, Any]:
    """Return parsed JSON that is an object.

    Raises:
        NotUnderstood: it is something else.
    """
    if not isinstance(value, dict):
        raise NotUnderstood(f"a JSON object is expected, not {type(value).__name__}")
    return value


def canonical(value: Any) -> str:
    """Write parsed JSON in one way (canonical form), in ASCII, whatever order and spacing it came in.

    Raises:
        NotUnderstood: it is nested too deep.
    """
    with suppress(TypeError):
        written = orjson.dumps(value, default=str, option=_FASTER).decode()
        # Of parsed JSON it writes nothing otherwise than Python does but characters that are not printable ASCII.
        if written.isascii() and written.isprintable():
            return written
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
        elif (whole := _whole(value)) is not None and len(written := str(whole)) <= TEXT_CHARACTERS_MAX:
            return written
    return None


def _whole(value: Any) -> int | None:
    """Return a whole number, in whichever form JSON has it: `7`, `7.0` and `7e0` are one (RFC 8259 section 6)."""
    if isinstance(value, Decimal):
        # Looked at first: the exponent of a number in JSON may make it too long for any memory.
        is_whole = value.adjusted() < TEXT_CHARACTERS_MAX and value == value.to_integral_value()
        return int(value) if is_whole else None
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _WHOLE_MAX else None


def usable_text(value: Any) -> str | None:
    """Return a value as `text` reads it from a field."""
    return text({"": value}, "")


def _is_clean(value: str) -> bool:
    return (value.isascii() and value.isprintable()) or _CLEAN.fullmatch(value) is not None


def text_there(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the named fields that is there and not null, as text; none where that one is unusable.

    Unlike `text`, it never takes a later name for an earlier one that can't be read: what is part of an identity must
    not be replaced by something else.
    """
    return usable_text(next((value for name in names if (value := fields.get(name)) is not None), None))


def whole_number(fields: Mapping[str, Any], name: str) -> int | None:
    """Return a field that holds a whole number of a size that any database takes."""
    whole = _whole(fields.get(name))
    return whole if whole is not None and abs(whole) < 2**53 else None


def inner(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object in a field; an empty one where there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list; none where it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Return what a list holds that `text` finds usable; nothing where it is no list."""
    found = (usable_text(entry) for entry in value) if isinstance(value, list) else ()
    return [entry for entry in found if entry is not None]


def amount(fields: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a field that holds an amount as a number or as a decimal string; never through a float.

    Commas are understood where they can mean one thing only (`1,000.00`, `1000,50`, `1.000,50`, but not `1,000`).
    """
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    # Decimal itself would take other scripts' digits, and underscores between them.
    if isinstance(value, str) and not _AMOUNT.fullmatch(value):
        value = _with_decimal_point(value)
    try:
        found = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    is_usable = found.is_finite() and abs(found.adjusted()) < 30 and len(found.as_tuple().digits) <= AMOUNT_DIGITS_MAX
    return found if is_usable else None


def _with_decimal_point(written: str) -> str:
    """Write an amount with a decimal point and nothing between its thousands; empty where a comma may mean either."""
    for text in (written, written.translate(_SWAPPED)):
        if _GROUPED.fullmatch(text):
            return text.replace(",", "")
    return written.replace(",", ".") if _DECIMAL_COMMA.fullmatch(written) else ""


def money_parts(value: Any) -> Mapping[str, Any]:
    """Return the `amount` and `currency` in a field's value: an object of the two, or a text such as `5.00 USD`.

    Any other value is the amount, usable or not; null is neither.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and (found := _MONEY.fullmatch(value) or _CURRENCY_FIRST.fullmatch(value)):
        return found.groupdict()
    return {} if value is None else {"amount": value}


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


def line(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the named texts in one line, cut to what a text may have; none where there is none.

    For what people write, such as remittance text.
    """
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and (found := text({name: " ".join(value.split())[:TEXT_CHARACTERS_MAX]}, name)):
            return found
    return None


def long_text(value: Any, most: int) -> str | None:
    """Return a text of up to `most` characters that can be stored and read by a person: one that is no id, as a URL."""
    return value if isinstance(value, str) and 0 < len(value) <= most and _is_clean(value) else None


def first(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first text that `anywhere` finds; none where there is none."""
    return next(iter(anywhere(fields, *names)), None)


_ID_NAME = re.compile(r"(?i:id)|(?!(?i:card|event|message|notification)).*(?:[a-z](?:I[dD]|No|Uuid)|_(?:id|no|uuid))")
"""What ends like the name of an id; not that of the event itself, nor a card's number, which must not be spread."""


def only_id(fields: Mapping[str, Any]) -> str | None:
    """Return the only id in a body, by the ends of names such as `caseId`; none where there are several, or none."""
    found = {text(here, name) for here in within(fields) for name in here if _ID_NAME.fullmatch(name)} - {None}
    return found.pop() if len(found) == 1 else None


def everywhere(value: Any, *names: str) -> Iterator[Any]:
    """Yield what stands under one of these names, however cased, in any object at any depth, in lists too; no nulls."""
    wanted = {name.lower() for name in names}
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield from (inside for name, inside in here.items() if inside is not None and name.lower() in wanted)
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_SECONDS = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_UNIX_MILLISECONDS = re.compile(r"[0-9]{12,14}")


def read_time(text: str) -> datetime | None:
    """Read Unix seconds, Unix milliseconds or ISO 8601 (UTC where it names no zone); none where it is none.

    RFC 3339 has its letters small too, of which Python takes no `z`.
    """
    try:
        if _UNIX_SECONDS.fullmatch(text):
            return _EPOCH + timedelta(microseconds=round(Decimal(text) * 1_000_000))
        if _UNIX_MILLISECONDS.fullmatch(text):
            return _EPOCH + timedelta(milliseconds=int(text))
        found = datetime.fromisoformat(text.strip().upper())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
