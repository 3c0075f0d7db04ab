"""JSON in and out with `Decimal` as numbers, so that no amount passes through a float."""

import json
import re
from decimal import Decimal

_MARK = "\x00decimal:"
_MARKED = re.compile(r'"\\u0000decimal:(-?[0-9]+(?:\.[0-9]+)?)"')


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


def _mark(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return f"{_MARK}{value:f}"
    raise TypeError(f"{type(value).__name__} has no form in JSON")
