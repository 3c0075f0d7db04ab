"""Reading query parameters; what is wrong with one is a 400 that names it and says what it takes."""

from collections.abc import Sequence
from datetime import UTC, datetime

from flask import request

from receiver.web.problems import Problem

TEXT_CHARACTERS_MAX = 256

YEARS = (1971, 9998)
"""Times that still are times after a little is added or taken away."""


def text(name: str) -> str | None:
    """Return a parameter's text; none where it is absent or empty.

    Raises:
        Problem
    """
    return _clean(name, request.args.get(name, "")) or None


def texts(name: str) -> list[str]:
    """Return the values of a parameter that may stand several times.

    Raises:
        Problem
    """
    return [value for given in request.args.getlist(name) if (value := _clean(name, given))]


def _clean(name: str, value: str) -> str:
    # No stored text holds a NUL, and PostgreSQL refuses to look for one.
    if len(value) > TEXT_CHARACTERS_MAX or "\0" in value:
        raise Problem(400, f"`{name}` takes up to {TEXT_CHARACTERS_MAX} characters, without NUL.")
    return value


def path_part(value: str) -> str:
    """Return a part of the path that names something stored.

    Raises:
        Problem: 404, it holds a NUL, as nothing stored does.
    """
    if "\0" in value:
        raise Problem(404, "There is nothing of this name.")
    return value


def number(name: str, default: int, least: int, most: int) -> int:
    """Return a whole number between `least` and `most`.

    Raises:
        Problem
    """
    given = request.args.get(name, "")
    if not given:
        return default
    found = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else -1
    if not least <= found <= most:
        raise Problem(400, f"`{name}` takes a whole number from {least} to {most}.")
    return found


def time(name: str) -> datetime | None:
    """Return a time in UTC, from a text with its zone (RFC 3339).

    Raises:
        Problem
    """
    given = request.args.get(name, "")
    if not given:
        return None
    try:
        # An unescaped `+` arrives as a space.
        found = datetime.fromisoformat(given.replace(" ", "+"))
        in_utc = found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Problem(400, f"`{name}` takes a time such as 2026-01-31T12:00:00Z.") from error
    if found.tzinfo is None or not YEARS[0] <= in_utc.year <= YEARS[1]:
        raise Problem(400, f"`{name}` takes a time with its zone, such as 2026-01-31T12:00:00Z.")
    return in_utc


def choice(name: str, accepted: Sequence[str]) -> str | None:
    """Return one of the accepted words; none where the parameter is absent.

    Raises:
        Problem
    """
    given = request.args.get(name, "")
    if given and given not in accepted:
        raise Problem(400, f"`{name}` takes one of: {', '.join(accepted)}.")
    return given or None
