"""A bank's configuration while it runs: read from text or JSON by the types of its fields, and changed at once."""

import json
import threading
import types
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from receiver.simulator.fields import SECONDS_MAX, BadFieldError, read_number, read_script
from receiver.simulator.scripts import Script

FIXED = "fixed"
"""Names, in the metadata of a field, an option that can't change while the bank runs."""

WHOLE_MAX = 1_000_000_000
LIST_MAX = 100


class Config(Protocol):
    """A frozen dataclass whose fields are of the types that `read` knows."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


_Config = TypeVar("_Config", bound=Config)


class Options(Generic[_Config]):
    """The configuration in force; `now` is asked anew wherever it matters."""

    def __init__(self, config: _Config) -> None:
        self._config = config
        self._lock = threading.Lock()

    @property
    def now(self) -> _Config:
        """The configuration in force."""
        return self._config

    def change(self, values: Mapping[str, object]) -> None:
        """Put other values in force.

        Raises:
            BadFieldError: for a name that is none, or a value that does not fit; then nothing is changed.
        """
        with self._lock:
            fixed = sorted(entry.name for entry in fields(self._config) if FIXED in entry.metadata)
            taken = [name for name in fixed if name in values]
            if taken:
                raise BadFieldError(f"fixed when the bank starts: {', '.join(taken)}")
            self._config = changed(self._config, values)

    def shown(self) -> dict[str, object]:
        """Return every option that is no secret, as JSON can tell it."""
        return {entry.name: _shown(getattr(self._config, entry.name)) for entry in fields(self._config) if entry.repr}


def changed(config: _Config, values: Mapping[str, object]) -> _Config:
    """Return `config` with other values, given as JSON has them.

    Raises:
        BadFieldError: for a name that is none, or a value that does not fit.
    """
    kinds = get_type_hints(type(config))
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise BadFieldError(f"unknown options: {', '.join(unknown)[:200]!a}; known: {', '.join(sorted(kinds))}")
    read_values = {name: read(name, kinds[name], value) for name, value in values.items()}
    try:
        return replace(config, **read_values)
    except ValueError as error:
        raise BadFieldError(str(error)) from error


def from_text(kind: type[_Config], pairs: Mapping[str, str]) -> _Config:
    """Return a configuration from names and texts, as the command line gives them.

    A text stands for itself where the option takes text; elsewhere it is JSON (`5`, `true`, `[1, 2]`, `null`).

    Raises:
        BadFieldError: for a name that is none, or a value that does not fit.
    """
    kinds = get_type_hints(kind)
    values = {name: text if _takes_text(kinds.get(name)) else _json(name, text) for name, text in pairs.items()}
    return changed(kind(), values)


def read(name: str, kind: Any, value: object) -> object:
    """Return `value` as a field of type `kind` holds it.

    Raises:
        BadFieldError: where it does not fit.
    """
    arms = get_args(kind)
    if get_origin(kind) is Literal:
        if value not in arms:
            raise BadFieldError(f"{name} must be one of {', '.join(arms)}")
        return value
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None else read(name, next(arm for arm in arms if arm is not types.NoneType), value)
    if get_origin(kind) is tuple:
        return _list(name, arms[0], value)
    return _plain(name, kind, value)


def _plain(name: str, kind: Any, value: object) -> object:
    if kind is Script:
        return read_script(name, value)
    if kind is float:
        return read_number(name, value, SECONDS_MAX)
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= WHOLE_MAX:
            raise BadFieldError(f"{name} must be a whole number from 0 to {WHOLE_MAX}")
        return value
    if not isinstance(value, kind):
        raise BadFieldError(f"{name} must be {'true or false' if kind is bool else 'a text'}")
    return value


def _list(name: str, kind: Any, value: object) -> tuple[object, ...]:
    if not isinstance(value, list) or len(value) > LIST_MAX:
        raise BadFieldError(f"{name} must be a list of at most {LIST_MAX}")
    return tuple(read(name, kind, entry) for entry in value)


def _takes_text(kind: Any) -> bool:
    return kind is str or get_origin(kind) is Literal or str in get_args(kind)


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadFieldError(f"{name} must be JSON such as 5, true or [1, 2]") from error


def _shown(value: object) -> object:
    if isinstance(value, Script):
        return [[step.status, step.seconds] for step in value.steps]
    return list(value) if isinstance(value, tuple) else value
