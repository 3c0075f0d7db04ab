"""Structure-aware mutations: bytes, headers and JSON that are almost what they were, as a fuzzer makes them.

Each takes a `random.Random`, which may be one of Hypothesis: it then finds the smallest example that fails.
"""

import base64
import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from genuine_pairs import MISSING, Number, Twice, dumps
from hypothesis import settings
from hypothesis import strategies as st


class Seeded(Random):
    """One that says by what it can be had another time."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._seeded = seed

    def __repr__(self) -> str:
        return f"Seeded({self._seeded})"

    def _repr_pretty_(self, printer: Any, _is_cycle: bool) -> None:
        printer.text(repr(self))


SEEDED = st.integers(0, 2**64 - 1).map(Seeded)
"""For what no two runs do alike to the byte, such as signing at the time of now."""

RANDOMS = st.randoms(use_true_random=False) | SEEDED
"""Those that Hypothesis can make smaller, and those that are as likely to take any way."""


def examples(share: float) -> int:
    """How many examples a test takes: where one is quick many times those of the profile, where it is slow a part."""
    return int(settings().max_examples * share)


DEEP = 2000
"""How deep a value is nested to see that no reader counts on a shallow one."""

INTERESTING = (
    *(b"", b"\0", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"=", b"==", b",", b".", b"/", b"%", b"%00", b"%2F"),
    *(b"POST", b"{}", b"[]", b"null", b"-1", b"0", b"9" * 40, b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b"\xc2\x85", b"\xe2\x80\xa8", "\u0661".encode(), "\uff11".encode(), "\u0130".encode(), b"\x7f", b"\x0b"),
)
"""Pieces that some reader takes for something else than what they are."""

STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        " ",
        {},
        [],
        [[]],
        [None],
        {"": ""},
        Number("0"),
        Number("-0"),
        Number("-1"),
        Number("1.5"),
    ),
    *(Number("1e400"), Number("1E-400"), Number("9" * 400), Number("1" * 5000), Number("0." + "1" * 400)),
    *(
        "\0",
        "a\0b",
        "\ud800",
        "\udfff",
        "\u2028",
        "\u202e",
        "\x1f",
        "\x7f",
        "\x85",
        "\ufeff",
        "\u0130",
        "\u00df",
        "\uff11",
    ),
    *("NaN", "Infinity", "-", "+", ".", "1,000", "1.000,00", "1e9", "1e999999999", "\u0661", "1_000", "0x10", "=1+1"),
    *(
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.9999999-23:59",
        "2026-02-30",
        "2026-W01-1",
        "24:00",
        "99999999999",
    ),
    *(
        "253402300800",
        "99999999999999",
        "-62135596801",
        "%",
        "%25",
        "_",
        "\\",
        "'",
        '"',
        "<b>",
        "{{7}}",
        "../..",
        "//",
        "?#",
    ),
    *("x" * 201, "x" * 5000, "\U0001f600" * 300, "a\u0301" * 150),
)
"""Values that are JSON, and that a reader of banks' callbacks meets once in ten years."""


def changed_bytes(random: Random, raw: bytes, times: int = 3) -> bytes:
    """Return bytes after one to so many small changes."""
    for _ in range(random.randint(1, times)):
        raw = random.choice(_BYTES)(random, raw)
    return raw


def _flip(random: Random, raw: bytes) -> bytes:
    at = random.randint(0, max(0, len(raw) - 1))
    return raw[:at] + bytes([raw[at] ^ (1 << random.randint(0, 7))]) + raw[at + 1 :] if raw else b"\0"


def _insert(random: Random, raw: bytes) -> bytes:
    at = random.randint(0, len(raw))
    return raw[:at] + random.choice(INTERESTING) + raw[at:]


def _replace(random: Random, raw: bytes) -> bytes:
    at, size = random.randint(0, len(raw)), random.randint(0, 8)
    return raw[:at] + random.choice(INTERESTING) + raw[at + size :]


def _cut(random: Random, raw: bytes) -> bytes:
    at = random.randint(0, len(raw))
    return random.choice([raw[:at], raw[at:]])


def _double(random: Random, raw: bytes) -> bytes:
    at, size = random.randint(0, len(raw)), random.randint(1, 64)
    return raw[: at + size] + raw[at : at + size] * random.randint(1, 4) + raw[at + size :]


def _swap(random: Random, raw: bytes) -> bytes:
    first, second = sorted((random.randint(0, len(raw)), random.randint(0, len(raw))))
    return raw[second:] + raw[first:second] + raw[:first]


_BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (_flip, _flip, _insert, _replace, _cut, _double, _swap)


def changed_header(random: Random, value: bytes) -> bytes:
    """Return a header's value changed: as bytes, or in how it is spelt, which may leave what it means."""
    spelt = (
        bytes.lower,
        bytes.upper,
        lambda v: b" " + v + b"\t",
        lambda v: v + b"=",
        lambda v: v.rstrip(b"="),
        lambda v: v.translate(bytes.maketrans(b"+/", b"-_")),
        lambda v: v + b", " + v,
        lambda v: b'"' + v + b'"',
        lambda v: v.replace(b"v1,", b"v1a,"),
        _last_bits,
        lambda v: base64.b64encode(v),
        lambda v: b"0" + v,
        lambda v: v + b".0",
    )
    return random.choice(spelt)(value) if random.random() < 0.4 else changed_bytes(random, value)


def _last_bits(value: bytes) -> bytes:
    """Spell the same Base64 in another way: the bits behind the last byte are nobody's."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bare = value.rstrip(b"=")
    if not bare or bare[-1] not in alphabet:
        return value
    return bare[:-1] + bytes([alphabet[alphabet.index(bare[-1]) ^ 1]]) + value[len(bare) :]


def changed_headers(random: Random, headers: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return headers of which one is changed, missing, another's, or new."""
    changed, name = dict(headers), random.choice(sorted(headers))
    kind = random.randint(0, 5)
    if kind <= 2:
        changed[name] = changed_header(random, changed[name])
    elif kind == 3:
        del changed[name]
    elif kind == 4:
        changed[name] = headers[random.choice(sorted(headers))]
    else:
        new = ("content-encoding", "bcb-signature-version", "content-type", "x-forwarded-for", "authorization")
        changed[random.choice(new)] = random.choice([b"gzip", b"rsa-v1", b"br, gzip", b"deflate", *INTERESTING])
    return changed


def changed_json(random: Random, text: str) -> str:
    """Return a JSON text with one to four of its values changed; now and then it is no JSON any more."""
    try:
        value = json.loads(text, parse_float=Number, parse_int=Number)
    except ValueError:
        return changed_bytes(random, text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    for _ in range(random.randint(1, 4)):
        value = _changed_value(random, value)
    written = dumps(value)
    kind = random.random()
    if kind < 0.1:
        return changed_bytes(random, written.encode()).decode("utf-8", "replace")
    if kind < 0.15:
        return random.choice(["\ufeff", " ", "\n\t"]) + written
    return written


def _changed_value(random: Random, value: Any) -> Any:
    """Change a value, or one within it."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        return _changed_object(random, value)
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randint(0, len(value) - 1)
        return [*value[:at], _changed_value(random, value[at]), *value[at + 1 :]]
    return _another(random, value)


def _changed_object(random: Random, fields: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in fields.items() if value is not MISSING}
    if not changed:
        return {}
    name, kind = random.choice(list(changed)), random.random()
    if kind < 0.6:
        changed[name] = _changed_value(random, changed[name])
    elif kind < 0.7:
        changed[name] = MISSING
    elif kind < 0.8:
        changed[name] = Twice([changed[name], random.choice(STRANGE)])
    elif kind < 0.9:
        changed[random.choice([str.upper, str.lower, str.swapcase, str.title])(name)] = changed.pop(name)
    else:
        other = random.choice(list(changed))
        changed[name], changed[other] = changed[other], changed[name]
    return changed


def _another(random: Random, value: Any) -> Any:
    kind = random.random()
    if kind < 0.6:
        return random.choice(STRANGE)
    if kind < 0.7:
        return [value] * random.choice([1, 2, 50])
    if kind < 0.8:
        return {"data": value, "value": value}
    if kind < 0.85:
        return _Nested(random.choice([3, 40, DEEP]))
    if isinstance(value, str) and not isinstance(value, Number):
        return changed_bytes(random, value.encode("utf-8", "replace"), 1).decode("utf-8", "replace")
    return str(value) if isinstance(value, Number) else random.choice(STRANGE)


class _Nested(Number):
    """A list in a list in a list …, written without a stack of its own."""

    __slots__ = ()

    def __new__(cls, depth: int) -> "_Nested":
        return super().__new__(cls, "[" * depth + "1" + "]" * depth)
