"""A bank's options while it runs: read from text or JSON by the types of its fields, and changed at once."""

import threading
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from receiver.simulator.answers import loads
from receiver.simulator.scripts import Script
from receiver.simulator.sender import DELAYS_SECONDS, TIMEOUT_SECONDS
from receiver.simulator.validation import SECONDS_MAX, BadInput, Number, SecondsTuple, Url, explain

FIXED = "fixed"
"""Marks, in the annotation of a field, an option that can't change while the bank runs."""

Positive = Annotated[Number, Field(gt=0, le=SECONDS_MAX)]


class BankConfig(BaseModel):
    """The options of every bank; all times are in seconds.

    `callback_url` is where callbacks go unless one is sent elsewhere. `retry_delays` are the waits before further
    tries; `speed` is how many times faster than said time passes in that schedule. `ca_file` is what to check a
    receiver's TLS certificate with instead of the machine's own authorities; without `verify_tls` it is not checked.

    Raises:
        pydantic.ValidationError: a ValueError, for an option that does not fit.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    callback_url: Url | None = None
    callback_timeout_seconds: Positive = TIMEOUT_SECONDS
    retry_delays: SecondsTuple = DELAYS_SECONDS
    speed: Positive = 1.0
    ca_file: str | None = None
    verify_tls: bool = True

    def faster(self, delays: Sequence[float]) -> tuple[float, ...]:
        """Return delays as `speed` makes them."""
        return tuple(delay / self.speed for delay in delays)


ConfigT = TypeVar("ConfigT", bound=BankConfig)


class Options(Generic[ConfigT]):
    """The configuration in force; `now` is asked anew wherever it matters."""

    def __init__(self, config: ConfigT) -> None:
        """Put `config` in force."""
        self._config = config
        self._lock = threading.Lock()

    @property
    def now(self) -> ConfigT:
        """The configuration in force."""
        return self._config

    def change(self, values: Mapping[str, object]) -> None:
        """Put other values in force.

        Raises:
            BadInput: for a name that is none, or a value that does not fit; then nothing is changed.
        """
        fixed = [name for name, field in self._fields().items() if FIXED in field.metadata and name in values]
        if fixed:
            raise BadInput(f"fixed when the bank starts: {', '.join(sorted(fixed))}")
        with self._lock:
            self._config = _validated(type(self._config), {**dict(self._config), **values})

    def shown(self) -> dict[str, object]:
        """Return every option that is no secret, as JSON can hold it."""
        return {name: _shown(getattr(self._config, name)) for name, field in self._fields().items() if field.repr}

    def _fields(self) -> dict[str, FieldInfo]:
        return type(self._config).model_fields


def from_text(kind: type[ConfigT], pairs: Mapping[str, str]) -> ConfigT:
    """Return a configuration from names and texts, as the command line gives them.

    A text stands for itself where the option takes text; elsewhere it is JSON (`5`, `true`, `[1, 2]`, `null`).

    Raises:
        BadInput: for a name that is none, or a value that does not fit.
    """
    fields = kind.model_fields
    values = {
        name: text if name not in fields or _takes_text(fields[name].annotation) else _json(name, text)
        for name, text in pairs.items()
    }
    return _validated(kind, values)


def _validated(kind: type[ConfigT], values: Mapping[str, object]) -> ConfigT:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise BadInput(explain(error, kind, "options")) from None


def _takes_text(kind: Any) -> bool:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_takes_text(arm) for arm in get_args(kind))
    if origin is Annotated:
        return _takes_text(get_args(kind)[0])
    return kind is str or origin is Literal


def _json(name: str, text: str) -> object:
    try:
        return loads(text.encode(errors="surrogateescape"))
    except ValueError as error:
        raise BadInput(f"{name} must be JSON such as 5, true or [1, 2]") from error


def _shown(value: object) -> object:
    if isinstance(value, Script):
        return value.as_json()
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
