"""What the banks answer with: JSON in and out, and how a bank says no."""

import json
import math
import re
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Literal

from werkzeug.wrappers import Response

_MARK = "\x00decimal:"
_MARKED = re.compile(r'"\\u0000decimal:(-?[0-9]+(?:\.[0-9]+)?)"')

RetryAfterForm = Literal["minutes", "iso", "absent"]
"""How a 429 says when to come back: after how long, at what time, or not at all (no header either)."""


def dumps(value: object, *, ascii_only: bool = True) -> str:
    """Write JSON; a finite `Decimal` becomes a number with exactly its digits (`-500.00`).

    Raises:
        TypeError: for what JSON has no form for.
    """
    return _MARKED.sub(r"\1", json.dumps(value, default=_mark, allow_nan=False, ensure_ascii=ascii_only))


def loads(raw: bytes) -> object:
    """Read JSON; numbers with a fraction become `Decimal`.

    Raises:
        ValueError: for anything that is not JSON in UTF-8, or that is nested too deep.
    """
    try:
        return json.loads(raw, parse_float=Decimal)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except ArithmeticError as error:
        raise ValueError("a number beyond all bounds") from error


def json_answer(value: object, status: int = 200) -> Response:
    """Answer with `value` as JSON; a `Decimal` in it becomes a number."""
    return Response(dumps(value), status, content_type="application/json; charset=utf-8")


class Refusal(Exception):
    """The bank answers with an error: its HTTP status, a short name and a sentence.

    `shape` is one of the bank's shapes of errors where it is not the usual one; `seconds` is when to come back after a
    429.
    """

    def __init__(
        self, status: int, error: str, message: str, *, shape: str | None = None, seconds: float | None = None
    ) -> None:
        """Refuse; an error's text names the status too."""
        super().__init__(f"{status} {error}: {message}")
        self.status = status
        self.error = error
        self.message = message
        self.shape = shape
        self.seconds = seconds


def plain_error(status: int, error: str, message: str) -> Response:
    """Answer `{"error","message"}`, as the control endpoints do, and a bank that has no shape of its own."""
    return json_answer({"error": error, "message": message}, status)


def add_retry_after(answer: Response, seconds: float, now: datetime, form: RetryAfterForm) -> Response:
    """Say in the header `Retry-After` (RFC 9110, 10.2.3) when to come back: whole seconds, or an HTTP-date."""
    if form == "minutes":
        answer.headers["Retry-After"] = str(math.ceil(seconds))
    elif form == "iso":
        answer.headers["Retry-After"] = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    return answer


def _mark(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return f"{_MARK}{value:f}"
    raise TypeError(f"{type(value).__name__} has no form in JSON")
