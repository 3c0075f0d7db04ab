"""Two or more contents of one event, side by side: each value by its place, and which of them differ."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

ROWS_MAX = 400
"""Of a comparison; the rest is in the payloads themselves."""

DEPTH_MAX = 32


class Row(NamedTuple):
    """One place in the contents, such as `value.amount`, and what stands there in each of them."""

    place: str
    values: Sequence[str | None]
    """None where there is nothing."""
    is_other: bool
    """Whether they differ."""


def compared(texts: Sequence[str | None]) -> list[Row]:
    """Lay contents side by side, in the order of the first one; what is no JSON is one value."""
    flat = [dict(_flat(_read(text))) if text is not None else {} for text in texts]
    places = list(dict.fromkeys(place for each in flat for place in each))
    rows = [Row(place, [each.get(place) for each in flat], False) for place in places[:ROWS_MAX]]
    return [row._replace(is_other=len(set(row.values)) > 1) for row in rows]


def _read(text: str) -> Any:
    try:
        # As they were written: no number is rounded.
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return text


def _flat(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value, 1))
    if not inner or depth == DEPTH_MAX:
        yield place or "content", _written(value)
        return
    for name, each in inner:
        yield from _flat(each, f"{place}.{name}" if place else str(name), depth + 1)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
