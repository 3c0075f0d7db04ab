"""Reading bodies of a shape that is not documented: names spelt otherwise, ids and amounts wherever they stand."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
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


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""A word of a name in camelCase or snake_case."""

_FEES = frozenset(("fee", "fees", "charge", "charges", "commission", "commissions"))
"""An object with such a word in its name holds an amount that is not what a payment is worth."""

_NO_FEE = re.compile(r"(?i)charge_?back|coffee")

_ENDS_IN_FEE = re.compile(r"(?i).*(?:fees?|commissions?)")
"""A name whose words can't be told apart, such as `transferfee`."""


def _is_fee(name: str) -> bool:
    if _NO_FEE.search(name):
        return False
    return _ENDS_IN_FEE.fullmatch(name) is not None or any(word.lower() in _FEES for word in _WORD.findall(name))


def money_anywhere(fields: Mapping[str, Any], about: str | None = None) -> tuple[Decimal | None, str | None]:
    """Return amount and currency, where the bank does not say where they stand.

    Those beside the id that the body is `about` count first, then those that stand least deep. Where these can't be
    read, or differ, there are none: what stands further away may be another thing's. The names may be cased otherwise,
    and the amount a text with its currency, such as `5.00 EUR`.
    """
    levels: list[list[Mapping[str, Any]]] = []
    level: list[Mapping[str, Any]] = [fields]
    for _ in range(json_values.DEPTH_MAX):
        levels.append(level)
        inside = ((name, value) for here in level for name, value in here.items() if isinstance(value, dict))
        level = [value for name, value in inside if not _is_fee(name)]
    every = (here for each in levels for here in each)
    beside = [here for here in every if about is not None and about in map(json_values.usable_text, here.values())]
    found = next(filter(None, ([money for here in each for money in _moneys(here)] for each in (beside, *levels))), [])
    amounts, currencies = {worth for worth, _ in found}, {currency for _, currency in found} - {None}
    if len(amounts) != 1 or None in amounts or len(currencies) > 1:
        return None, None
    return amounts.pop(), next(iter(currencies), None)


def _moneys(here: Mapping[str, Any]) -> Iterator[tuple[Decimal | None, str | None]]:
    """Yield each amount that an object holds itself, and its currency; no amount for one that can't be read."""
    named = [value for name, value in here.items() if name.lower() == "amount" and value not in (None, "", [], {})]
    currency = next(
        (found for name in here if name.lower() == "currency" and (found := json_values.text(here, name))), None
    )
    for held in [here["amount"]] if here.get("amount") in named else named:
        whole = {**{name.lower(): value for name, value in held.items()}, **held} if isinstance(held, dict) else {}
        parts = json_values.money_parts(whole.get("amount") if whole else held)
        yield (
            json_values.amount(parts, "amount"),
            json_values.text(parts, "currency") or json_values.text(whole, "currency") or currency,
        )
