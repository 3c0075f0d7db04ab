"""What a person has to look at (exceptions): list, acknowledge, resolve; and how much each presses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from receiver.model import ExceptionKind, ExceptionState, NotFound, NotPossible, Severity, name_to_tell
from receiver.projection.projector import derive_all
from receiver.runtime import Runtime
from receiver.store import audit, exceptions
from receiver.store.database import retried
from receiver.store.exceptions import UNRESOLVED, ExceptionRecord, Wanted
from receiver.store.severity import DEFAULT, Severities

NOTE_CHARACTERS_MAX = 500


class Counted(NamedTuple):
    """How many there are, or, where there are more than are counted, so many and more."""

    number: int
    has_more: bool = False


@dataclass(frozen=True)
class Group:
    """Those of one kind: how many are open and acknowledged, and the newest of those that were asked for."""

    kind: ExceptionKind
    open: Counted
    acknowledged: Counted
    found: Sequence[ExceptionRecord]
    place: str | None
    """From which to go on; none where that is all."""


def severity(found: ExceptionRecord, now: datetime, severities: Severities = DEFAULT) -> Severity:
    """Return how much something presses at `now` (UTC): by the amount, or by how long it has been open."""
    age = None if found.state == ExceptionState.RESOLVED else now - found.opened_at
    return severities.of(found.kind, found.amount, found.currency, age, found.presses_at_most)


def listing(runtime: Runtime, wanted: Wanted, *, below: str | None = None, limit: int) -> list[ExceptionRecord]:
    """Return what a person has to look at, the newest change first; `below` is the place to go on from.

    What is so by now is among it, whoever looked last.

    Raises:
        StoreUnavailable
    """
    derive_all(runtime.database, runtime.clock())
    with runtime.database.read() as connection:
        return exceptions.listing(connection, wanted, below=below, limit=limit)


def groups(runtime: Runtime, wanted: Wanted, *, each: int) -> list[Group]:
    """Return what a person has to look at by kind, up to `each` of a kind; the kind with the newest change first.

    Raises:
        StoreUnavailable
    """
    derive_all(runtime.database, runtime.clock())
    kinds = [kind for kind in ExceptionKind if not wanted.kinds or kind in wanted.kinds]
    found = []
    with runtime.database.read() as connection:
        counts = exceptions.counts(connection, wanted.sources)
        for kind in kinds:
            of_kind = Wanted(wanted.states, [kind], wanted.sources)
            rows = exceptions.listing(connection, of_kind, below=None, limit=each + 1)
            place = rows[each - 1].place if len(rows) > each else None
            open_, acknowledged = (_counted([counts.get((kind, state), 0)]) for state in UNRESOLVED)
            found.append(Group(kind, open_, acknowledged, rows[:each], place))
    return sorted(found, key=lambda group: group.found[0].place if group.found else "", reverse=True)


def _counted(numbers: Iterable[int]) -> Counted:
    """Add numbers up, each of which was counted to `COUNTED_MAX` and one more."""
    capped = [(min(number, exceptions.COUNTED_MAX), number > exceptions.COUNTED_MAX) for number in numbers]
    return Counted(sum(number for number, _ in capped), any(has_more for _, has_more in capped))


def unresolved(runtime: Runtime) -> Counted:
    """Return how many are open or acknowledged, of each kind and state counted to a thousand.

    Raises:
        StoreUnavailable
    """
    derive_all(runtime.database, runtime.clock())
    with runtime.database.read() as connection:
        return _counted(exceptions.counts(connection).values())


def find(runtime: Runtime, exception_id: str) -> ExceptionRecord:
    """Return one of them.

    Raises:
        NotFound
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        found = exceptions.find(connection, exception_id)
    if found is None:
        raise NotFound(f"there is no exception {exception_id!r}")
    return found


@retried
def acknowledge(runtime: Runtime, who: str, exception_id: str, note: str | None = None) -> ExceptionRecord:
    """Say that somebody is at it; audited as `exception.acknowledged`.

    Raises:
        NotFound
        NotPossible: it is resolved, somebody is at it already, or the note is too long.
        StoreUnavailable
    """
    return _handle(runtime, who, exception_id, ExceptionState.ACKNOWLEDGED, note)


@retried
def resolve(runtime: Runtime, who: str, exception_id: str, note: str) -> ExceptionRecord:
    """Say that nothing is left to be done; audited as `exception.resolved`. It is opened anew where it is so once more.

    Raises:
        NotFound
        NotPossible: it is resolved already, or there is no note, or one that is too long.
        StoreUnavailable
    """
    if not note.strip():
        raise NotPossible(f"say in a note what was done, in up to {NOTE_CHARACTERS_MAX} characters")
    return _handle(runtime, who, exception_id, ExceptionState.RESOLVED, note)


def _handle(runtime: Runtime, who: str, exception_id: str, state: ExceptionState, note: str | None) -> ExceptionRecord:
    note = (note or "").strip() or None
    if note is not None and len(note) > NOTE_CHARACTERS_MAX:
        raise NotPossible(f"a note takes up to {NOTE_CHARACTERS_MAX} characters")
    now = runtime.clock()
    with runtime.database.write() as connection:
        found = exceptions.lock(connection, exception_id)
        if found is None:
            raise NotFound(f"there is no exception {exception_id!r}")
        if found.state in (ExceptionState.RESOLVED, state):
            by = f" by {found.handled_by}" if found.handled_by else ""
            raise NotPossible(f"the exception {exception_id} is {found.state} already{by}")
        exceptions.handle(connection, exception_id, state, who, note, now)
        what = "exception.acknowledged" if state == ExceptionState.ACKNOWLEDGED else "exception.resolved"
        about = {"exception": exception_id, "source": found.source, "kind": str(found.kind)}
        if (name := name_to_tell(found.about, found.subject)) is not None:
            about[found.about] = name
        audit.write(connection, runtime.encryption, at=now, who=who, what=what, why=note, about=about)
        changed = exceptions.find(connection, exception_id)
    assert changed is not None  # noqa: S101 - locked above, in this transaction
    return changed
