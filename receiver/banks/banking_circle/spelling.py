"""How Banking Circle spells the names of fields: its documents have `paymentId` in most places, `PaymentId` in some."""

from collections.abc import Mapping
from typing import Any

LEVELS = 6
"""How deep names are spelt anew: deeper than anything that is read."""


def camel_case(fields: Mapping[str, Any], levels: int = LEVELS) -> dict[str, Any]:
    """Return an object with all names, and those of the objects within it, in camelCase: `PaymentId` as `paymentId`.

    Where a name is there in both spellings, that in camelCase counts, unless it holds nothing.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        spelt = name[:1].lower() + name[1:]
        if not found.get(spelt) or (spelt == name and value):
            found[spelt] = _spelt(value, levels - 1)
    return found


def _spelt(value: Any, levels: int) -> Any:
    if levels and isinstance(value, dict):
        return camel_case(value, levels)
    if levels and isinstance(value, list):
        return [_spelt(each, levels - 1) for each in value]
    return value
