"""What all shapes share: how a question is read and an answer is written, and the types that recur."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar, get_args, get_origin

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from receiver.admin.names import NameKind, Names
from receiver.store.payments import AGREEMENTS, STATUSES
from receiver.web.schemas import spreadsheet
from receiver.web.schemas.times import asked_time, rfc3339

TEXT_CHARACTERS_MAX = 256
BODY_TEXT_CHARACTERS_MAX = 4000

PAGE = 100
PAGE_MAX = 1000

NO_NUL = "^[^\\u0000]*$"
"""No stored text holds a NUL, and a database refuses to look for one. Pydantic itself refuses lone surrogates."""

DECIMAL = r"^[0-9]{1,30}(\.[0-9]{1,10})?$"
_DECIMAL = re.compile(DECIMAL[1:-1])

Value = TypeVar("Value")


def _whole_number(given: object) -> object:
    """Read digits alone: `int` takes signs, spaces, underscores and the digits of other scripts too."""
    if not isinstance(given, str):
        return given
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise ValueError
    return int(given)


def _truth(given: object) -> object:
    """Read the two words of JSON alone: `bool` takes `yes`, `on`, `1` and others too."""
    if not isinstance(given, str):
        return given
    if given not in ("true", "false"):
        raise ValueError
    return given == "true"


_ZONE = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}$)")


def _plus(given: object) -> object:
    """Give the unescaped `+` of a zone back, which arrives as a space."""
    return _ZONE.sub("+", given) if isinstance(given, str) else given


def _decimal(given: object) -> object:
    """Read digits with a decimal point alone: `Decimal` takes exponents, underscores and NaN too."""
    if not isinstance(given, str) or not _DECIMAL.fullmatch(given):
        raise ValueError
    return Decimal(given)


class GivenTwice(Exception):
    """A parameter or field that takes one value was given several."""

    def __init__(self, name: str) -> None:
        """Take the parameter's or field's name."""
        super().__init__(name)
        self.name = name


def known(kind: NameKind) -> AfterValidator:
    """Refuse a name that is none of those that there are (`receiver.admin.names`), where the context has these."""

    def check(given: str, info: ValidationInfo) -> str:
        if given and isinstance(info.context, Names):
            info.context.check(kind, given)
        return given

    return AfterValidator(check)


def one_of(words: Sequence[str]) -> AfterValidator:
    """Refuse what is none of the words."""

    def check(given: str) -> str:
        if given not in words:
            raise ValueError
        return given

    return AfterValidator(check)


class _LeftOut:
    """What `LeftOut` says to pydantic."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take the type without its null."""
        schema = handler(source)
        return schema["schema"] if schema["type"] == "nullable" else schema


LeftOut = Annotated[Value | None, _LeftOut()]
"""A field that may be left out, and is never null. Its default is `left_out()`."""


def left_out() -> Any:
    """Default to none, and describe no default."""
    return Field(default_factory=lambda: None)


# What is asked: it is refused where it does not fit.
ShortText = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX, pattern=NO_NUL)]
Text = Annotated[str, Field(min_length=1, max_length=BODY_TEXT_CHARACTERS_MAX, pattern=NO_NUL)]
SourceName = Annotated[ShortText, known("source")]
EventType = Annotated[ShortText, known("event type")]
EntryType = Annotated[ShortText, known("entry type")]
FROM_DIGITS = BeforeValidator(_whole_number)
Truth = Annotated[bool, BeforeValidator(_truth)]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX), FROM_DIGITS]
AskedTime = Annotated[datetime, BeforeValidator(asked_time)]
AskedAmount = Annotated[
    Decimal, BeforeValidator(_decimal), WithJsonSchema({"type": "string", "pattern": DECIMAL, "examples": ["1000.00"]})
]
QueryTime = Annotated[AskedTime, BeforeValidator(_plus)]


def _nameable(given: str) -> str:
    """Refuse what nothing stored is named."""
    if "\0" in given:
        raise ValueError
    return given


PathText = Annotated[str, AfterValidator(_nameable), Field(json_schema_extra={"minLength": 1})]

# What is answered: bounds are for the description alone, so that no answer fails for what is stored.
Amount = Annotated[str, Field(examples=["1000.00"], json_schema_extra={"pattern": r"^-?[0-9]+(\.[0-9]+)?$"})]
Sha256 = Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
EventId = Annotated[str, Field(examples=["evt_01a1fe381c647449650ebf4481da"], json_schema_extra={"pattern": "^evt_"})]
Status = Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]
Agreement = Annotated[str, Field(json_schema_extra={"enum": list(AGREEMENTS)})]
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Shape(BaseModel):
    """What all shapes share: the text below a field describes it."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        from_attributes=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Arguments(Protocol):
    """The parameters of a query string, each with all its values (werkzeug's `MultiDict`)."""

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""

    def get(self, key: str, /) -> str | None:
        """Return a parameter's first value."""

    def getlist(self, key: str, /) -> list[str]:
        """Return all of a parameter's values."""


class Path(Shape):
    """What is named in a path. `status` is answered where a part of it is not what it takes."""

    status: ClassVar[int] = 404


class Query(Shape):
    """The parameters of a query string; an empty one counts as absent, and one that is not known is refused."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def read(cls, arguments: Arguments, names: Names | None = None) -> Self:
        """Read what was asked; `names` are those that it may hold, where they are to be checked.

        Raises:
            GivenTwice: a parameter that takes one value; empty ones count, so that none is taken for meant.
            ValidationError
            NameUnknown
        """
        given: dict[str, Any] = {name: arguments.get(name) for name in arguments if name not in cls.model_fields}
        for name, field in cls.model_fields.items():
            if get_origin(field.annotation) is list:
                given[name] = [value for value in arguments.getlist(name) if value]
            elif len(arguments.getlist(name)) > 1:
                raise GivenTwice(name)
            elif value := arguments.get(name):
                given[name] = value
        return cls.model_validate(given, context=names)


class NoQuery(Query):
    """No parameter at all."""


class Body(Shape):
    """A request's body, a JSON object. `mark` is the field that tells it from the others that an operation takes."""

    model_config = ConfigDict(extra="forbid")

    mark: ClassVar[str | None] = None


class NoBody(Body):
    """No field at all: the body may be left out."""


def json_text(value: object) -> bytes:
    """Write JSON, fast; what orjson refuses (lone surrogates, whole numbers beyond 64 bits) in the slow way."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


class Answer(Shape):
    """What is answered: made of what is stored, and written as JSON."""

    @classmethod
    def of(cls, record: object) -> Self:
        """Take the fields from a record's attributes."""
        return cls.model_validate(record)

    def shown(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return self.model_dump(mode="json")

    def written(self) -> bytes:
        """Return the JSON text."""
        return json_text(self.shown())


class ListPage(Answer):
    """A page of a list, which is written as CSV too: a line for each of `data`, in the order of its fields."""

    cursor_parameter: ClassVar[str] = "cursor"
    """The parameter that takes `next`."""

    data: Sequence[Any]
    next: str | None

    def as_csv(self) -> str:
        """Return the page as CSV; the first line has the names of the fields."""
        (shape,) = get_args(type(self).model_fields["data"].annotation)
        columns = list(shape.model_fields if issubclass(shape, BaseModel) else shape.__annotations__)
        rows = ([row.get(column) for column in columns] for row in self.shown()["data"])
        return "".join(map(spreadsheet.line, (columns, *rows)))


def such_as(**fields: Any) -> ConfigDict:
    """Give an example of a body, for the description."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Problem(Answer):
    """What was wrong, as RFC 9457 says it."""

    type: Literal["about:blank"]
    title: str
    """The phrase of the status."""
    status: int
    detail: str
    """What was wrong with this request, and what to do."""


class Health(Answer):
    """It is well."""

    status: Literal["ok", "ready"]


class Index(Answer):
    """Where things are."""

    service: str
    places: dict[str, str | list[str]]


class OpenApi(Answer):
    """This description: OpenAPI 3.1."""

    openapi: Annotated[str, Field(pattern=r"^3\.1\.")]
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


class AuditEntry(Answer):
    """One line of the audit log."""

    id: int
    at: Time
    who: str
    """`cli:<user>`, `token:<name>` or `staff:<name>`; `environment`, `oidc` or `worker` where no person did it."""
    what: str
    why: str | None
    about: dict[str, Any]
