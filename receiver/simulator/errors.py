"""The shapes in which a bank's errors come, so that faults can spoil any bank's answers in its own way."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Protocol, cast

from werkzeug.wrappers import Response

from receiver.simulator.answers import SHAPES, RetryAfterForm, Shape, error_answer, rate_limit_answer


class Errors(Protocol):
    """How one bank says no."""

    @property
    def shapes(self) -> tuple[str, ...]:
        """The names of the shapes that its error bodies come in, the usual one first."""

    def answer(self, status: int, error: str, message: str, shape: str | None = None) -> Response:
        """Return an error: a status, a short name and a sentence, in the given shape or the usual one."""

    def too_many(self, seconds: float, now: datetime, shape: str | None, form: RetryAfterForm) -> Response:
        """Return a 429 that says to come back in `seconds`."""


@dataclass(frozen=True)
class ErrorShapes:
    """Errors of a bank whose 429 tells the time in the header `Retry-After` alone (RFC 9110, 10.2.3).

    `usual` is asked each time for the shape to use where none is named.
    """

    shapes: tuple[str, ...]
    render: Callable[[int, str, str, str], Response]
    usual: Callable[[], str]

    def answer(self, status: int, error: str, message: str, shape: str | None = None) -> Response:
        """See `Errors.answer`."""
        return self.render(status, error, message, shape or self.usual())

    def too_many(self, seconds: float, now: datetime, shape: str | None, form: RetryAfterForm) -> Response:
        """See `Errors.too_many`; the form `iso` becomes the header's own form of a time, an HTTP-date."""
        answer = self.answer(429, "TooManyRequests", "Too many requests, please wait", shape)
        if form == "minutes":
            answer.headers["Retry-After"] = str(math.ceil(seconds))
        elif form == "iso":
            answer.headers["Retry-After"] = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
        return answer


class BcbErrors:
    """BCB's errors."""

    shapes: tuple[str, ...] = SHAPES

    def answer(self, status: int, error: str, message: str, shape: str | None = None) -> Response:
        """See `Errors.answer`."""
        return error_answer(status, error, message, cast(Shape, shape or "full"))

    def too_many(self, seconds: float, now: datetime, shape: str | None, form: RetryAfterForm) -> Response:
        """See `Errors.too_many`."""
        return rate_limit_answer(seconds, now, cast(Shape, shape or "full"), form)
