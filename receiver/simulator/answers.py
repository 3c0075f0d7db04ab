"""What the simulator answers with: JSON, and the three shapes of an error body that BCB is known to use."""

import math
from datetime import datetime, timedelta
from typing import Literal

from werkzeug.wrappers import Response

from receiver.simulator.json_text import dumps

Shape = Literal["full", "error", "string"]
"""`{"error","message"}`, `{"error"}` alone, or the message as a bare JSON string."""

SHAPES: tuple[Shape, ...] = ("full", "error", "string")

RetryAfterForm = Literal["minutes", "iso", "absent"]
"""How a 429 says when to come back: `"60 minute(s)"`, an ISO 8601 time, or not at all (no header either)."""

RETRY_AFTER_FORMS: tuple[RetryAfterForm, ...] = ("minutes", "iso", "absent")


def json_answer(value: object, status: int = 200) -> Response:
    """Answer with `value` as JSON; a `Decimal` in it becomes a number."""
    return Response(dumps(value), status, content_type="application/json; charset=utf-8")


def error_answer(
    status: int, error: str, message: str, shape: Shape = "full", retry_after: str | None = None
) -> Response:
    """Answer with an error body in the given shape; `retry_after` goes into the shapes that are objects."""
    if shape == "string":
        return json_answer(message, status)
    body = {"error": error, "message": message} if shape == "full" else {"error": error}
    if retry_after is not None:
        body["retry_after"] = retry_after
    return json_answer(body, status)


def rate_limit_answer(
    seconds: float, now: datetime, shape: Shape = "full", form: RetryAfterForm = "minutes"
) -> Response:
    """Answer 429: come back in `seconds`; the header `Retry-After` carries whole seconds (RFC 9110, 10.2.3)."""
    told = {
        "minutes": f"{max(1, math.ceil(seconds / 60))} minute(s)",
        "iso": (now + timedelta(seconds=seconds)).isoformat(),
        "absent": None,
    }[form]
    text = "You have exceeded the request limit. Please wait for the rate limit to reset."
    answer = error_answer(429, "Rate limit exceeded", text, shape, told)
    if form != "absent":
        answer.headers["Retry-After"] = str(math.ceil(seconds))
    return answer
