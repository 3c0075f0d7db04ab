"""Why what is old enough stays all the same: what of it is unread, not final, on hold, or before a person's eyes."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, or_, select

from receiver.model import ExceptionKind, HeldBack, ReplayState, ReplayTarget, Status
from receiver.store import holds, pagination
from receiver.store.claims import SUBJECT_KINDS
from receiver.store.exceptions import UNRESOLVED
from receiver.store.tables import (
    ApiToken,
    Consumer,
    Event,
    EventHold,
    FeedEntry,
    OutboxEntry,
    PendingEvent,
    Repeat,
    Replay,
    Source,
    StaffException,
    Subject,
    table_of,
)

_events, _repeats, _entries, _subjects = (table_of(model) for model in (Event, Repeat, FeedEntry, Subject))
_exceptions, _consumers, _replays, _holds, _pending, _outbox = (
    table_of(model) for model in (StaffException, Consumer, Replay, EventHold, PendingEvent, OutboxEntry)
)
_sources, _tokens = table_of(Source), table_of(ApiToken)

REASONS = tuple(HeldBack)
"""Where several hold one thing, the first of these is said."""

OPEN_STATUSES = [str(status) for status in Status if not status.is_final]


class About(NamedTuple):
    """What something that may be removed is about: it is named by `place`; one place may be about several events."""

    place: str
    source_id: int
    event_id: str | None
    kind: str | None
    subject: str | None


def of_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> list[About]:
    """Return the events that deliveries told, for the first time or once more."""
    columns = (_events.c.source_id, _events.c.id, _events.c.kind, _events.c.subject)
    first = select(_events.c.delivery_id, *columns).where(
        pagination.among(connection, _events.c.delivery_id, delivery_ids)
    )
    repeated = (
        select(_repeats.c.delivery_id, *columns)
        .join_from(_repeats, _events, _events.c.id == _repeats.c.event_id)
        .where(pagination.among(connection, _repeats.c.delivery_id, delivery_ids))
    )
    return [About(*row) for query in (first, repeated) for row in connection.execute(query)]


def kinds_of(connection: Connection, event_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return what events are about, as kind and id."""
    query = select(_events.c.id, _events.c.kind, _events.c.subject)
    rows = connection.execute(query.where(pagination.among(connection, _events.c.id, event_ids)))
    return {id_: (str(kind), subject) for id_, kind, subject in rows}


def reasons(
    connection: Connection, abouts: Sequence[About], *, asked: Collection[int], floor: int | None
) -> dict[str, HeldBack]:
    """Return why places are held back, by their names; those that are not are left out.

    `asked` are the sources whose bank can be asked, so that its final answer is waited for. `floor` is the position up
    to which every consumer that counts has acknowledged the feed; none where there is none.
    """
    found: dict[str, set[HeldBack]] = defaultdict(set)
    for reason, places in (
        (HeldBack.ON_HOLD, _on_hold(connection, abouts)),
        (HeldBack.UNREAD, _unread(connection, abouts, floor)),
        (HeldBack.NOT_FINAL, _not_final(connection, abouts, asked)),
        (HeldBack.EXCEPTION, _before_persons(connection, abouts)),
        (HeldBack.WAITING, _underived(connection, abouts)),
    ):
        for place in places:
            found[place].add(reason)
    return {place: next(reason for reason in REASONS if reason in why) for place, why in found.items()}


def _on_hold(connection: Connection, abouts: Sequence[About]) -> Iterable[str]:
    held = holds.among(connection, sorted({about.event_id for about in abouts if about.event_id}))
    return (about.place for about in abouts if about.event_id in held)


def _underived(connection: Connection, abouts: Sequence[About]) -> Iterable[str]:
    """Yield what is about events that are new, or have a new entry: none that could be unread is in the feed yet."""
    event_ids = sorted({about.event_id for about in abouts if about.event_id})
    if not event_ids:
        return ()
    new: set[str] = set()
    for waiting in (_pending, _outbox):
        query = select(waiting.c.event_id).where(pagination.among(connection, waiting.c.event_id, event_ids))
        new.update(connection.execute(query).scalars())
    return (about.place for about in abouts if about.event_id in new)


def _unread(connection: Connection, abouts: Sequence[About], floor: int | None) -> Iterable[str]:
    if floor is None:
        return ()
    event_ids = sorted({about.event_id for about in abouts if about.event_id})
    query = select(_entries.c.event_id).where(
        pagination.among(connection, _entries.c.event_id, event_ids), _entries.c.position > floor
    )
    unread = set(connection.execute(query).scalars())
    return (about.place for about in abouts if about.event_id in unread)


def _by_subject(abouts: Sequence[About]) -> Mapping[tuple[int, str], dict[str, list[str]]]:
    """Return the places by source and kind, and within by what they are about."""
    found: dict[tuple[int, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for about in abouts:
        if about.kind in SUBJECT_KINDS and about.subject is not None:
            found[about.source_id, str(about.kind)][about.subject].append(about.place)
    return found


def _not_final(connection: Connection, abouts: Sequence[About], asked: Collection[int]) -> Iterable[str]:
    for (source_id, kind), places in _by_subject(abouts).items():
        if source_id not in asked:
            continue
        query = select(_subjects.c.subject).where(
            _subjects.c.source_id == source_id,
            _subjects.c.kind == kind,
            pagination.among(connection, _subjects.c.subject, list(places)),
            _subjects.c.status.in_(OPEN_STATUSES),
        )
        for subject in connection.execute(query).scalars():
            yield from places[subject]


def _before_persons(connection: Connection, abouts: Sequence[About]) -> Iterable[str]:
    places = {key: dict(inner) for key, inner in _by_subject(abouts).items()}
    for about in abouts:
        if about.event_id is not None:
            places.setdefault((about.source_id, "event"), {}).setdefault(about.event_id, []).append(about.place)
        places.setdefault((about.source_id, "delivery"), {}).setdefault(about.place, []).append(about.place)
    for (source_id, kind), named in places.items():
        # All kinds are named, so that the unique index over them leads to each.
        query = select(_exceptions.c.subject).where(
            _exceptions.c.kind.in_(list(ExceptionKind)),
            _exceptions.c.source_id == source_id,
            _exceptions.c.about == kind,
            pagination.among(connection, _exceptions.c.subject, list(named)),
            *pagination.beside(_exceptions.c.state, UNRESOLVED, ""),
        )
        for subject in connection.execute(query).scalars():
            yield from named[subject]


def checks_on_hold(connection: Connection, abouts: Sequence[About]) -> Iterable[str]:
    """Yield the places that are about what events on hold are about: checks have no event."""
    for source_id in {about.source_id for about in abouts}:
        held = held_subjects(connection, source_id)
        yield from (about.place for about in abouts if (about.kind, about.subject) in held)


def held_subjects(connection: Connection, source_id: int) -> set[tuple[str, str]]:
    """Return what the events of a source are about that are on hold, as kind and id."""
    # From the holds on, which are few: a join may begin with all events of the source.
    query = select(_events.c.kind, _events.c.subject, _events.c.payment_id).where(
        _events.c.id.in_(select(_holds.c.event_id)), *pagination.beside(_events.c.source_id, [source_id], 0)
    )
    found: set[tuple[str, str]] = set()
    for kind, subject, payment_id in connection.execute(query):
        found |= {(str(kind), subject or ""), ("payment", payment_id or "")}
    return found


def open_reasons(connection: Connection, source_id: int) -> set[str]:
    """Return the reasons of refusals that a person has to look at."""
    query = select(_exceptions.c.subject).where(
        _exceptions.c.kind == ExceptionKind.REJECTED,
        _exceptions.c.source_id == source_id,
        _exceptions.c.about == "reason",
        _exceptions.c.state.in_(UNRESOLVED),
    )
    return set(connection.execute(query).scalars())


class ConsumerFloor(NamedTuple):
    """The consumer that is the furthest behind among those that count, and its position."""

    name: str
    position: int


def floor(connection: Connection, idle_since: datetime) -> ConsumerFloor | None:
    """Return how far every consumer has acknowledged that did anything since a time (UTC); none where none did.

    Who did nothing for longer is idle, and holds nothing back.
    """
    query = select(_consumers.c.name, _consumers.c.position).where(_is_lively(idle_since))
    row = connection.execute(query.order_by(_consumers.c.position, _consumers.c.name).limit(1)).first()
    return None if row is None else ConsumerFloor(*row)


def idle_consumers(connection: Connection, idle_since: datetime) -> list[str]:
    """Return the names of consumers that did nothing since a time (UTC)."""
    query = select(_consumers.c.name).where(~_is_lively(idle_since)).order_by(_consumers.c.name)
    return list(connection.execute(query).scalars())


class IdleConsumer(NamedTuple):
    """A consumer that did nothing for long, and the source of the first entry that it may see and has not acknowledged.

    The source (its id) is none where it has acknowledged all.
    """

    name: str
    source_id: int | None


def idle_readers(connection: Connection, idle_since: datetime) -> list[IdleConsumer]:
    """Return the consumers that did nothing since a time (UTC); sources that were removed count for nothing."""
    query = select(_consumers.c.position, _consumers.c.name, _consumers.c.owner, _consumers.c.shared_with)
    idle = connection.execute(query.where(~_is_lively(idle_since)).order_by(_consumers.c.name)).all()
    seen = {name: set(names) for name, names in connection.execute(select(_tokens.c.name, _tokens.c.sources))}
    found = []
    for position, name, owner, shared_with in idle:
        of_tokens = [] if owner is None else [seen.get(token, set()) for token in (owner, *(shared_with or ()))]
        # A token that names no source may see all of them.
        may_see = set[str]().union(*of_tokens) if of_tokens and all(of_tokens) else None
        ahead = _first_entries(connection, position)
        firsts = [first for source, first in ahead.items() if may_see is None or source in may_see]
        found.append(IdleConsumer(name, min(firsts)[1] if firsts else None))
    return found


def _first_entries(connection: Connection, position: int) -> dict[str, tuple[int, int]]:
    """Return, by the source's name, the position of its first entry behind one, and its id."""
    entry = select(func.min(_entries.c.position))
    entry = entry.where(_entries.c.source_id == _sources.c.id, _entries.c.position > position)
    query = select(_sources.c.name, entry.scalar_subquery(), _sources.c.id).where(_sources.c.hidden_at.is_(None))
    return {name: (first, source_id) for name, first, source_id in connection.execute(query) if first is not None}


def _is_lively(since: datetime) -> ColumnElement[bool]:
    created_at = _consumers.c.created_at
    # A null, which is no time, would make the opposite of the condition a null too.
    times = (func.coalesce(time, created_at) for time in (_consumers.c.read_at, _consumers.c.acked_at, created_at))
    return or_(*(time >= since for time in times))


class ReplayFloor(NamedTuple):
    """The replay that is the furthest behind in the feed among those that are not over, and up to where it has come."""

    id: str
    state: ReplayState
    position: int


def replay_floor(connection: Connection) -> ReplayFloor | None:
    """Return up to where all replays have come that are not over, which those are too that wait for a second person."""
    query = select(_replays.c.id, _replays.c.state, _replays.c.place).where(
        _replays.c.state.in_([state for state in ReplayState if not state.is_over]),
        _replays.c.target != ReplayTarget.VERIFICATION,
    )
    found = (ReplayFloor(id_, state, int(place or "0")) for id_, state, place in connection.execute(query))
    return min(found, key=lambda replay: (replay.position, replay.id), default=None)
