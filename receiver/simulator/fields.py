"""Reads a JSON object field by field, and says clearly what is wrong with it."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlsplit

import requests

from receiver.simulator.json_text import dumps, loads
from receiver.simulator.scripts import Script, Step

SECONDS_MAX = 1e8
"""Three years; more would leave what a datetime can hold."""

_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,50}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,498}[\x21-\x7e])?|")
_Option = TypeVar("_Option", bound=str)


class BadFieldError(Exception):
    """The input is not what was asked for; the text names the field and what it takes."""


class Fields:
    """A JSON object that was sent in; each method takes one field, `done` refuses what was not taken."""

    def __init__(self, raw: bytes) -> None:
        """Read `raw`; an empty body counts as an empty object.

        Raises:
            BadFieldError: where it is anything but a JSON object.
        """
        try:
            body = loads(raw) if raw.strip() else {}
        except ValueError as error:
            raise BadFieldError(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise BadFieldError("the body must be a JSON object")
        self._body: dict[str, object] = body

    def text(self, name: str, default: str | None = None) -> str:
        """Take a string of 1 to 2,000 characters that UTF-8 can hold; required where there is no default."""
        value = self._take(name, default)
        if not isinstance(value, str) or not 1 <= len(value) <= 2000 or not _encodes(value):
            raise BadFieldError(f"{name} must be a string of 1 to 2000 characters")
        return value

    def choice(self, name: str, options: Sequence[_Option], default: _Option | None = None) -> _Option:
        """Take one of `options`."""
        value = self._take(name, default)
        for option in options:
            if value == option:
                return option
        raise BadFieldError(f"{name} must be one of {', '.join(options)}")

    def number(self, name: str, default: float | None = None, highest: float = SECONDS_MAX) -> float:
        """Take a number from 0 to `highest`."""
        return read_number(name, self._take(name, default), highest)

    def whole(self, name: str, default: int | None, highest: int) -> int | None:
        """Take a whole number from 0 to `highest`, or null where null is the default."""
        value = self._take(name, default, optional=True)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
            raise BadFieldError(f"{name} must be a whole number from 0 to {highest}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Take true or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise BadFieldError(f"{name} must be true or false")
        return value

    def amount(self, name: str, default: str | None = None) -> Decimal:
        """Take an unsigned decimal string such as "1000.00"."""
        value = self._take(name, default)
        if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
            raise BadFieldError(f'{name} must be a decimal string such as "1000.00"')
        return Decimal(value)

    def url(self, name: str, default: str | None = None) -> str:
        """Take an absolute http or https address."""
        value = self.text(name, default)
        if not is_url(value):
            raise BadFieldError(f"{name} must be an absolute http or https address")
        return value

    def script(self, name: str) -> Script | None:
        """Take a status script `[["Pending", 2], ["Completed"]]`, or None where it is absent."""
        value = self._take(name, None, optional=True)
        return None if value is None else read_script(name, value)

    def seconds_list(self, name: str) -> tuple[float, ...] | None:
        """Take a list of at most 20 numbers of seconds, or None where it is absent."""
        value = self._take(name, None, optional=True)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > 20:
            raise BadFieldError(f"{name} must be a list of at most 20 numbers")
        return tuple(read_number(name, entry, 3600) for entry in value)

    def headers(self, name: str) -> dict[str, str]:
        """Take an object of at most 10 HTTP headers: names up to 50, values up to 500 characters."""
        value = self._take(name, None, optional=True)
        if not is_headers({} if value is None else value):
            raise BadFieldError(f"{name} must be an object of at most 10 header names and values")
        return dict(value) if isinstance(value, dict) else {}

    def texts(self, name: str) -> list[str]:
        """Take a list of at most 100 strings."""
        value = self._take(name, None)
        if not isinstance(value, list) or len(value) > 100 or not all(isinstance(entry, str) for entry in value):
            raise BadFieldError(f"{name} must be a list of at most 100 strings")
        return value

    def mapping(self, name: str) -> dict[str, object]:
        """Take an object that UTF-8 can hold, or an empty one where it is absent."""
        value = self._take(name, None, optional=True)
        value = {} if value is None else value
        if not isinstance(value, dict) or not _encodes(dumps(value, ascii_only=False)):
            raise BadFieldError(f"{name} must be an object")
        return value

    def objects(self, name: str) -> list[dict[str, object]]:
        """Take a list of 1 to 10,000 objects that UTF-8 can hold."""
        value = self._take(name, None)
        if not isinstance(value, list) or not 1 <= len(value) <= 10_000 or not _encodes(dumps(value, ascii_only=False)):
            raise BadFieldError(f"{name} must be a list of 1 to 10000 objects")
        if not all(isinstance(entry, dict) for entry in value):
            raise BadFieldError(f"{name} must be a list of 1 to 10000 objects")
        return value

    def anything(self, name: str) -> object:
        """Take the field as it is, or None where it is absent."""
        return self._take(name, None, optional=True)

    def rest(self) -> dict[str, object]:
        """Take all that is left."""
        left, self._body = self._body, {}
        return left

    def done(self) -> None:
        """Refuse fields that nobody asked for, so that a typing error does not go unseen."""
        if self._body:
            raise BadFieldError(f"unknown fields: {', '.join(sorted(self._body))[:200]!a}")

    def __contains__(self, name: str) -> bool:
        return self._body.get(name) is not None

    def _take(self, name: str, default: object, *, optional: bool = False) -> object:
        value = self._body.pop(name, None)
        value = default if value is None else value
        if value is None and not optional:
            raise BadFieldError(f"{name} is missing")
        return value


def read_script(name: str, value: object) -> Script:
    """Read a status script `[["Pending", 2], ["Completed"]]`.

    Raises:
        BadFieldError: where it is none.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= 100:
        raise BadFieldError(f"{name} must be a list of 1 to 100 steps [status, seconds]")
    return Script(tuple(_step(name, entry) for entry in value))


def read_number(name: str, value: object, highest: float) -> float:
    """Read a number from 0 to `highest`.

    Raises:
        BadFieldError: where it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadFieldError(f"{name} must be a number from 0 to {highest:g}")
    # NaN and the infinities fail this too.
    if not 0 <= value <= highest:
        raise BadFieldError(f"{name} must be a number from 0 to {highest:g}")
    return float(value)


def is_url(value: str) -> bool:
    """Tell whether `value` is an absolute http or https address in visible ASCII that `requests` can speak to."""
    try:
        requests.Request("POST", value).prepare()
        return value.startswith(("http://", "https://")) and urlsplit(value).port != 0 and _visible(value)
    except ValueError:
        return False


def is_headers(value: object) -> bool:
    """Tell whether `value` fits the sheet's `customHeaders`: 10 at most, names to 50, values to 500 characters."""
    return (
        isinstance(value, dict)
        and len(value) <= 10
        and all(_HEADER_NAME.fullmatch(name) for name in value)
        and all(isinstance(text, str) and _HEADER_VALUE.fullmatch(text) for text in value.values())
    )


def _step(name: str, entry: object) -> Step:
    if not isinstance(entry, list) or not 1 <= len(entry) <= 2:
        raise BadFieldError(f"{name}: each step is [status] or [status, seconds]")
    status = entry[0]
    if not isinstance(status, str) or not 1 <= len(status) <= 100:
        raise BadFieldError(f"{name}: a status is a string of 1 to 100 characters")
    seconds = entry[1] if len(entry) == 2 and entry[1] is not None else 0
    return Step(status, read_number(name, seconds, SECONDS_MAX))


def _visible(value: str) -> bool:
    return all("!" <= character <= "~" for character in value)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
