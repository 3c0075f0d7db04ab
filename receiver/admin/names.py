"""Names as people type them: sources, types and consumers are held against those that there are."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from receiver import banks
from receiver.model import NameUnknown, OwnType
from receiver.store import consumers, sources
from receiver.store.database import Database

NameKind = Literal["source", "event type", "entry type", "consumer"]

SHOWN_CHARACTERS = 80
"""Of what was typed, in the text of an error."""

ANY = ".*"
"""At the end of a type: whatever further words."""


def nearest(given: str, known: Iterable[str]) -> str | None:
    """Return the name that is most like the one that was given (fuzzy match); none where there are no names."""
    by_lower = {name.lower(): name for name in sorted(known)}
    found = get_close_matches(given.lower()[:SHOWN_CHARACTERS], by_lower, n=1, cutoff=0)
    return by_lower[found[0]] if found else None


@dataclass(frozen=True)
class Names:
    """The names that there are, as one who asks may see them; they are looked up when one is to be checked."""

    database: Database
    visible_sources: Collection[str] = ()
    """Names of the sources that they may see; empty for all."""

    def check(self, kind: NameKind, given: str) -> None:
        """Accept a name that there is.

        A source that may not be seen is passed over: whether there is one is not for them to know.

        Raises:
            NameUnknown
            StoreUnavailable
        """
        match kind:
            case "source":
                self._check_source(given)
            case "consumer":
                self._check_consumer(given)
            case _:
                _check_type(given, ours=tuple(map(str, OwnType)) if kind == "entry type" else ())

    def check_all(self, kind: NameKind, given: Iterable[str]) -> None:
        """Accept names that there all are.

        Raises:
            NameUnknown
            StoreUnavailable
        """
        for name in given:
            self.check(kind, name)

    def _check_source(self, given: str) -> None:
        if self.visible_sources:
            return
        if given not in self._sources:
            raise _unknown("source", given, self._sources)

    @cached_property
    def _sources(self) -> Collection[str]:
        """The names of all sources, looked up once however many are to be checked."""
        with self.database.read() as connection:
            return set(sources.names(connection).values())

    def _check_consumer(self, given: str) -> None:
        with self.database.read() as connection:
            if consumers.position_of(connection, given) is not None:
                return
            known = consumers.names(connection)
        raise _unknown("consumer", given, known)


def _check_type(given: str, ours: Collection[str]) -> None:
    """Accept a type of a closed vocabulary, or any of a bank whose vocabulary is open.

    A family (`bcb.job.*`) is no type: nothing has it, and a filter by it would match nothing in silence.
    """
    closed = {name: bank.event_types for name, bank in banks.every().items()}
    known = {*ours, *(word for words in closed.values() for word in words or ())}
    families = {word for word in known if word.endswith(ANY)}
    is_open = given.partition(".")[0] in {name for name, words in closed.items() if words is None}
    of_family = given.startswith(tuple(family.removesuffix("*") for family in families))
    is_whole = "*" not in given and not given.endswith(".")
    if given in known - families or ((is_open or of_family) and is_whole):
        return
    raise _unknown("type", given, (known - families) | {f"{name}.unrecognised" for name in closed})


def no_such(given: str, known: Collection[str]) -> str:
    """Return in words that there is none of this name, with the nearest that there is."""
    close = nearest(given, known)
    near = f"the nearest is {close!r}" if close is not None else "there is none yet"
    return f"{given[:SHOWN_CHARACTERS]!r}; {near}"


def _unknown(what: str, given: str, known: Collection[str]) -> NameUnknown:
    return NameUnknown(f"There is no {what} {no_such(given, known)}.")
