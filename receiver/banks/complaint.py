"""What a bank says in an answer that is an error, whatever the answer's shape."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from receiver.banks import payload

CHARACTERS_MAX = 200
ENTRIES_MAX = 3
"""A bank may list an error for each field; the first few tell enough."""

_WORDS = (
    "error",
    "errorCode",
    "message",
    "errorMessage",
    "keyOrMessage",
    "propertyName",
    "errorDescription",
    "title",
    "detail",
)


def words(content: bytes, secrets: Sequence[str] = ()) -> str:
    """Return the bank's own words, in one short line; nothing where there are none.

    Shapes that banks use: `{"error","message"}`, a bare string, `{"errorCode","errorMessage"}`, problem details
    (RFC 9457) with or without `errors` by field, and `{"errors":[{…}]}`. What was sent in confidence and comes back in
    them is left out.
    """
    try:
        found = payload.parse(content)
    except payload.NotUnderstood:
        return ""
    text = found if isinstance(found, str) else ": ".join(_told(found))
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return payload.text({"words": text[:CHARACTERS_MAX]}, "words") or ""


def _told(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        yield from _named(found)
        yield from _entries(found.get("errors"))
    elif isinstance(found, list):
        yield from _entries(found)


def _named(fields: Mapping[str, Any]) -> Iterator[str]:
    by_name = {name.lower(): value for name, value in fields.items()}
    for name in _WORDS:
        value = by_name.get(name.lower())
        # A status in place of a word tells nothing that the status code does not.
        if isinstance(value, str) and value:
            yield value


def _entries(errors: Any) -> Iterator[str]:
    if isinstance(errors, dict):
        for field, texts in list(errors.items())[:ENTRIES_MAX]:
            listed = texts if isinstance(texts, list) else [texts]
            yield f"{field} " + ", ".join(text for text in listed[:ENTRIES_MAX] if isinstance(text, str))
    elif isinstance(errors, list):
        for entry in errors[:ENTRIES_MAX]:
            if isinstance(entry, dict):
                yield ": ".join(_named(entry))
            elif isinstance(entry, str):
                yield entry
    elif isinstance(errors, str):
        yield errors
