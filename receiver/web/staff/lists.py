"""What lists have in common: their state is in their URL, to be sent to a colleague, and filters show as chips."""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from flask import Response, request

from receiver.store.search_questions import CURRENCY_SIGNS, amounts
from receiver.web.problems import Problem
from receiver.web.schemas.base import TEXT_CHARACTERS_MAX
from receiver.web.schemas.times import YEARS, read_time, rfc3339
from receiver.web.staff.rendering import here, is_partial

PAGE = 50

VALUE_CHARACTERS_MAX = TEXT_CHARACTERS_MAX
VALUES_MAX = 50

AMOUNT = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,10})?")

TRUTHS = {"true": True, "false": False}
"""As the API has them, so that a list's filters are those of a search there."""

Row = TypeVar("Row")
Place = TypeVar("Place")


class Chip(NamedTuple):
    """One filter of a list: what it is, its value, and the link to the list without it."""

    label: str
    value: str
    without: str


class Preset(NamedTuple):
    """A choice of filters that is one click away."""

    label: str
    link: str
    is_present: bool


def several(name: str, known: Collection[str] = ()) -> list[str]:
    """Return the values of a parameter that are not empty; `known` are all that it may have.

    Raises:
        Problem: 400
    """
    given = [text for value in request.args.getlist(name) if (text := value.strip())]
    if len(given) > VALUES_MAX or any(len(text) > VALUE_CHARACTERS_MAX or "\0" in text for text in given):
        raise Problem(400, f"The filter “{name}” takes up to {VALUES_MAX} values of {VALUE_CHARACTERS_MAX} characters.")
    if known and (wrong := [text for text in given if text not in known]):
        raise Problem(400, f"There is no {name} “{wrong[0]}”; there are: {', '.join(known)}.")
    return list(dict.fromkeys(given))


def one(name: str, known: Collection[str] = ()) -> str:
    """Return the value of a parameter, empty where it was not given.

    Raises:
        Problem: 400
    """
    given = several(name, known)
    if len(given) > 1:
        raise Problem(400, f"The filter “{name}” takes one value.")
    return given[0] if given else ""


def number(name: str) -> int | None:
    """Return a whole number that a parameter holds, such as the place to go on from.

    Raises:
        Problem: 400
    """
    given = one(name)
    if not given:
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        raise Problem(400, f"“{name}” takes a whole number.")
    return int(given)


def amount(name: str) -> Decimal | None:
    """Return an amount that a parameter holds, read as the search box reads it; `1.250` has a decimal point.

    Raises:
        Problem: 400
    """
    typed = one(name)
    if not typed:
        return None
    given = typed.strip(CURRENCY_SIGNS).strip()
    # No exponent: of a few characters it makes a number as long as one likes.
    meant = given if AMOUNT.fullmatch(given) else next(iter(amounts(given)), "")
    if not given[:1].isdecimal() or not AMOUNT.fullmatch(meant):
        raise Problem(400, f"“{name.replace('_', ' ')}” takes an amount such as 1000.00.")
    return Decimal(meant)


def as_given(value: Any) -> Any:
    """Return what was read of a parameter as an address or a form has it; of several values each."""
    if isinstance(value, list):
        return [as_given(each) for each in value]
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    # An amount with an exponent is taken by no form.
    return value if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def truth(name: str) -> bool | None:
    """Return whether `true` or `false` is asked for; none where neither is.

    Raises:
        Problem: 400
    """
    given = one(name, tuple(TRUTHS))
    return TRUTHS[given] if given else None


_TO_THE_MINUTE = re.compile(r"^([0-9-]{10}[Tt ][0-9]{2}:[0-9]{2})((?:[Zz]|[+-][0-9:]{5})?)$")
"""A time as a browser's field sends it, or as somebody types it into the address."""


def time(name: str) -> datetime | None:
    """Return a time in UTC; one without a zone, as a browser's field sends it, is UTC.

    Raises:
        Problem: 400
    """
    given = one(name)
    if not given:
        return None
    try:
        found = read_time(_TO_THE_MINUTE.sub(r"\1:00\2", given))
        in_utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        if YEARS[0] <= in_utc.year <= YEARS[1]:
            return in_utc
    except (ValueError, OverflowError):
        pass
    raise Problem(400, f"“{name.replace('_', ' ')}” takes a time in UTC, such as 2026-01-31T12:00.")


def for_field(moment: datetime | None) -> str:
    """Write a time in UTC as a browser's field takes it."""
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}"


def chips(*names: str) -> list[Chip]:
    """Return the filters that are set, each with the link to the list without it."""
    found = []
    for name in names:
        given = [value for value in request.args.getlist(name) if value.strip()]
        for value in given:
            others = [other for other in given if other != value] or None
            found.append(Chip(name.replace("_", " "), value, here(**{name: others}, below=None)))
    return found


def presets(now: datetime) -> list[Preset]:
    """Return spans of time that are one click away: as times, so that a colleague sees the same."""
    asked = one("received_after")
    hour = (now - timedelta(hours=1)).replace(second=0, microsecond=0)
    spans = (("Last hour", hour), ("Today", now.replace(hour=0, minute=0, second=0, microsecond=0)))
    links = [
        Preset(label, here(received_after=rfc3339(start), received_before=None, below=None), rfc3339(start) == asked)
        for label, start in spans
    ]
    any_time = Preset("Any time", here(received_after=None, received_before=None, below=None), not asked)
    return [any_time, *links]


def at_its_address(response: Response) -> Response:
    """Have a browser show the address of a list that was refreshed as one types, without what is empty."""
    if is_partial():
        empty = [name for name, values in request.args.lists() if not any(value.strip() for value in values)]
        response.headers["HX-Replace-Url"] = here(**dict.fromkeys(empty))
    return response


def following(rows: Sequence[Row], place: Callable[[Row], Place]) -> Place | None:
    """Return the place of the last one of the page, to go on from; none where no more was found than it shows."""
    return place(rows[PAGE - 1]) if len(rows) > PAGE else None
