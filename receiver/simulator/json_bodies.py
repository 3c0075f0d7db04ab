"""JSON in and out: control requests and options read by pydantic, answers and refusals written."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import requests
from flask import request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError
from pydantic import model_validator as pydantic_model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails
from werkzeug.wrappers import Response

from receiver.simulator.scripts import Script, Step

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


YEAR_MAX = 9000

SECONDS_MAX = 1e8
"""Three years; more would leave what a datetime can hold."""

DAYS_MAX = 36_500
"""A hundred years."""

WHOLE_MAX = 1_000_000_000
LIST_MAX = 100

_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,50}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,498}[\x21-\x7e])?|")


class BadInput(Exception):
    """The input is not what was asked for; the text names the field and what it takes."""


def is_url(value: str) -> bool:
    """Tell whether `value` is an absolute http or https address in visible ASCII that `requests` can speak to."""
    try:
        requests.Request("POST", value).prepare()
        visible = all("!" <= character <= "~" for character in value)
        return value.startswith(("http://", "https://")) and urlsplit(value).port != 0 and visible
    except ValueError:
        return False


def is_headers(value: object) -> bool:
    """Tell whether `value` is 10 HTTP headers at most, names up to 50 and values up to 500 characters."""
    return (
        isinstance(value, dict)
        and len(value) <= 10
        and all(_HEADER_NAME.fullmatch(name) for name in value)
        and all(isinstance(text, str) and _HEADER_VALUE.fullmatch(text) for text in value.values())
    )


def _url(value: str) -> str:
    if not is_url(value):
        raise ValueError("must be an absolute http or https address")
    return value


def _headers(value: object) -> object:
    if not is_headers(value):
        raise ValueError("must be an object of at most 10 header names and values")
    return value


def _amount(value: object) -> Decimal:
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise ValueError('must be a decimal string such as "1000.00"')
    return Decimal(value)


def _time(value: object) -> datetime:
    """Read a time (RFC 3339) with its zone; what JSON has no form for is there as a text."""
    try:
        found = datetime.fromisoformat(value.upper()) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1970 < found.year < YEAR_MAX:
        raise ValueError('must be a time with its zone such as "2026-03-02T12:00:00Z"')
    return found.astimezone(UTC)


def _number(value: object) -> object:
    """Read a number as a float; a truth value is none, nor is a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004 - what pydantic turns into an error about the field
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _script(value: object) -> object:
    if isinstance(value, Script):
        return value
    if not isinstance(value, list) or not 1 <= len(value) <= LIST_MAX:
        raise ValueError(f"must be a list of 1 to {LIST_MAX} steps [status, seconds]")
    return Script(tuple(_step(entry) for entry in value))


def _step(entry: object) -> Step:
    status, seconds = (*entry, None)[:2] if isinstance(entry, list) and 1 <= len(entry) <= 2 else (None, None)
    if not isinstance(status, str) or not 1 <= len(status) <= 100:
        raise ValueError("must be steps [status] or [status, seconds], a status of 1 to 100 characters")
    length = _number(0 if seconds is None else seconds)
    if not isinstance(length, float) or not 0 <= length <= SECONDS_MAX:
        raise ValueError(f"must be steps that last from 0 to {SECONDS_MAX:g} seconds")
    return Step(status, length)


Text = Annotated[str, Field(min_length=1, max_length=2000)]
Url = Annotated[Text, AfterValidator(_url)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Seconds = Annotated[Number, Field(ge=0, le=SECONDS_MAX)]
Days = Annotated[Number, Field(ge=0, le=DAYS_MAX)]
Delay = Annotated[Number, Field(ge=0, le=3600)]
Whole = Annotated[int, Field(ge=0, le=WHOLE_MAX)]
Port = Annotated[int, Field(ge=0, le=65535)]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
"""An unsigned decimal string such as "1000.00"."""
Time = Annotated[datetime, BeforeValidator(_time)]
"""A time with its zone, `"2026-03-02T12:00:00Z"`."""
Headers = Annotated[dict[str, str], BeforeValidator(_headers)]
Objects = Annotated[list[dict[str, object]], Field(min_length=1, max_length=10_000)]
Texts = Annotated[list[str], Field(max_length=LIST_MAX)]
SecondsTuple = Annotated[tuple[Seconds, ...], BeforeValidator(_tuple), Field(max_length=LIST_MAX)]
TextTuple = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
StatusScript = Annotated[InstanceOf[Script], BeforeValidator(_script)]
"""Steps of a status and seconds, `[["Pending", 2], ["Completed"]]`."""


class Body(BaseModel):
    """The JSON object of a control request; null counts as absent, and a field that nobody asked for is refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )

    @pydantic_model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: object) -> object:
        # One inside another may be anything yet: pydantic says so, once it has it.
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}


BodyT = TypeVar("BodyT", bound=Body)


def read_object() -> dict[str, object]:
    """Return the JSON object that the current request carries; an empty body counts as an empty object.

    Raises:
        BadInput: where it is anything but a JSON object, or holds a text that UTF-8 has no form for.
    """
    raw = request.get_data()
    try:
        values = loads(raw) if raw.strip() else {}
        if b"\\u" in raw:
            dumps(values, ascii_only=False).encode()
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadInput("the body must be a JSON object")
    return values


def read_body(kind: type[BodyT]) -> BodyT:
    """Return the current request's body.

    Raises:
        BadInput: where it does not fit.
    """
    try:
        return kind.model_validate(read_object())
    except ValidationError as error:
        raise BadInput(explain(error, kind)) from None


def explain(error: ValidationError, kind: type[BaseModel], what: str = "fields") -> str:
    """Say in one line what is wrong: the field, what it takes, and what was given unless that is a secret."""
    details = error.errors(include_url=False)
    unknown = sorted(str(detail["loc"][0]) for detail in details if detail["type"] == "extra_forbidden")
    if unknown:
        known = ", ".join(sorted(field.alias or name for name, field in kind.model_fields.items()))
        return f"unknown {what}: {', '.join(unknown)[:200]!a}; known: {known}"
    return "; ".join(_said(detail, kind.model_fields) for detail in details[:3])


def _said(detail: ErrorDetails, fields: Mapping[str, Any]) -> str:
    name = ".".join(str(step) for step in detail["loc"])[:200]
    text = detail["msg"].removeprefix("Value error, ")
    if not name:
        return text
    if detail["type"] == "missing":
        return f"{name} is missing"
    text = re.sub(r"^(Input|String|List|Tuple|Dictionary|Value) should ", "must ", text)
    field = fields.get(str(detail["loc"][0]))
    is_secret = field is not None and not field.repr
    given = detail.get("input")
    if is_secret or not isinstance(given, str | int | float | Decimal):
        return f"{name} {text}"
    return f"{name} {text}, not {str(given)[:100]!a}"
