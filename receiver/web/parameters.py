"""Reading query parameters; what is wrong with one is a 400 that names it and says what it takes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import json, request

from receiver.web.problems import Problem

TEXT_CHARACTERS_MAX = 256
BODY_TEXT_CHARACTERS_MAX = 4000

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
    if not _can_be_stored(value, TEXT_CHARACTERS_MAX):
        raise Problem(400, f"`{name}` takes up to {TEXT_CHARACTERS_MAX} characters, without NUL.")
    return value


def _can_be_stored(value: str, most: int) -> bool:
    # No stored text holds a NUL or half of a surrogate pair (JSON can), and a database refuses to look for one.
    return len(value) <= most and "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def check_text(name: str, value: object) -> str:
    """Return a value of a JSON object that is text of the length of a parameter.

    Raises:
        Problem
    """
    if not isinstance(value, str) or not value:
        raise Problem(400, f"`{name}` takes a text of up to {TEXT_CHARACTERS_MAX} characters.")
    return _clean(name, value)


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
    # An unescaped `+` arrives as a space.
    return read_time(name, given.replace(" ", "+")) if given else None


def read_time(name: str, given: str) -> datetime:
    """Read a time with its zone (RFC 3339), 1971 or later.

    Raises:
        Problem
    """
    try:
        found = datetime.fromisoformat(given)
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


def body_fields() -> dict[str, Any]:
    """Return the request's body, a JSON object.

    Raises:
        Problem
    """
    try:
        found = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(400, "Send a JSON object.")
    return found


def field_text(
    fields: Mapping[str, Any], name: str, default: str | None = None, most: int = BODY_TEXT_CHARACTERS_MAX
) -> str:
    """Return a field of a JSON object that holds text of up to `most` characters.

    Raises:
        Problem: it holds none, and there is no default.
    """
    found = fields.get(name, default)
    if not isinstance(found, str) or not found or not _can_be_stored(found, most):
        raise Problem(400, f"Send `{name}`, a text of up to {most} characters.")
    return found


def body_text(name: str) -> str:
    """Return a field of the request's body that holds text.

    Raises:
        Problem
    """
    return field_text(body_fields(), name)
