"""Reading bodies of a shape that is not documented: names spelt otherwise, and ids wherever they stand."""

from collections.abc import Iterator, Mapping
from typing import Any

from receiver.banks import json_values

LEVELS = 5
"""How deep names are spelt anew: deeper than anything that is read."""


def parse_fields(body: bytes) -> dict[str, Any]:
    """Read a JSON object; a list that holds objects as an object's only field, so that what it names can be found.

    Raises:
        NotUnderstood
    """
    return fields_of(json_values.parse(body))


def fields_of(value: Any) -> dict[str, Any]:
    """Return parsed JSON that is an object; a list that holds objects as an object's only field.

    Raises:
        NotUnderstood: it is something else.
    """
    return {"items": value} if json_values.objects(value) else json_values.object_of(value)


def camel_case(fields: Mapping[str, Any], levels: int = LEVELS) -> dict[str, Any]:
    """Return an object with all names, and those of the objects within it, in camelCase: `PaymentId` as `paymentId`.

    Where a name is there in both spellings, that in camelCase counts, unless it holds nothing.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        spelt = name[:1].lower() + name[1:]
        if _is_empty(found.get(spelt)) or (spelt == name and not _is_empty(value)):
            found[spelt] = _spelt(value, levels - 1) if levels and isinstance(value, dict | list) else value
    return found


def _is_empty(value: Any) -> bool:
    """Tell whether there is nothing in it; a zero is something."""
    return value is None or value in ("", [], {})


def _spelt(value: dict[str, Any] | list[Any], levels: int) -> Any:
    if isinstance(value, dict):
        return camel_case(value, levels)
    return [_spelt(each, levels - 1) if levels and isinstance(each, dict | list) else each for each in value]


def naming(fields: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return the object that holds a usable text under the first of these names that has one, however it is cased.

    Of several the one that stands least deep. In lists only where no other object does, and there is one such text in
    all of them: of several, nobody can tell which is meant. An empty object where there is none.
    """
    plain: dict[str, Mapping[str, Any]] = {}
    listed: dict[str, dict[str, Mapping[str, Any]]] = {name.lower(): {} for name in names}
    for here, is_listed in _objects(fields):
        for name, value in here.items():
            wanted = name.lower()
            if wanted not in listed or (text := json_values.usable_text(value)) is None:
                continue
            if is_listed:
                if text in listed[wanted]:
                    # Where several say something of it, they may differ in all but the id.
                    listed[wanted][text] = {name: value}
                elif len(listed[wanted]) <= 1:
                    # How many more there are is of no matter.
                    listed[wanted][text] = here
            else:
                plain.setdefault(wanted, here)
    wanted = next((name for name, found in listed.items() if name in plain or found), "")
    if wanted in plain:
        return plain[wanted]
    found = [*listed.get(wanted, {}).values()]
    return found[0] if len(found) == 1 else {}


def _objects(fields: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield an object and all within it, level by level, and whether it stands in a list."""
    level: list[tuple[Any, bool]] = [(fields, False)]
    while level:
        below: list[tuple[Any, bool]] = []
        for value, is_listed in level:
            if isinstance(value, dict):
                yield value, is_listed
                below += [(each, is_listed) for each in value.values() if isinstance(each, dict | list)]
            else:
                below += [(each, True) for each in value if isinstance(each, dict | list)]
        level = below
