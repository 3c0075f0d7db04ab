"""What a view says of itself, beside its code: `@describes(…)`. `receiver.web.openapi` makes the document of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from receiver.web.parameters import TEXT_CHARACTERS_MAX

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "described_as"

NO_NUL = "^[^\\u0000]*$"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a path, a query or a header; `schema` is JSON Schema 2020-12.

    The `example` stands in the example of a call; a parameter without one is left out of it.
    """

    name: str
    about: str
    schema: Mapping[str, Any]
    example: str | int | None = None


@dataclass(frozen=True)
class Answer:
    """What a status holds: for each media type a model, a JSON Schema, or none for bytes that have no schema."""

    about: str
    content: Mapping[str, type[BaseModel] | Mapping[str, Any] | None]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    """What a request holds: one of the models; bytes of any kind where there is none."""

    about: str
    models: Sequence[type[BaseModel]] = ()


@dataclass(frozen=True)
class Description:
    """What a view takes and answers, besides its docstring.

    `forms` are the paths of a rule that OpenAPI can't write as one. `problems` says when a status comes; those that
    follow from the rest (a scope, a body, the database) are added by `receiver.web.openapi`.
    """

    answers: Mapping[int, Answer]
    scope: str | None = None
    path: Sequence[Parameter] = ()
    query: Sequence[Parameter] = ()
    headers: Sequence[Parameter] = ()
    body: Body | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    forms: Sequence[str] = ()
    asks_database: bool = True


def describes(description: Description) -> Callable[[View], View]:
    """Leave a description at a view function."""

    def leave(view: View) -> View:
        setattr(view, _ATTRIBUTE, description)
        return view

    return leave


def description_of(view: Callable[..., Any]) -> Description | None:
    """Return the description left at a view function; none where there is none."""
    found: Description | None = getattr(view, _ATTRIBUTE, None)
    return found


def shows(model: type[BaseModel]) -> Answer:
    """Answer a model as JSON; its docstring says what it is."""
    return Answer((model.__doc__ or "").strip(), {"application/json": model})


def text(name: str, about: str) -> Parameter:
    """Describe what `parameters.text` reads."""
    return Parameter(name, about, {"type": "string", "maxLength": TEXT_CHARACTERS_MAX, "pattern": NO_NUL})


def texts(name: str, about: str) -> Parameter:
    """Describe what `parameters.texts` reads."""
    return Parameter(name, f"{about} Repeatable.", {"type": "array", "items": dict(text(name, about).schema)})


def number(name: str, about: str, default: int, least: int, most: int, example: int | None = None) -> Parameter:
    """Describe what `parameters.number` reads."""
    return Parameter(name, about, {"type": "integer", "minimum": least, "maximum": most, "default": default}, example)


def time(name: str, about: str) -> Parameter:
    """Describe what `parameters.time` reads."""
    return Parameter(name, f"{about} RFC 3339 with a zone.", {"type": "string", "format": "date-time"})


def choice(name: str, about: str, accepted: Sequence[str]) -> Parameter:
    """Describe what `parameters.choice` reads."""
    return Parameter(name, about, {"type": "string", "enum": list(accepted)})


def cursor(name: str, about: str) -> Parameter:
    """Describe an opaque cursor."""
    return Parameter(name, about, {"type": "string"})


def part(name: str, about: str, example: str, pattern: str | None = None) -> Parameter:
    """Describe a part of the path."""
    limits = {"pattern": f"^{pattern}$"} if pattern else {"minLength": 1}
    return Parameter(name, about, {"type": "string", **limits}, example)
