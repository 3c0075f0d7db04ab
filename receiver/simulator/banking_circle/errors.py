"""The bank's errors: there is no one format, so any of six may come."""

from collections.abc import Callable
from typing import get_args

from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.banking_circle.config import ErrorShape
from receiver.simulator.errors import ErrorShapes

SHAPES: tuple[str, ...] = get_args(ErrorShape)


def errors(usual: Callable[[], str]) -> ErrorShapes:
    """Return the bank's way to say no; `usual` is asked for the shape where none is named."""
    return ErrorShapes(SHAPES, _render, usual)


def _render(status: int, error: str, message: str, shape: str) -> Response:
    if shape == "empty":
        return Response(b"", status)
    answer = json_answer(_body(status, error, message, shape), status)
    if shape == "problem":
        answer.content_type = "application/problem+json"
    return answer


def _body(status: int, error: str, message: str, shape: str) -> object:
    match shape:
        case "validation":
            kind = "https://tools.ietf.org/html/rfc7231#section-6.5.1"
            return {"type": kind, "title": error, "status": status, "errors": {"request": [message]}}
        case "properties":
            return {"errors": [{"propertyName": "request", "errorCode": error, "errorDescription": message}]}
        case "problem":
            return {"type": "about:blank", "title": error, "status": status, "detail": message}
        case "code":
            return {"errorCode": error, "errorMessage": message}
        case _:
            return {"errors": [{"httpStatus": status, "errorCode": error, "keyOrMessage": message}]}
