"""Reads what callers send to the bank."""

from flask import request

from receiver.simulator.bcb.refusals import BankRefusal
from receiver.simulator.json_text import loads


def read_object() -> dict[str, object]:
    """Return the current request's body.

    Raises:
        BankRefusal: 400 where it is not a JSON object.
    """
    try:
        body = loads(request.get_data())
    except ValueError as error:
        raise BankRefusal(400, "Bad request", "The body is not JSON") from error
    if not isinstance(body, dict):
        raise BankRefusal(400, "Bad request", "The body must be a JSON object")
    return body
